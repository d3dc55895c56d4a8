"""What stands where losses stand: at `gan_loss` what judges logits, in `losses` what takes the generator's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report
from srtoolbox.check.networks import Built

_ADVERSARIAL = ("relativistic", "generator", "discriminator", "gradient_penalty")


def check_losses(report: Report, components: Sequence[Component], networks: Mapping[str, Built | None]) -> None:
    """A loss over pictures is not at `gan_loss`, an adversarial one not in `losses`, one for RGB not with luma."""
    for component in components:
        if component.kind != "loss":
            continue
        place, _, key = component.path.rpartition(".")
        if key == "gan_loss":
            _check_gan_loss(report, component)
        elif place == "model.losses":
            _check_image_loss(report, component, networks.get("model.generator"))


def _check_gan_loss(report: Report, component: Component) -> None:
    name, missing = component.cfg["type"], [key for key in _ADVERSARIAL if not hasattr(component.entry, key)]
    if len(missing) == len(_ADVERSARIAL):
        fault = (
            f"{name} compares pictures; what judges a discriminator's logits is wanted here, "
            "such as dict(type='GANLoss', weight=1e-3)"
        )
        report.add(component.path, fault, at="type")
    elif missing:
        fault = f"{name} lacks {', '.join(missing)}: derive it from srtoolbox.losses.gan.AdversarialLoss; see "
        report.add(component.path, fault + "docs/train_gan.md", at="type")


def _check_image_loss(report: Report, component: Component, generator: Built | None) -> None:
    name, wanted = component.cfg["type"], getattr(component.entry, "colour", None)
    if hasattr(component.entry, "relativistic"):
        fault = f"{name} judges a discriminator's logits, not pictures: give it as model.gan_loss, not among the losses"
        report.add(component.path, fault, at="type")
    elif wanted and generator and generator.colour not in (None, wanted):
        fault = (
            f"{name} takes {wanted!r} pictures, but model.generator makes {generator.colour!r}: "
            f"give the generator colour={wanted!r}, or take a loss over pixels"
        )
        report.add(component.path, fault, at="type")
