"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS


@METRICS.register
class PSNR(Metric):
    """10 log10(255^2 / mean squared error) in dB over an image; inf for identical ones."""

    higher_is_better = True

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) dB."""
        return 10 * torch.log10(255.0**2 / self.mean_square(pred, target))
