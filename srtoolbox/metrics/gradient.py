"""The amount of fine structure of an image against the truth."""

from __future__ import annotations

import torch
from torch import Tensor

from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS


@METRICS.register
class GradientEnergyRatio(Metric):
    """Sum of squared differences between neighbours, of the prediction over the target.

    Best near 1: below it the image is blurred, as PSNR networks leave it, above it has noise or
    ringing that the truth has not. It measures how much structure there is, not if it is right. A
    flat target gives inf, or nan if the prediction is flat too.

    Args:
        crop_border: px left out at each side of the image.
        y_channel: measure luma; False: R, G and B alike (protocol 'rgb' only).
        protocol: 'rgb' or 'y_direct', see `metrics.base`.
    """

    higher_is_better = None

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,), at least 0."""
        return _energy(self.planes(pred, torch.float32)) / _energy(self.planes(target, torch.float32))


def _energy(planes: Tensor) -> Tensor:
    """(N, C, h, w) levels -> (N,) float64 squared levels."""
    across, down = (planes.diff(dim=dim).square_().flatten(1).sum(1, dtype=torch.float64) for dim in (-1, -2))
    return across + down
