"""The baseline: MATLAB's bicubic interpolation as a network without parameters."""

from __future__ import annotations

from torch import Tensor

from srtoolbox.interfaces import SRNetwork
from srtoolbox.models.networks.blocks import receptive_field
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize


@NETWORKS.register
class Bicubic(SRNetwork):
    """Bicubic interpolation (Keys 1981, a = -0.5) in float, without rounding or clipping."""

    colour = "rgb"
    refine_field = 0

    def __init__(self, scale: int) -> None:
        super().__init__(scale, self.colour)
        self.receptive_field = receptive_field([("bicubic", scale)])

    def forward(self, lq: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W), or to `size` = (height, width)."""
        return self.refine(upsample(lq, self.scale, size))

    def refine(self, upscaled: Tensor) -> Tensor:
        """Return the interpolated image as it is."""
        return upscaled


def upsample(lq: Tensor, scale: int, size: tuple[int, int] | None = None) -> Tensor:
    """Bicubic by `scale`, or to `size`: also the first step of pre-upsampling networks."""
    height, width = size or (lq.shape[-2] * scale, lq.shape[-1] * scale)
    return lq if lq.shape[-2:] == (height, width) else imresize(lq, size=(height, width))
