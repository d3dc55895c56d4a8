"""Any sum of losses as a score of the validation set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, Fault, RegistryError
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import LOSSES, METRICS


@METRICS.register
class LossMetric(Metric):
    """The sum of losses over images, weighted as their configs say, of every image alone.

    Taken of the images as saved, in [0, 1] and rounded to 8 bit like all metrics' (the rounding
    adds about 1.3e-6 to a mean squared error). For a best checkpoint by content loss, and to see
    overfitting in TensorBoard.

    Args:
        losses: as the model's: `dict(pixel=dict(type='MSELoss', weight=0.7), ...)`.
        crop_border: px left out at each side of the image; 0 as the training's losses.
        protocol: 'rgb', or 'y_direct' for luma, which perceptual losses do not take.
    """

    higher_is_better = False

    def __init__(self, losses: dict[str, dict[str, Any]], crop_border: int = 0, protocol: str = "rgb") -> None:
        super().__init__(crop_border, protocol == "y_direct", protocol)
        if faults := _faults(losses, protocol):
            raise ConfigError([fault.of("LossMetric") for fault in faults])
        self.cfg = losses

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a loss that does not score such images; its arguments are checked by itself."""
        protocol = cfg.get("protocol", "rgb")
        arguments = {**cfg, "y_channel": protocol == "y_direct"}
        return super().check(arguments, context) + _faults(cfg.get("losses"), protocol)

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) float64."""
        losses = [loss.to(pred.device) for loss in self.losses]
        pairs = zip(self.as_saved(pred).split(1), self.as_saved(target).split(1), strict=True)
        return torch.stack([sum(loss(*pair).double() for loss in losses) for pair in pairs])

    @cached_property
    def losses(self) -> list[nn.Module]:
        """Built at the first image: a config that is only checked reads no weights."""
        return [LOSSES.build(cfg).eval() for cfg in self.cfg.values()]


def _faults(losses: object, protocol: object) -> list[Fault]:
    if not isinstance(losses, Mapping) or not losses:
        return [Fault("losses", f"losses is a map such as dict(pixel=dict(type='MSELoss')), got {losses!r}")]
    faults = {f"losses.{name}": _fault(cfg, protocol) for name, cfg in losses.items()}
    return [Fault(key, f"{key}: {fault}") for key, fault in faults.items() if fault]


def _fault(cfg: object, protocol: object) -> str | None:
    """Return the fault of a loss that is not over these images: adversarial, or of RGB."""
    name = cfg.get("type") if isinstance(cfg, Mapping) else None
    try:
        loss = LOSSES.get(name) if isinstance(name, str) else None
    except RegistryError:
        return None
    if hasattr(loss, "relativistic"):
        return f"{name} judges a discriminator's logits, not images"
    if protocol == "y_direct" and getattr(loss, "colour", None) == "rgb":
        return f"{name} takes RGB, which protocol 'y_direct' has not: leave protocol='rgb'"
    return None
