"""SRFormer: attention in large windows whose keys and values are a quarter as many, and as deep.

Zhou, Li, Guo, Bai, Cheng, Hou: "SRFormer: permuted self-attention for single image
super-resolution" (ICCV 2023, arXiv:2303.09735).

state_dict, the official release's: see `window_transformer`, and of each block `norm1`
`attn.relative_position_bias_table` `attn.kv` `attn.q` `attn.proj` `norm2` `mlp.fc1`
`mlp.dwconv.depthwise_conv.0` `mlp.fc2`. The files also have the constants
`attn.aligned_relative_position_index` and `attn_mask`, which are made here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.attention import (
    StochasticDepth,
    as_features,
    as_image,
    attend,
    drop_path_rates,
    from_heads,
    init_transformer,
    position_bias,
    region_mask,
    regions,
    relative_positions,
    require_heads,
    to_heads,
)
from srtoolbox.models.networks.window_transformer import WindowTransformer
from srtoolbox.registry import NETWORKS


def permuted_mask(features: Tensor, window: int) -> Tensor:
    """Return what shifted windows add to logits, for (N, H, W, C): (windows, pixels, cells)."""
    height, width = features.shape[1:3]
    cells, shift = window // 2, window // 2
    far = (shift + 1) // 2  # a cell that the border cuts is on the far side, as the authors have it
    query = regions((height, width), (window, window), (shift, shift), features.device)
    key = regions((height // 2, width // 2), (cells, cells), (far, far), features.device)
    return region_mask(query, key, features.dtype)


class PermutedAttention(nn.Module):
    """Attention of each pixel of a window to its 2 x 2 cells.

    Keys and values are of a quarter of the channels; those of a cell's four pixels, one after the
    other, are one key of all channels.
    """

    relative_position_index: Tensor

    def __init__(self, num_features: int, num_heads: int, window: int, shift: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        cells = window // 2
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * cells - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        index = relative_positions((cells, cells), finer=2)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.kv = nn.Linear(num_features, num_features // 2, bias=qkv_bias)
        self.q = nn.Linear(num_features, num_features, bias=qkv_bias)
        self.proj = nn.Linear(num_features, num_features)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        size, window = features.shape[1:3], (self.window, self.window)
        if self.shift:
            features = features.roll((-self.shift, -self.shift), (1, 2))
        query = to_heads(self.q(features), window, self.num_heads)[0]
        key, value = self._cells(self.kv(features)).unbind()
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        attended = attend(query, key, value, bias, mask if self.shift else None)
        result = self.proj(from_heads(attended, size, window))
        return result.roll((self.shift, self.shift), (1, 2)) if self.shift else result

    def _cells(self, pairs: Tensor) -> Tensor:
        """(N, H, W, 2 * C / 4) -> keys and values (2, N * windows, heads, cells, C / heads)."""
        count, height, width, channels = pairs.shape
        side, cells = self.window, self.window // 2
        split = pairs.view(count, height // side, cells, 2, width // side, cells, 2, 2, channels // 2)
        inner = split.permute(7, 0, 1, 4, 2, 5, 3, 6, 8).flatten(4, 5).flatten(5, 7).flatten(1, 3)
        return inner.unflatten(-1, (self.num_heads, -1)).transpose(2, 3)


class ConvMLP(nn.Module):
    """Two linear layers, with a 5x5 convolution of each hidden channel added between."""

    def __init__(self, num_features: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(num_features, hidden)
        convolution = nn.Sequential(nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden), nn.GELU())
        self.dwconv = nn.Sequential(OrderedDict(depthwise_conv=convolution))
        self.fc2 = nn.Linear(hidden, num_features)

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, C) -> the same."""
        hidden = F.gelu(self.fc1(features))
        return self.fc2(hidden + as_features(self.dwconv(as_image(hidden))))


class PermutedBlock(nn.Module):
    """Permuted attention, then the layers with a convolution, each normalised and added."""

    def __init__(
        self, num_features: int, num_heads: int, window: int, shift: int, mlp_ratio: float, qkv_bias: bool, rate: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(num_features)
        self.attn = PermutedAttention(num_features, num_heads, window, shift, qkv_bias)
        self.drop_path = StochasticDepth(rate)
        self.norm2 = nn.LayerNorm(num_features)
        self.mlp = ConvMLP(num_features, int(num_features * mlp_ratio))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        features = features + self.drop_path(self.attn(self.norm1(features), mask))
        return features + self.drop_path(self.mlp(self.norm2(features)))


@NETWORKS.register
class SRFormer(WindowTransformer):
    """Permuted attention at the LR size, every second block with shifted windows.

    The defaults are the paper's network for DIV2K: 10.5 million parameters at x4; on DF2K its
    windows are smaller. SRFormer-light has 0.9 million.

    What a pixel depends on follows from where it is in its windows, and shifted windows carry it on
    from block to block: there is no receptive field, and large images are cross-faded.

    Args:
        scale: 1, 2, 3, 4 or 8; 'nearest+conv' has 2, 4 and 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body, a multiple of 4 and of each of `num_heads`.
        depths: blocks of each group.
        num_heads: heads of each group's attention.
        window_size: side of the windows, even.
        mlp_ratio: hidden channels of a block's last layers over `num_features`.
        qkv_bias: query, key and value have biases.
        upsampler: 'pixelshuffle' (convolutions and sub-pixel steps), 'pixelshuffledirect' (one
            step, light) or 'nearest+conv' (x2, x4, x8: repeated pixels, then convolutions). Means
            nothing at x1.
        resi_connection: what closes a group: '1conv', or '3conv', narrow between, for many
            channels.
        img_range: 1.0, or 255.0 for weights trained so.
        drop_path_rate: of the last block's residuals, that are left out in training; it rises from
            0 at the first.
    """

    variants: ClassVar = {
        "SRFormer": {},
        "SRFormer-DF2K": {"window_size": 22},
        "SRFormer-light": {
            "num_features": 60,
            "depths": (6,) * 4,
            "num_heads": (6,) * 4,
            "window_size": 16,
            "upsampler": "pixelshuffledirect",
        },
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 24,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        upsampler: str = "pixelshuffle",
        resi_connection: str = "1conv",
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
    ) -> None:
        require_positive("SRFormer", num_features=num_features, window_size=window_size)
        require_positive("SRFormer", **{"mlp_ratio * num_features": int(num_features * mlp_ratio)})
        require_heads("SRFormer", num_features, num_heads, depths)
        for key, value, multiple in (("num_features", num_features, 4), ("window_size", window_size, 2)):
            if value % multiple:
                fault = f"{key}={value} is not possible; it is a multiple of {multiple}"
                raise ConfigError(f"SRFormer: {fault}", key=key)
        shift = window_size // 2
        groups = [
            [
                PermutedBlock(num_features, heads, window_size, number % 2 * shift, mlp_ratio, qkv_bias, rate)
                for number, rate in enumerate(rates)
            ]
            for heads, rates in zip(num_heads, drop_path_rates(drop_path_rate, depths), strict=True)
        ]
        super().__init__(
            scale,
            colour,
            groups,
            num_features=num_features,
            window_size=window_size,
            upsampler=upsampler,
            resi_connection=resi_connection,
            img_range=img_range,
        )
        self.apply(init_transformer)

    def mask(self, features: Tensor) -> Tensor:
        """Return what shifted windows add to logits, for (N, H, W, C): (windows, pixels, cells)."""
        return permuted_mask(features, self.window_size)
