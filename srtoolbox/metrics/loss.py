"""Any loss as a score of the validation set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, RegistryError
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import LOSSES, METRICS


@METRICS.register
class LossMetric(Metric):
    """A loss over pictures, weighted as its config says, of every picture alone: `loss=dict(type='MSELoss')`.

    Taken of the pictures as saved, in [0, 1] and rounded to 8 bit like all metrics' (the rounding adds about 1.3e-6 to
    a mean squared error). For a best checkpoint by content loss, and to see overfitting in TensorBoard.

    Args:
        loss: config of a loss.
        crop_border: px left out at each side of the picture; 0 as the training's losses.
        protocol: 'rgb', or 'y_direct' for luma, which perceptual losses do not take.
    """

    higher_is_better = False

    def __init__(self, loss: dict[str, Any], crop_border: int = 0, protocol: str = "rgb") -> None:
        super().__init__(crop_border, protocol == "y_direct", protocol)
        if _judges_logits(loss):
            raise ConfigError(f"LossMetric: {_judges_logits(loss)}")
        self.cfg = loss

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[str]:
        """An adversarial loss, which scores no picture. The check looks at the loss's own arguments by itself."""
        given = {**cfg, "y_channel": cfg.get("protocol") == "y_direct"}
        fault = _judges_logits(cfg.get("loss"))
        return super().check(given, context) + ([f"loss: {fault}"] if fault else [])

    def score(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) float64."""
        loss = self.loss.to(pred.device)
        pairs = zip(self.as_saved(pred).split(1), self.as_saved(target).split(1), strict=True)
        return torch.stack([loss(*pair).double() for pair in pairs])

    @cached_property
    def loss(self) -> nn.Module:
        """Built at the first picture: a config that is only checked reads no weights."""
        return LOSSES.build(self.cfg).eval()


def _judges_logits(cfg: object) -> str | None:
    """Why a config is no loss over pictures, if it is an adversarial one; other faults are told elsewhere."""
    name = cfg.get("type") if isinstance(cfg, Mapping) else None
    try:
        adversarial = isinstance(name, str) and hasattr(LOSSES.get(name), "relativistic")
    except RegistryError:
        return None
    return f"{name} judges a discriminator's logits, not pictures" if adversarial else None
