"""RCAN: groups of residual blocks with channel attention, a skip around each, each group and all.

Zhang, Li, Li, Wang, Zhong, Fu: "Image super-resolution using very deep residual channel attention
networks" (ECCV 2018, arXiv:1807.02758).

state_dict, the authors': `head.0`, `body.G.body.B.body.{0,2}` and
`body.G.body.B.body.3.conv_du.{0,2}` of block B in group G, each group's last convolution
`body.G.body.20` after 20 blocks, `body.10` after 10 groups, `tail.0.{0,2}` (at x4; `tail.0.0` at x2
and x3), `tail.1`; each `.weight` and `.bias`. Its frozen `sub_mean` and `add_mean` are arguments
here, `img_range` and `rgb_mean`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, receptive_field, sub_pixel_field, sub_pixel_steps
from srtoolbox.registry import NETWORKS


class ChannelAttention(nn.Module):
    """Scales channels by a function of all channels' means over the image."""

    def __init__(self, num_features: int, reduction: int) -> None:
        super().__init__()
        hidden = num_features // reduction
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(num_features, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, num_features, 1), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        return features * self.conv_du(self.avg_pool(features))


class AttentionBlock(nn.Module):
    """x + attention(conv(relu(conv(x))))."""

    def __init__(self, num_features: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(num_features, num_features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_features, num_features, 3, padding=1),
            ChannelAttention(num_features, reduction),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class ResidualGroup(nn.Module):
    """Blocks and a convolution under a skip."""

    def __init__(self, num_features: int, num_blocks: int, reduction: int) -> None:
        super().__init__()
        blocks = [AttentionBlock(num_features, reduction) for _ in range(num_blocks)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(num_features, num_features, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


@NETWORKS.register
class RCAN(Centred):
    """Residual groups under a long skip, sub-pixel steps, a last convolution.

    The defaults are the paper's, 15.6 M parameters at x4. The channel attention sees the whole
    image, so there is no receptive field.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_groups: residual groups.
        num_blocks: blocks in each group.
        reduction: channels over those inside the channel attention.
        unshuffle: x2 and x1 are the x4 network on the image rearranged to half, or a quarter, of
            its size, as later projects have it; see `RRDBNet`. Means nothing at the other scales.
        img_range, rgb_mean: see `Centred`.
    """

    scales = (1, 2, 3, 4, 8)
    repeated_block = AttentionBlock
    hidden_arguments: ClassVar = {"img_range": (255.0, 1.0), "rgb_mean": (DIV2K_MEAN, (0.0, 0.0, 0.0))}

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_groups: int = 10,
        num_blocks: int = 20,
        reduction: int = 16,
        unshuffle: bool = False,
        img_range: float = 255.0,
        rgb_mean: Sequence[float] = DIV2K_MEAN,
    ) -> None:
        super().__init__(scale, colour, img_range, rgb_mean)
        require_positive("RCAN", num_features=num_features, num_groups=num_groups)
        require_positive("RCAN", num_blocks=num_blocks, reduction=reduction)
        if reduction > num_features:
            fault = f"reduction={reduction} leaves none of {num_features} channels"
            raise ConfigError(f"RCAN: {fault}; it is at most num_features", key="reduction")
        self.size_multiple = cell = 4 // scale if unshuffle and scale in (1, 2) else 1
        first = nn.Conv2d(self.in_channels * cell**2, num_features, 3, padding=1)
        self.head = nn.Sequential(*[nn.PixelUnshuffle(cell)] * (cell > 1), first)
        groups = [ResidualGroup(num_features, num_blocks, reduction) for _ in range(num_groups)]
        self.body = nn.Sequential(*groups, nn.Conv2d(num_features, num_features, 3, padding=1))
        last = nn.Conv2d(num_features, self.in_channels, 3, padding=1)
        self.tail = nn.Sequential(nn.Sequential(*sub_pixel_steps(scale * cell, num_features)), last)
        self.reconstruct_field = cell * receptive_field([*sub_pixel_field(scale * cell), 3])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], multiples of `size_multiple` -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H / size_multiple, W / size_multiple)."""
        shallow = self.head(self.centre(lq))
        return shallow + self.body(shallow)

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        return self.uncentre(self.tail(features))
