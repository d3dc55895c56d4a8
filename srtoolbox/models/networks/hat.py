"""HAT: SwinIR with channel attention beside that in windows, and windows that look into their neighbours.

Chen, Wang, Zhou, Qiao, Dong: "Activating more pixels in image super-resolution Transformer"
(CVPR 2023, arXiv:2205.04437).

state_dict, the official release's: see `window_transformer`; of each block `norm1`
`attn.relative_position_bias_table` `attn.qkv` `attn.proj` `conv_block.cab.{0,2}`
`conv_block.cab.3.attention.{1,3}` `norm2` `mlp.fc1` `mlp.fc2`; after the blocks of a group
`residual_group.overlap_attn` with `relative_position_bias_table` `norm1` `qkv` `proj` `norm2`
`mlp`. The files also have the constants `relative_position_index_SA` and
`relative_position_index_OCA`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.attention import (
    MLP,
    StochasticDepth,
    WindowAttention,
    as_features,
    as_image,
    attend,
    drop_path_rates,
    from_heads,
    init_transformer,
    position_bias,
    require_heads,
    to_heads,
)
from srtoolbox.models.networks.window_transformer import Blocks, ResidualGroup, WindowTransformer
from srtoolbox.registry import NETWORKS


def overlap_positions(window: int, side: int) -> Tensor:
    """Return the row of a table for each pixel of a window and each of the larger one around it.

    The table has (window + side - 1)^2 rows. Rows of negative distances are counted from its end.
    """
    inner, outer, width = np.arange(window), np.arange(side), window + side - 1
    distance = outer - inner[:, None] + window - side + 1
    index = distance[:, None, :, None] * width + distance[None, :, None, :]
    return torch.tensor(index.reshape(window**2, side**2) % width**2, dtype=torch.int32)


def overlapping_windows(features: Tensor, window: int, reach: int, num_heads: int) -> Tensor:
    """Cut (N, H, W, 2 * heads * F) into windows that reach into neighbours, and zeros outside.

    Returns:
        (2, N * windows, heads, side * side, F), where side = window + 2 * reach.
    """
    height, width, channels = features.shape[1:]
    side = window + 2 * reach
    padded = F.pad(features, (0, 0, reach, reach, reach, reach))
    if torch.compiler.is_exporting():  # pixels that several windows see are repeated, by indices
        for dim, length in ((1, height), (2, width)):
            starts = torch.arange(0, length, window, device=features.device)
            rows = starts[:, None] + torch.arange(side, device=features.device)
            padded = padded.index_select(dim, rows.flatten())
        return to_heads(padded, (side, side), num_heads, 2)
    cells = padded.unfold(1, side, window).unfold(2, side, window)
    parts = cells.unflatten(3, (2, num_heads, channels // 2 // num_heads))
    return parts.permute(3, 0, 1, 2, 4, 6, 7, 5).flatten(5, 6).flatten(1, 3)


class ChannelGate(nn.Module):
    """Scales channels by a function of all channels' means over the image."""

    def __init__(self, num_features: int, squeeze_factor: int) -> None:
        super().__init__()
        hidden = num_features // squeeze_factor
        narrow, wide = nn.Conv2d(num_features, hidden, 1), nn.Conv2d(hidden, num_features, 1)
        self.attention = nn.Sequential(nn.Identity(), narrow, nn.ReLU(inplace=True), wide, nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        # sums over a whole image lose half precision
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        return features * self.attention(exact.mean((2, 3), keepdim=True).to(features.dtype))


class ConvolutionBlock(nn.Module):
    """Two convolutions, narrow between, and the gate."""

    def __init__(self, num_features: int, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        hidden = num_features // compress_ratio
        self.cab = nn.Sequential(
            nn.Conv2d(num_features, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, num_features, 3, padding=1),
            ChannelGate(num_features, squeeze_factor),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, C) -> the same."""
        return as_features(self.cab(as_image(features)))


class HybridBlock(nn.Module):
    """Attention in windows and, with a small weight, the convolutions.

    Then a layer for each pixel alone.
    """

    def __init__(
        self,
        attention: WindowAttention,
        convolutions: ConvolutionBlock,
        num_features: int,
        *,
        conv_scale: float,
        mlp_ratio: float,
        rate: float,
    ) -> None:
        super().__init__()
        self.conv_scale = conv_scale
        self.norm1 = nn.LayerNorm(num_features)
        self.attn, self.conv_block = attention, convolutions
        self.drop_path = StochasticDepth(rate)
        self.norm2 = nn.LayerNorm(num_features)
        self.mlp = MLP(num_features, int(num_features * mlp_ratio))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        normed = self.norm1(features)
        features = features + self.drop_path(self.attn(normed, mask))
        features = torch.add(features, self.conv_block(normed), alpha=self.conv_scale)
        return features + self.drop_path(self.mlp(self.norm2(features)))


class OverlappingAttention(nn.Module):
    """Pixels of a window attend to those of a larger one around it.

    Then a layer for each pixel alone.
    """

    index: Tensor

    def __init__(
        self, num_features: int, num_heads: int, window: int, reach: int, mlp_ratio: float, qkv_bias: bool
    ) -> None:
        super().__init__()
        self.num_heads, self.window, self.reach = num_heads, window, reach
        side = window + 2 * reach
        self.norm1 = nn.LayerNorm(num_features)
        self.qkv = nn.Linear(num_features, 3 * num_features, bias=qkv_bias)
        self.relative_position_bias_table = nn.Parameter(torch.empty((window + side - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("index", overlap_positions(window, side), persistent=False)
        self.proj = nn.Linear(num_features, num_features)
        self.norm2 = nn.LayerNorm(num_features)
        self.mlp = MLP(num_features, int(num_features * mlp_ratio))

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, C) -> the same."""
        size, channels, window = features.shape[1:3], features.shape[3], (self.window, self.window)
        query, others = self.qkv(self.norm1(features)).split([channels, 2 * channels], -1)
        (query,) = to_heads(query, window, self.num_heads).unbind()
        key, value = overlapping_windows(others, self.window, self.reach, self.num_heads).unbind()
        bias = position_bias(self.relative_position_bias_table, self.index)
        features = features + self.proj(from_heads(attend(query, key, value, bias), size, window))
        return features + self.mlp(self.norm2(features))


class HybridBlocks(Blocks):
    """Blocks in a row, then attention of overlapping windows."""

    def __init__(self, blocks: Sequence[nn.Module], overlap_attn: OverlappingAttention) -> None:
        super().__init__(blocks)
        self.overlap_attn = overlap_attn

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.overlap_attn(super().forward(features, mask))


class HybridGroup(ResidualGroup):
    """Hybrid blocks, attention of overlapping windows, a convolution, added to the input."""

    def __init__(self, blocks: Sequence[nn.Module], overlap_attn: OverlappingAttention, num_features: int) -> None:
        super().__init__(blocks, num_features, "1conv")
        self.residual_group = HybridBlocks(blocks, overlap_attn)


@NETWORKS.register
class HAT(WindowTransformer):
    """Hybrid blocks at the LR size, with attention of overlapping windows at the end of each group.

    The defaults are the paper's HAT: 20.8 million parameters at x4. HAT-S has 9.6 million, HAT-L
    40.8 million.

    Channel gates see the whole image: there is no receptive field, and tiles are not restored
    exactly as the whole.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body, a multiple of each of `num_heads`.
        depths: hybrid blocks of each group.
        num_heads: heads of each group's attention.
        window_size: side of the windows.
        compress_ratio: `num_features` over the channels between a block's two convolutions.
        squeeze_factor: `num_features` over the hidden channels of the gate.
        conv_scale: weight of the convolutions beside the attention.
        overlap_ratio: what larger windows have more than a window, over its side.
        mlp_ratio: hidden channels of a block's last layers over `num_features`.
        qkv_bias: query, key and value have biases.
        img_range: 1.0, or 255.0 for weights trained so.
        drop_path_rate: of the last block's residuals, that are left out in training; it rises from
            0 at the first.
    """

    repeated_block = HybridGroup
    has_tail_at_1 = True
    variants: ClassVar = {
        "HAT": {},
        "HAT-S": {"num_features": 144, "compress_ratio": 24, "squeeze_factor": 24},
        "HAT-L": {"depths": (6,) * 12, "num_heads": (6,) * 12},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 16,
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        conv_scale: float = 0.01,
        overlap_ratio: float = 0.5,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
    ) -> None:
        require_positive("HAT", num_features=num_features, window_size=window_size)
        require_positive("HAT", compress_ratio=compress_ratio, squeeze_factor=squeeze_factor)
        require_heads("HAT", num_features, num_heads, depths)
        for key, ratio in (("compress_ratio", compress_ratio), ("squeeze_factor", squeeze_factor)):
            if ratio > num_features:
                fault = f"{key}={ratio} is not possible; it is at most num_features={num_features}"
                raise ConfigError(f"HAT: {fault}", key=key)
        more = int(window_size * overlap_ratio)
        if more < 0 or more % 2:
            fault = f"overlap_ratio={overlap_ratio} is not possible; windows of {window_size} grow by an even number"
            raise ConfigError(f"HAT: {fault}", key="overlap_ratio")

        def block(heads: int, number: int, rate: float) -> HybridBlock:
            window, shift = (window_size, window_size), number % 2 * (window_size // 2)
            attention = WindowAttention(num_features, heads, window, (shift, shift), qkv_bias)
            convolutions = ConvolutionBlock(num_features, compress_ratio, squeeze_factor)
            options = {"conv_scale": conv_scale, "mlp_ratio": mlp_ratio, "rate": rate}
            return HybridBlock(attention, convolutions, num_features, **options)

        groups = [
            HybridGroup(
                [block(heads, number, rate) for number, rate in enumerate(rates)],
                OverlappingAttention(num_features, heads, window_size, more // 2, mlp_ratio, qkv_bias),
                num_features,
            )
            for heads, rates in zip(num_heads, drop_path_rates(drop_path_rate, depths), strict=True)
        ]
        super().__init__(
            scale,
            colour,
            groups,
            num_features=num_features,
            window_size=window_size,
            upsampler="pixelshuffle",
            resi_connection="1conv",
            img_range=img_range,
        )
        self.apply(init_transformer)
