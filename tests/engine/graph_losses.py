"""Losses for steps by graphs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.registry import LOSSES


@LOSSES.register
class SureLoss(nn.Module):
    """The mean distance; NaN for some batches, told on the device."""

    capturable = True

    def __init__(self, above: float = math.inf) -> None:
        super().__init__()
        self.above = above

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        factor = torch.where(target.mean() > self.above, torch.full_like(target.mean(), math.nan), 1.0)
        return factor * F.l1_loss(pred, target)


class Plugin(nn.Module):
    """Base of losses as a user writes them; says nothing of graphs."""

    def __init__(self) -> None:
        super().__init__()

    def factor(self) -> float:
        return 1.0

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.factor() * F.l1_loss(pred, target)


@LOSSES.register
class Counting(Plugin):
    """Ramps by a counter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = [1000]

    def factor(self) -> float:
        self.calls[0] += 1
        return self.calls[0] / 1000
