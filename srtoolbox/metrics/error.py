"""Mean errors, in 8-bit levels."""

from __future__ import annotations

import torch
from torch import Tensor

from srtoolbox.metrics.base import Metric, mean_square
from srtoolbox.registry import METRICS


@METRICS.register
class MSE(Metric):
    """Mean squared error over all measured values of a picture, in squared levels: PSNR = 10 log10(255^2 / MSE)."""

    higher_is_better = False

    def score(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) squared levels."""
        return mean_square(self.difference(pred, target))


@METRICS.register
class MAE(Metric):
    """Mean absolute error over all measured values of a picture, in levels (0 ... 255)."""

    higher_is_better = False

    def score(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) levels."""
        return self.difference(pred, target).abs().mean((1, 2, 3), dtype=torch.float64)
