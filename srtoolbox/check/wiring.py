"""The fit of a config's parts: scales, crops, colours, losses, hooks and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report
from srtoolbox.check.networks import BuiltNetwork
from srtoolbox.interfaces.kinds import class_to_ask, missing_members
from srtoolbox.registry import parameters_of
from srtoolbox.text import did_you_mean

_BUILT = ("hook", "metric", "transform")
"""Light kinds. Losses and datasets read files, models are their networks and losses."""
_ADVERSARIAL = ("relativistic", "generator", "discriminator", "gradient_penalty")

Networks = Mapping[str, BuiltNetwork | None]


def check_scales(report: Report, components: Sequence[Component], networks: Networks) -> None:
    """Check that data, generator and the top-level `scale`, if there is one, have one scale."""
    generator = next((c for c in components if c.path == "model.generator"), None)
    if generator is None:
        return
    facts = networks["model.generator"]
    expected = facts.scale if facts else generator.cfg.get("scale")
    if not isinstance(expected, int | float):
        return
    top = report.config.get("scale")
    if isinstance(top, int | float) and top != expected:
        message = f"upscales x{expected}, but the config's scale is {top}"
        report.add("model.generator", message, key="scale")
    for component in components:
        scale = component.cfg.get("scale")
        is_number = component.kind == "dataset" and isinstance(scale, int | float)
        # a dataset of the config's own scale is right: the network is reported above
        if is_number and scale not in (expected, top):
            message = f"scale is {scale}, but model.generator upscales x{expected}"
            report.add(component.path, message, key="scale")


def check_colours(report: Report, networks: Networks) -> None:
    """Check that the discriminator judges the colours that the generator makes."""
    generator, discriminator = networks.get("model.generator"), networks.get("model.discriminator")
    if not (generator and discriminator and generator.colour and discriminator.colour):
        return  # that is in the report
    if generator.colour != discriminator.colour:
        message = f"it sees {discriminator.colour!r} images, but model.generator makes"
        report.add("model.discriminator", f"{message} {generator.colour!r}", key="colour")


def check_losses(report: Report, components: Sequence[Component], networks: Networks) -> None:
    """Check that `gan_loss` judges logits, and `losses` images in the generator's colours."""
    for component in components:
        if component.kind != "loss":
            continue
        place, _, key = component.path.rpartition(".")
        if key == "gan_loss":
            _check_gan_loss(report, component)
        elif place == "model.losses":
            _check_image_loss(report, component, networks.get("model.generator"))


def _check_gan_loss(report: Report, component: Component) -> None:
    name = component.cfg["type"]
    missing = [attribute for attribute in _ADVERSARIAL if not hasattr(component.entry, attribute)]
    if len(missing) == len(_ADVERSARIAL):
        message = f"{name} compares images; what judges a discriminator's logits is wanted here, such as"
        report.add(component.path, f"{message} dict(type='GANLoss', weight=1e-3)", key="type")
    elif missing:
        message = f"{name} lacks {', '.join(missing)}: derive it from"
        base = "srtoolbox.losses.gan.AdversarialLoss; see docs/train_gan.md"
        report.add(component.path, f"{message} {base}", key="type")


def _check_image_loss(report: Report, component: Component, generator: BuiltNetwork | None) -> None:
    name, colour = component.cfg["type"], getattr(component.entry, "colour", None)
    if hasattr(component.entry, "relativistic"):
        message = f"{name} judges a discriminator's logits, not images: give it as model.gan_loss"
        report.add(component.path, f"{message}, not among the losses", key="type")
    elif colour and generator and generator.colour not in (None, colour):
        message = f"{name} takes {colour!r} images, but model.generator makes {generator.colour!r}"
        advice = f"give the generator colour={colour!r}, or take a loss over pixels"
        report.add(component.path, f"{message}: {advice}", key="type")


def check_crop(report: Report, component: Component) -> None:
    """Check that `gt_size` is a multiple of `scale`, for a dataset without an own check."""
    size, scale = component.cfg.get("gt_size"), component.cfg.get("scale")
    if component.kind != "dataset" or hasattr(component.entry, "check"):
        return
    if isinstance(size, int) and isinstance(scale, int) and scale > 0 and size % scale:
        message = f"gt_size {size} is not a multiple of scale {scale}"
        report.add(component.path, message, key="gt_size")


def check_construction(report: Report, component: Component) -> None:
    """Build a light component, which may refuse its values; it must have its kind's members."""
    offering: object = class_to_ask(component.kind, component.entry)
    if component.kind in _BUILT and report.is_clean(component.path):
        arguments = {key: value for key, value in component.cfg.items() if key != "type"}
        try:
            offering = component.entry(**arguments)
        except Exception as error:
            report.add_failure(component.path, error)
    # a `preprocess` works on batches of the device, not on samples: it only has to be callable
    if offering is None or component.path.endswith(".preprocess"):
        return
    fault = missing_members(component.kind, offering)
    if fault:
        report.add(component.path, fault, key="type")


def check_networks_of_hooks(report: Report, components: Sequence[Component]) -> None:
    """Check that a hook's `network`, also by default, is one of the model's, or an average."""
    paths = [component.path for component in components if component.kind == "network"]
    names = [path.removeprefix("model.") for path in paths if path.startswith("model.")]
    hooks = [component for component in components if component.kind == "hook"]
    averaged = [_network_of(hook) for hook in hooks if hook.cfg["type"] == "EMAHook"]
    possible = [*names, *(f"{name}_ema" for name in averaged if name in names)]
    for hook in hooks if names else ():
        network = _network_of(hook)
        if isinstance(network, str) and network not in possible and report.is_clean(hook.path):
            hint = did_you_mean(network, possible, else_list=True)
            message = f"network: the model has no network {network!r}.{hint}"
            report.add(hook.path, message, key="network")


def _network_of(hook: Component) -> object:
    argument = parameters_of(hook.entry).get("network")
    return hook.cfg.get("network", argument.default) if argument is not None else None
