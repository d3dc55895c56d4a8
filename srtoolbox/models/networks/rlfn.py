"""RLFN: three convolutions under a skip and spatial attention, six times.

Kong et al.: "Residual local feature network for efficient super-resolution" (CVPRW 2022,
arXiv:2205.07514).

state_dict, the authors': `conv_1`, `block_N.{c1_r,c2_r,c3_r,c5}`, `block_N.esa.{conv1,conv_f,conv2,
conv3,conv4}`, `conv_2`, `upsampler.0`; each `.weight` and `.bias`.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.blocks import SpatialAttention, leaky
from srtoolbox.registry import NETWORKS

SLOPE = 0.05  # of the leaky ReLUs


class LocalBlock(nn.Module):
    """Three 3x3 convolutions with leaky ReLUs, added to the input, a 1x1 one under attention."""

    def __init__(self, num_features: int, mid_channels: int, esa_channels: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(num_features, mid_channels, 3, padding=1)
        self.c2_r = nn.Conv2d(mid_channels, mid_channels, 3, padding=1)
        self.c3_r = nn.Conv2d(mid_channels, num_features, 3, padding=1)
        self.c5 = nn.Conv2d(num_features, num_features, 1)
        self.esa = SpatialAttention(num_features, esa_channels, is_deep=False)

    def forward(self, features: Tensor) -> Tensor:
        refined = features
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            refined = leaky(conv(refined), SLOPE)
        return self.esa(self.c5(features + refined))


@NETWORKS.register
class RLFN(SRNetwork):
    """Local blocks in a row under a long skip, one sub-pixel step.

    543 K parameters at x4, 527 K at x2; RLFN-S has 470 K and 454 K, the winner of NTIRE 2022 317 K.
    The weights begin as torch has it. What a pixel sees depends on the size of the whole image, see
    `SpatialAttention`.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: local blocks.
        mid_channels: channels inside a block; None: as many as outside.
        esa_channels: channels of the attention's map.
        img_range: the layers work on images in 0 ... img_range, as the released weights do.
    """

    repeated_block = LocalBlock
    hidden_arguments: ClassVar = {"img_range": (255.0, 1.0)}
    variants: ClassVar = {
        "RLFN": {},
        "RLFN-S": {"num_features": 48},
        "RLFN-NTIRE2022": {"num_features": 46, "mid_channels": 48, "num_blocks": 4},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 52,
        num_blocks: int = 6,
        mid_channels: int | None = None,
        esa_channels: int = 16,
        img_range: float = 255.0,
    ) -> None:
        super().__init__(scale, colour)
        if mid_channels is None:
            mid_channels = num_features
        require_positive("RLFN", num_features=num_features, num_blocks=num_blocks)
        require_positive("RLFN", mid_channels=mid_channels, esa_channels=esa_channels)
        if not img_range > 0:
            raise ConfigError(f"RLFN: img_range={img_range!r} is not possible; it is above 0", key="img_range")
        self.img_range = float(img_range)
        self.conv_1 = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self._blocks = [f"block_{number}" for number in range(1, num_blocks + 1)]
        for name in self._blocks:
            self.add_module(name, LocalBlock(num_features, mid_channels, esa_channels))
        self.conv_2 = nn.Conv2d(num_features, num_features, 3, padding=1)
        last = nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1)
        self.upsampler = nn.Sequential(last, nn.PixelShuffle(scale))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        features = shallow = self.conv_1(lq * self.img_range)
        for name in self._blocks:
            features = self.get_submodule(name)(features)
        return self.upsampler(shallow + self.conv_2(features)) / self.img_range
