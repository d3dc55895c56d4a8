"""The drift of colours, apart from all detail."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.image import rgb_to_ycbcr
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS


@METRICS.register
class ColourDrift(Metric):
    """Mean absolute difference, in 8-bit levels, of Cb and Cr of both images shrunk 8 times.

    Means over blocks of 8 x 8 px (smaller ones at the right and bottom) keep tints, not texture.

    Args:
        crop_border: px left out at each side of the image.
    """

    higher_is_better = False

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border, y_channel=False)

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) levels."""
        difference = self._chroma(pred) - self._chroma(target)
        return difference.abs_().flatten(1).mean(1, dtype=torch.float64)

    def _chroma(self, image: Tensor) -> Tensor:
        """(N, 2, ceil(h / 8), ceil(w / 8)) levels. Shrunk first: the conversion is linear."""
        small = F.avg_pool2d(self.as_saved(image), 8, ceil_mode=True)
        return rgb_to_ycbcr(small)[:, 1:] * 255
