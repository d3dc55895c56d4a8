"""Losses over low frequencies, which keep a GAN's colours where they were."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from srtoolbox.interfaces import require_positive
from srtoolbox.losses.pixel import PixelLoss
from srtoolbox.registry import LOSSES


@LOSSES.register
class ColourLoss(PixelLoss):
    """|mean of pred - mean of target| over cells of pixels, mean over cells and channels.

    What adversarial and perceptual losses do to details is let be; a shift of brightness or colour
    is not.

    Args:
        weight: factor of the returned value.
        size: sides of the cells in pixels, those at the right and bottom border may be smaller.
    """

    def __init__(self, weight: float = 1.0, size: int = 16) -> None:
        super().__init__(weight)
        require_positive("ColourLoss", size=size)
        self.size = size

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.avg_pool2d(pred - target, self.size, ceil_mode=True, count_include_pad=False).abs().mean()
