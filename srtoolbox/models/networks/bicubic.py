"""The baseline: MATLAB's bicubic interpolation as a network without parameters.

Keys: "Cubic convolution interpolation for digital image processing" (IEEE Transactions on
Acoustics, Speech, and Signal Processing, 1981).
"""

from __future__ import annotations

from torch import Tensor

from srtoolbox.models.networks.blocks import PreUpsampled, receptive_field
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class Bicubic(PreUpsampled):
    """Bicubic interpolation (Keys 1981, a = -0.5) in float, without rounding or clipping."""

    colour = "rgb"
    refine_field = 0

    def __init__(self, scale: int) -> None:
        super().__init__(scale, self.colour)
        self.receptive_field = receptive_field([("bicubic", scale)])

    def refine(self, upscaled: Tensor) -> Tensor:
        """Return the interpolated image as it is."""
        return upscaled
