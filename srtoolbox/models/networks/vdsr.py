"""VDSR: twenty convolutions that correct the bicubically upscaled image, for several scales.

Kim, Lee, Lee: "Accurate image super-resolution using very deep convolutional networks" (CVPR 2016,
arXiv:1511.04587).

state_dict, that of the usual PyTorch release (twtygqyy's): `input`, `residual_layer.N.conv`,
`output`, each `.weight` (and `.bias` where `bias=True`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.blocks import PreUpsampled, receptive_field, zero_bias
from srtoolbox.registry import NETWORKS

VIDEO_RANGE = (16 / 255, 235 / 255)  # of the luma of 8-bit RGB (BT.601)


class ConvReLU(nn.Module):
    """3x3 convolution and ReLU."""

    def __init__(self, num_features: int, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.conv(features), inplace=True)


@NETWORKS.register
class VDSR(PreUpsampled):
    """Bicubic upscaling inside, 3x3 convolutions with ReLU at the output's size, added to it.

    The weights begin as He normal. They do not depend on the scale: trained at one, they load at
    another.

    Args:
        scale: upscaling factor; fractional ones by `forward(lq, size=...)`.
        colour: 'y' (the paper's choice) or 'rgb'.
        num_features: channels of the hidden layers.
        num_blocks: hidden convolutions: 18 between the first and the last make the paper's 20.
        bias: whether convolutions have one; the usual public weights have none.
        input_range: the upscaled image is clipped to it: Y's range, (16 / 255, 235 / 255), for the
            usual public weights; None: not clipped.
    """

    hidden_arguments: ClassVar = {"input_range": (None, VIDEO_RANGE)}

    def __init__(
        self,
        scale: int,
        colour: str = "y",
        *,
        num_features: int = 64,
        num_blocks: int = 18,
        bias: bool = False,
        input_range: Sequence[float] | None = None,
    ) -> None:
        super().__init__(scale, colour)
        require_positive("VDSR", num_features=num_features, num_blocks=num_blocks)
        if input_range is not None and (len(input_range) != 2 or not input_range[0] < input_range[1]):
            fault = f"input_range={input_range!r} is not possible; it is (low, high) or None"
            raise ConfigError(f"VDSR: {fault}", key="input_range")
        self.input_range = input_range
        self.residual_layer = nn.Sequential(*[ConvReLU(num_features, bias) for _ in range(num_blocks)])
        self.input = nn.Conv2d(self.in_channels, num_features, 3, padding=1, bias=bias)
        self.output = nn.Conv2d(num_features, self.in_channels, 3, padding=1, bias=bias)
        self.receptive_field = receptive_field([("bicubic", scale), *[3] * (num_blocks + 2)])
        self.refine_field = receptive_field([3] * (num_blocks + 2))
        self.apply(_initialise)

    def refine(self, upscaled: Tensor) -> Tensor:
        if self.input_range is not None:
            upscaled = upscaled.clamp(*self.input_range)
        features = F.relu(self.input(upscaled), inplace=True)
        return upscaled + self.output(self.residual_layer(features))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        zero_bias(module)
