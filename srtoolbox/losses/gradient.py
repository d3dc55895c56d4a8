"""Losses over edges: differences of neighbouring pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.interfaces import require_choice
from srtoolbox.losses.pixel import PixelLoss
from srtoolbox.registry import LOSSES

KERNELS = {
    "sobel": ([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "laplacian": ([[0, 1, 0], [1, -4, 1], [0, 1, 0]],),
}


@LOSSES.register
class GradientLoss(PixelLoss):
    """|edges of pred - edges of target|, mean over channels and directions; borders are repeated.

    Args:
        weight: factor of the returned value.
        operator: 'sobel', horizontal and vertical, or 'laplacian'.
    """

    kernels: Tensor

    def __init__(self, weight: float = 1.0, operator: str = "sobel") -> None:
        super().__init__(weight)
        require_choice("GradientLoss", "operator", operator, KERNELS)
        kernels = torch.tensor(KERNELS[operator], dtype=torch.float32)[:, None]
        self.register_buffer("kernels", kernels, persistent=False)

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        planes = (pred - target).flatten(0, 1)[:, None]  # the operators are linear
        return F.conv2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), self.kernels.to(planes.dtype)).abs().mean()
