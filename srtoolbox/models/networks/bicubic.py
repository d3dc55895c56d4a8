"""The baseline: MATLAB's bicubic interpolation as a network without parameters, evaluated like any other."""

from __future__ import annotations

from torch import Tensor, nn

from srtoolbox.models.networks.blocks import positive, receptive_field
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize


@NETWORKS.register
class Bicubic(nn.Module):
    """Bicubic interpolation (Keys 1981, a = -0.5) in float, both axes, without rounding or clipping."""

    in_channels = 3
    colour = "rgb"
    size_multiple = 1
    refine_field = 0

    def __init__(self, scale: int) -> None:
        super().__init__()
        positive("Bicubic", scale=scale)
        self.scale = scale
        self.receptive_field = receptive_field([("bicubic", scale)])

    def forward(self, lq: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W), or to `size` = (height, width)."""
        return self.refine(upsample(lq, self.scale, size))

    def refine(self, upscaled: Tensor) -> Tensor:
        """What follows the interpolation: nothing."""
        return upscaled


def upsample(lq: Tensor, scale: int, size: tuple[int, int] | None = None) -> Tensor:
    """Bicubic by `scale`, or to `size`: also the first step of networks that work at the output's size."""
    size = (lq.shape[-2] * scale, lq.shape[-1] * scale) if size is None else tuple(size)
    return lq if tuple(lq.shape[-2:]) == size else imresize(lq, size=size)
