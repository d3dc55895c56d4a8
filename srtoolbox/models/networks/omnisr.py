"""OmniSR: attention between pixels and between channels, in windows and over the image, by turns.

Wang, Chen, Ni, Liu, Liu: "Omni aggregation networks for lightweight image super-resolution"
(CVPR 2023, arXiv:2304.10244).

state_dict, the authors': `input`, `residual_layer.G.residual_layer.B.layer.N` of block B of group
G:
    0: `fn.{0,2,4.gate.1,4.gate.3,5}`, a convolution for each channel with a channel attention;
    2, 8: `norm` `fn.{to_qkv,to_out.0,rel_pos_bias}`, attention between pixels, in windows and in
    grids;
    5, 11: `norm` `fn.{temperature,qkv,qkv_dwconv,project_out}`, the same between channels;
    4, 6, 10, 12: `norm` `fn.{project_in,dwconv,project_out}`, what follows each attention;
then of each group `residual_layer.G.residual_layer.B`, after B blocks, and
`residual_layer.G.esa.{conv1,conv2,conv3,conv4,conv_f}`; `output`, `up.0`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.attention import (
    Conv1x1,
    as_features,
    as_image,
    attend,
    crop,
    from_heads,
    position_bias,
    relative_positions,
    to_heads,
)
from srtoolbox.registry import NETWORKS

HEADS = 4
LEAST_LENGTH = 1e-12  # of a channel over the pixels of a window or grid
LEAST_SIDE = 15  # of what the last gate of a group takes
Cell = tuple[int, int]


def exact(features: Tensor) -> Tensor:
    """Return at least single precision: sums over an image overflow or lose half of it."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def to_grids(features: Tensor, cell: Cell, num_heads: int, parts: int) -> Tensor:
    """Gather the pixels of (N, H, W, parts * heads * F) that are at one place of their cells.

    Returns:
        (parts, N * places of a cell, heads, cells, F).
    """
    count, height, width, channels = features.shape
    high, wide = cell
    shape = (height // high, high, width // wide, wide, parts, num_heads, channels // parts // num_heads)
    return features.view(count, *shape).permute(5, 0, 2, 4, 6, 1, 3, 7).flatten(5, 6).flatten(1, 3)


def from_grids(grids: Tensor, size: Sequence[int], cell: Cell) -> Tensor:
    """Put (N * places, heads, cells, F) together again: (N, *size, heads * F)."""
    (height, width), (high, wide) = size, cell
    heads, channels = grids.shape[1], grids.shape[3]
    parts = grids.view(-1, high, wide, heads, height // high, width // wide, channels)
    # flat before its shape, as in `from_heads`
    flat = parts.permute(0, 4, 1, 5, 2, 3, 6).contiguous().view(-1)
    return flat.view(-1, height, width, heads * channels)


class ChannelwiseConv(nn.Conv2d):
    """A 3x3 convolution of each channel by itself, of (N, H, W, C)."""

    def __init__(self, num_features: int, bias: bool) -> None:
        super().__init__(num_features, num_features, 3, padding=1, groups=num_features, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        return as_features(super().forward(as_image(features)))


class Residual(nn.Module):
    """x + fn(norm(x)), or x + fn(x) without a `norm`."""

    def __init__(self, fn: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.fn, self.norm = fn, norm

    def forward(self, features: Tensor) -> Tensor:
        return features + self.fn(features if self.norm is None else self.norm(features))


class ChannelGate(nn.Module):
    """Scales channels by a function of all channels' means over the image."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        hidden = num_features // 4
        narrow, wide = nn.Linear(num_features, hidden, bias=False), nn.Linear(hidden, num_features, bias=False)
        self.gate = nn.Sequential(nn.Identity(), narrow, nn.SiLU(), wide, nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        mean = exact(features).mean((1, 2), keepdim=True)
        return features * self.gate(mean.to(features.dtype))


def local_convolution(num_features: int) -> Residual:
    """Return the inverted bottleneck that begins a block."""
    wide, mixed = Conv1x1(num_features, num_features), ChannelwiseConv(num_features, bias=True)
    gate, narrow = ChannelGate(num_features), Conv1x1(num_features, num_features)
    return Residual(nn.Sequential(wide, nn.GELU(), mixed, nn.GELU(), gate, narrow))


class PixelAttention(nn.Module):
    """Attention between the pixels of a window, or between those of a grid over the whole image.

    Args:
        num_features: channels.
        window: side of the windows, and pixels of a grid in each direction.
        is_grid: grids in place of windows.
        pe: a bias by relative position.
    """

    index: Tensor

    def __init__(self, num_features: int, window: int, is_grid: bool, pe: bool) -> None:
        super().__init__()
        self.window, self.is_grid = window, is_grid
        self.to_qkv = nn.Linear(num_features, 3 * num_features, bias=False)
        self.to_out = nn.Sequential(nn.Linear(num_features, num_features, bias=False))
        self.rel_pos_bias = nn.Embedding((2 * window - 1) ** 2, HEADS) if pe else None
        self.register_buffer("index", relative_positions((window, window)), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[1:3]
        cell = (height // self.window, width // self.window) if self.is_grid else (self.window, self.window)
        cut, join = (to_grids, from_grids) if self.is_grid else (to_heads, from_heads)
        query, key, value = cut(self.to_qkv(features), cell, HEADS, 3).unbind()
        if self.rel_pos_bias is None:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = attend(query, key, value, position_bias(self.rel_pos_bias.weight, self.index))
        return self.to_out(join(attended, (height, width), cell))


class ChannelAttention(nn.Module):
    """Attention between channels: by cosines in a window, or in a grid over the whole image."""

    def __init__(self, num_features: int, window: int, is_grid: bool) -> None:
        super().__init__()
        self.window, self.is_grid = window, is_grid
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.qkv = Conv1x1(num_features, 3 * num_features, bias=False)
        self.qkv_dwconv = ChannelwiseConv(3 * num_features, bias=False)
        self.project_out = Conv1x1(num_features, num_features, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        cell = (self.window, self.window)
        cut, join = (to_grids, from_grids) if self.is_grid else (to_heads, from_heads)
        query, key, value = cut(self.qkv_dwconv(self.qkv(features)), cell, HEADS, 3).unbind()
        query, key = exact(query), exact(key)
        lengths = [part.norm(dim=-2, keepdim=True).clamp_min(LEAST_LENGTH) for part in (query, key)]
        # one after the other: the gradient of a division by their product is not finite at zero
        cosines = key.transpose(-2, -1) @ query / lengths[0] / lengths[1].transpose(-2, -1)
        attended = value @ (cosines * self.temperature).softmax(-2).to(value.dtype)
        return self.project_out(join(attended, features.shape[1:3], cell))


class GatedConvolution(nn.Module):
    """Half the channels, through GELU, times the other half; each saw its neighbours."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.project_in = Conv1x1(num_features, 2 * num_features, bias=False)
        self.dwconv = ChannelwiseConv(2 * num_features, bias=False)
        self.project_out = Conv1x1(num_features, num_features, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(features)).chunk(2, -1)
        return self.project_out(F.gelu(gate) * value)


class OmniBlock(nn.Module):
    """A convolution, then attention of pixels and of channels, in windows and then in grids."""

    def __init__(self, num_features: int, window: int, pe: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleDict({"0": local_convolution(num_features)})

        def add(number: int, layer: nn.Module, eps: float = 1e-6) -> None:
            self.layer[str(number)] = Residual(layer, nn.LayerNorm(num_features, eps))

        for is_grid in (False, True):
            first = 8 if is_grid else 2
            add(first, PixelAttention(num_features, window, is_grid, pe), eps=1e-5)
            add(first + 2, GatedConvolution(num_features))
            add(first + 3, ChannelAttention(num_features, window, is_grid))
            add(first + 4, GatedConvolution(num_features))

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, C) -> the same."""
        for layer in self.layer.values():
            features = layer(features)
        return features


class SpatialGate(nn.Module):
    """Scales each value by a function of a wide neighbourhood, pooled (ESA)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        hidden = max(num_features // 4, 16)
        self.conv1 = Conv1x1(num_features, hidden)
        self.conv_f = Conv1x1(hidden, hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=2)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv4 = Conv1x1(hidden, num_features)

    def forward(self, features: Tensor) -> Tensor:
        narrow = self.conv1(features)
        pooled = F.max_pool2d(self.conv2(as_image(narrow)), 7, stride=3)
        wide = F.interpolate(self.conv3(pooled), features.shape[1:3], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(self.conv4(as_features(wide) + self.conv_f(narrow)))


class OmniGroup(nn.Module):
    """Blocks and a 1x1 convolution, added to the input, then the gate."""

    def __init__(self, num_features: int, num_blocks: int, window: int, pe: bool, bias: bool) -> None:
        super().__init__()
        blocks = [OmniBlock(num_features, window, pe) for _ in range(num_blocks)]
        self.residual_layer = nn.Sequential(*blocks, Conv1x1(num_features, num_features, bias))
        self.esa = SpatialGate(num_features)

    def forward(self, features: Tensor) -> Tensor:
        return self.esa(features + self.residual_layer(features))


@NETWORKS.register
class OmniSR(SRNetwork):
    """Groups of omni blocks under a long skip, one sub-pixel step.

    The defaults are the paper's: 805 thousand parameters at x4 (the paper's 792 leave biases by
    position and normalisation out), 785 at x2, 793 at x3. Channel gates and grids see the whole
    image: there is no receptive field, and tiles are not restored exactly as the whole. Images are
    continued with zeros at the bottom and right up to multiples of the window, at least to 15
    pixels; the result is cut. Weights begin as torch has it.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels, a multiple of 4.
        num_groups: groups.
        num_blocks: blocks of each group.
        window_size: side of the windows.
        pe: attention between pixels knows their relative position.
        bias: the convolutions outside the blocks have biases.
    """

    repeated_block = OmniBlock

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_groups: int = 5,
        num_blocks: int = 1,
        window_size: int = 8,
        pe: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(scale, colour)
        require_positive("OmniSR", num_features=num_features, num_groups=num_groups, num_blocks=num_blocks)
        require_positive("OmniSR", window_size=window_size)
        if num_features % HEADS:
            fault = f"num_features={num_features} is not possible; it is a multiple of {HEADS}"
            raise ConfigError(f"OmniSR: {fault}", key="num_features")
        self.window_size = window_size
        self.least_side = -(-LEAST_SIDE // window_size) * window_size
        self.padded_multiple = max(self.least_side - window_size, window_size)
        groups = [OmniGroup(num_features, num_blocks, window_size, pe, bias) for _ in range(num_groups)]
        self.residual_layer = nn.Sequential(*groups)
        self.input = nn.Conv2d(self.in_channels, num_features, 3, padding=1, bias=bias)
        self.output = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias)
        last = nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1, bias=bias)
        self.up = nn.Sequential(last, nn.PixelShuffle(scale))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        height, width = lq.shape[-2:]
        shallow = self.input(self._continued(lq))
        deep = as_image(self.residual_layer(as_features(shallow)))
        result = self.up(shallow + self.output(deep))
        return crop(result, height * self.scale, width * self.scale)

    def _continued(self, image: Tensor) -> Tensor:
        window = self.window_size
        height, width = ((side + window - 1) // window * window for side in image.shape[-2:])
        if not torch.compiler.is_exporting():  # there images are larger than `padded_multiple`
            height, width = max(height, self.least_side), max(width, self.least_side)
        return F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))
