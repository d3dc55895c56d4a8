"""Mean errors, in 8-bit levels."""

from __future__ import annotations

from torch import Tensor

from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS


@METRICS.register
class MSE(Metric):
    """Mean squared error over all measured values of an image, in squared levels."""

    higher_is_better = False

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) squared levels."""
        return self.mean_square(pred, target)


@METRICS.register
class MAE(Metric):
    """Mean absolute error over all measured values of an image, in levels (0 ... 255)."""

    higher_is_better = False

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) levels."""
        return self.mean_of_difference(pred, target, lambda diff: diff.abs_().sum(1).double())
