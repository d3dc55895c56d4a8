"""Adversarial losses: what a discriminator's logits say to it and to the generator.

They take no images but logits of any shape, (N, 1) or maps (N, 1, h, w), before any sigmoid; means
go over all elements. `generator` is weighted, `discriminator` is not: their optimizers are two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox import dist
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError
from srtoolbox.registry import LOSSES

KINDS = ("vanilla", "lsgan", "hinge", "wgan_softplus")


class AdversarialLoss(nn.Module):
    """Base: weight, one-sided label smoothing, and the R1 penalty on real images.

    Args:
        weight: factor of `generator`.
        label_smoothing: the discriminator's label of real images is 1 minus this (Salimans et al.
            2016, arXiv:1606.03498); labels of fakes and the generator's stay.
        r1_weight: gamma of `gradient_penalty`; 0: none.
        r1_interval: the penalty is taken every so many steps of the discriminator, and counts as
            many times as much.
    """

    relativistic: bool  # True if `generator` needs the logits of real images

    def __init__(
        self, weight: float = 1.0, label_smoothing: float = 0.0, r1_weight: float = 0.0, r1_interval: int = 1
    ) -> None:
        super().__init__()
        values = {"label_smoothing": label_smoothing, "r1_weight": r1_weight, "r1_interval": r1_interval}
        if faults := _value_faults(values):
            raise ConfigError([fault.of(type(self).__name__) for fault in faults])
        self.weight, self.label_smoothing = weight, label_smoothing
        self.r1_weight, self.r1_interval = r1_weight, r1_interval

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Values that are not possible, a sentence each."""
        return _value_faults(cfg)

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """The generator's loss, weighted: scalar, float32 (float64 of float64 logits).

        Args:
            real: logits of real images, used without gradient; only if `relativistic`, else None.
            fake: logits of the generator's images.
        """
        raise NotImplementedError

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, not weighted: the term of real plus the term of fake images.

        Both are logits; those of the generator's images are detached from it.
        """
        raise NotImplementedError

    def gradient_penalty(self, real_images: Tensor, real_logits: Tensor) -> Tensor:
        """R1 (Mescheder et al. 2018): r1_weight / 2 * mean over images of |d logits / d image|^2.

        arXiv:1801.04406. Multiplied by `r1_interval`, the steps from one penalty to the next
        (Karras et al. 2020, arXiv:1912.04958, appendix B).

        Args:
            real_images: (N, C, H, W) that require a gradient.
            real_logits: the discriminator's logits of them; summed per image.
        """
        with torch.autocast(real_images.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
            penalty = _at_least_float32(gradient).square().flatten(1).sum(1).mean()
        return self.r1_weight / 2 * self.r1_interval * penalty

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Refuse to compare images: adversarial losses take logits."""
        fault = "judges a discriminator's logits, not images"
        place = "give it as the model's gan_loss, not among its losses"
        raise SrtoolboxError(f"{type(self).__name__} {fault}: {place}")


def _value_faults(cfg: Mapping[str, Any]) -> list[Fault]:
    limits = {
        "label_smoothing": (lambda value: 0 <= value < 1, "in [0, 1)"),
        "r1_weight": (lambda value: value >= 0, "0 or more"),
        "r1_interval": (lambda value: value >= 1, "1 or more"),
    }
    return [
        Fault(key, f"{key}={cfg[key]!r} is not possible; it is {limit}")
        for key, (is_possible, limit) in limits.items()
        if key in cfg and not is_possible(cfg[key])
    ]


@LOSSES.register
class GANLoss(AdversarialLoss):
    """The plain adversarial losses: real and fake images are judged each by itself.

    With logits C, label 1 of real ones (1 - label_smoothing in the discriminator's loss), BCE taken
    of logits:

    - 'vanilla' (Goodfellow et al. 2014, arXiv:1406.2661, its non-saturating form; SRGAN's): D
      BCE(C(real), 1) + BCE(C(fake), 0); G BCE(C(fake), 1), which is -log D(fake).
    - 'lsgan' (Mao et al. 2016, arXiv:1611.04076): D 1/2 (C(real) - 1)^2 + 1/2 C(fake)^2; G 1/2
      (C(fake) - 1)^2. BasicSR and others leave the halves out: twice a weight of theirs is ours.
    - 'hinge' (Lim, Ye 2017, arXiv:1705.02894): D max(0, 1 - C(real)) + max(0, 1 + C(fake)); G
      -C(fake).
    - 'wgan_softplus' (StyleGAN2's logistic loss, arXiv:1912.04958): D softplus(-C(real)) +
      softplus(C(fake)); G softplus(-C(fake)): in numbers 'vanilla' without smoothing.

    Args:
        kind: 'vanilla', 'lsgan', 'hinge' or 'wgan_softplus'.
        weight, r1_weight, r1_interval: see AdversarialLoss.
        label_smoothing: see there; for 'vanilla' and 'lsgan'.
    """

    relativistic = False

    def __init__(
        self,
        kind: str = "vanilla",
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        r1_weight: float = 0.0,
        r1_interval: int = 1,
    ) -> None:
        super().__init__(weight, label_smoothing, r1_weight, r1_interval)
        if faults := _kind_faults(kind, label_smoothing):
            raise ConfigError([fault.of("GANLoss") for fault in faults])
        self.kind = kind

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Values that are not possible, the kind's too."""
        return super().check(cfg, context) + _kind_faults(cfg.get("kind", "vanilla"), cfg.get("label_smoothing", 0.0))

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        fake = _at_least_float32(fake)
        if self.kind == "lsgan":
            return self.weight * ((fake - 1).square().mean() / 2)
        return self.weight * (-fake if self.kind == "hinge" else F.softplus(-fake)).mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        real, fake = _at_least_float32(real), _at_least_float32(fake)
        label = 1 - self.label_smoothing
        if self.kind == "lsgan":
            return ((real - label).square().mean() + fake.square().mean()) / 2
        if self.kind == "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        return _cross_entropy(real, label) + F.softplus(fake).mean()


def _kind_faults(kind: object, label_smoothing: float) -> list[Fault]:
    if kind not in KINDS:
        return [Fault("kind", f"kind={kind!r} is not possible; allowed: {', '.join(KINDS)}")]
    if label_smoothing and kind not in ("vanilla", "lsgan"):
        fault = f"does nothing for kind {kind!r}, which has no labels; it is for vanilla and lsgan"
        return [Fault("label_smoothing", f"label_smoothing {fault}")]
    return []


@LOSSES.register
class RelativisticGANLoss(AdversarialLoss):
    """Relativistic average GAN (Jolicoeur-Martineau 2018, arXiv:1807.00734) as in ESRGAN.

    Each logit is judged against the mean of the other kind over all ranks and places of a map:

        D: BCE(C(real) - E[C(fake)], 1) + BCE(C(fake) - E[C(real)], 0)
        G: BCE(C(real) - E[C(fake)], 0) + BCE(C(fake) - E[C(real)], 1)

    the papers' sums of two terms. BasicSR's code halves both: its weight 5e-3 of the generator is
    2.5e-3 here, and its discriminator learns from half the loss, which Adam does not notice.

    Args:
        weight, label_smoothing, r1_weight, r1_interval: see AdversarialLoss.
    """

    relativistic = True

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        if real is None:
            raise SrtoolboxError("RelativisticGANLoss: the generator's loss needs the logits of real images too")
        above_fake, above_real = _relative(real.detach(), fake)
        return self.weight * (F.softplus(above_fake).mean() + _cross_entropy(above_real, 1.0))

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        above_fake, above_real = _relative(real, fake)
        return _cross_entropy(above_fake, 1 - self.label_smoothing) + F.softplus(above_real).mean()


def _relative(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return real - E[fake] and fake - E[real], with one collective for both means."""
    real, fake = _at_least_float32(real), _at_least_float32(fake)
    mean_real, mean_fake = dist.mean_over_ranks(torch.stack([real.mean(), fake.mean()]))
    return real - mean_fake, fake - mean_real


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    """Mean binary cross-entropy of logits and one label."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _at_least_float32(value: Tensor) -> Tensor:
    return value if value.dtype == torch.float64 else value.float()
