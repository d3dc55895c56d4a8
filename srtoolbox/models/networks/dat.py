"""DAT: attention over pixels in oblong windows and attention over channels, in turns.

Chen, Zhang, Gu, Kong, Yang, Yu: "Dual aggregation transformer for image super-resolution" (ICCV
2023, arXiv:2308.03364).

state_dict, the official release's: `conv_first` `before_RG.1` `layers.N.blocks.M.*` `layers.N.conv`
`norm` `conv_after_body`, then 'pixelshuffle': `conv_before_upsample.0` `upsample.{0,2}`
`conv_last`, 'pixelshuffledirect': `upsample.0`. Of each block `norm1` `attn.*` `norm2` `ffn.fc1`
`ffn.sg.{norm,conv}` `ffn.fc2`; of all attention `qkv` `proj` `dwconv.{0,1}`
`channel_interaction.{1,2,4}` `spatial_interaction.{0,1,3}`, over channels also `temperature`, over
pixels `attns.{0,1}.rpe_biases` (constant: all distances in a window) and
`attns.{0,1}.pos.{pos_proj,pos1.0,pos1.2,pos2.0,pos2.2,pos3.0,pos3.2}`. The files also have the
constants `attn_mask_{0,1}` and `relative_position_index`, which are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_choice, require_positive
from srtoolbox.models.networks.attention import (
    StochasticDepth,
    Window,
    as_features,
    as_image,
    attend,
    crop,
    drop_path_rates,
    from_heads,
    init_transformer,
    position_bias,
    region_mask,
    regions,
    relative_positions,
    require_heads,
)
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, sub_pixel_steps
from srtoolbox.models.networks.window_transformer import CONNECTIONS, TAIL_FEATURES, body_convolution
from srtoolbox.registry import NETWORKS

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect")
LEAST_FEATURES = 32  # the layers of positions have 1/32 of them
Masks = tuple[Tensor, Tensor]  # of the windows of both halves of the channels


# ---- what is added to each attention


class GlobalMean(nn.Module):
    """The mean of each channel over the image, which half precision has no room for."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        exact = torch.promote_types(features.dtype, torch.float32)
        return features.mean((2, 3), keepdim=True, dtype=exact).to(features.dtype)


class Interaction(nn.Module):
    """Adaptive interaction module: attention, a convolution of its values, each gating the other.

    A subclass attends. What is local gives a gate for each channel, what has looked over channels
    or far away one for each pixel.

    Args:
        num_features: channels.
        num_heads: heads of the attention.
        qkv_bias: query, key and value have biases.
    """

    def __init__(self, num_features: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(num_features, 3 * num_features, bias=qkv_bias)
        self.proj = nn.Linear(num_features, num_features)
        convolution = nn.Conv2d(num_features, num_features, 3, padding=1, groups=num_features)
        self.dwconv = nn.Sequential(convolution, nn.BatchNorm2d(num_features), nn.GELU())
        narrow = num_features // 8
        self.channel_interaction = nn.Sequential(
            GlobalMean(),
            nn.Conv2d(num_features, narrow, 1),
            nn.BatchNorm2d(narrow),
            nn.GELU(),
            nn.Conv2d(narrow, num_features, 1),
        )
        narrow = num_features // 16
        self.spatial_interaction = nn.Sequential(
            nn.Conv2d(num_features, narrow, 1), nn.BatchNorm2d(narrow), nn.GELU(), nn.Conv2d(narrow, 1, 1)
        )

    def interact(self, for_channels: Tensor, for_pixels: Tensor) -> Tensor:
        """Gate each of two (N, C, H, W) by the other, add them and mix channels: (N, H, W, C)."""
        channels, pixels = self.channel_interaction(for_channels), self.spatial_interaction(for_pixels)
        both = for_pixels * torch.sigmoid(channels) + for_channels * torch.sigmoid(pixels)
        return self.proj(as_features(both))


# ---- attention over pixels


def distances(window: Window) -> Tensor:
    """Return (down, right) of each row of a table of distances in a window, as floats."""
    # on the meta device, torch's take seconds
    axes = [np.arange(1 - side, side) for side in window]
    return torch.tensor(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2), dtype=torch.float32)


def filled(side: int, multiple: int) -> int:
    """Return the least multiple that is not below a side."""
    return (side + multiple - 1) // multiple * multiple


class PositionBias(nn.Module):
    """Dynamic position bias: the bias of a distance is a function that is learned, not a table."""

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.pos_proj = nn.Linear(2, hidden)
        self.pos1, self.pos2, self.pos3 = (
            nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))
            for outputs in (hidden, hidden, num_heads)
        )

    def forward(self, distances: Tensor) -> Tensor:
        """(rows, 2) -> (rows, heads)."""
        return self.pos3(self.pos2(self.pos1(self.pos_proj(distances))))


class WindowAttention(nn.Module):
    """Multi-head attention in windows of query, key and value that are given."""

    rpe_biases: Tensor
    relative_position_index: Tensor

    def __init__(self, num_features: int, num_heads: int, window: Window, shift: Window) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        self.pos = PositionBias(num_features // 16, num_heads)
        self.register_buffer("rpe_biases", distances(window))
        self.register_buffer("relative_position_index", relative_positions(window), persistent=False)

    def forward(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        """(N, H, W, 3, C), sides multiples of the window -> (N, H, W, C)."""
        (count, height, width), (high, wide), (down, right) = qkv.shape[:3], self.window, self.shift
        if mask is not None:
            qkv = qkv.roll((-down, -right), (1, 2))
        cells = qkv.view(count, height // high, high, width // wide, wide, 3, self.num_heads, -1)
        query, key, value = cells.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 3).unbind()
        bias = position_bias(self.pos(self.rpe_biases), self.relative_position_index)
        result = from_heads(attend(query, key, value, bias, mask), (height, width), self.window)
        return result if mask is None else result.roll((down, right), (1, 2))


class SpatialAttention(Interaction):
    """Attention in windows, lying ones for half of the channels and standing ones for the other.

    Images are filled up with zeros, as query, key and value, to whole windows.
    """

    def __init__(self, num_features: int, num_heads: int, window: Window, is_shifted: bool, qkv_bias: bool) -> None:
        super().__init__(num_features, num_heads, qkv_bias)
        self.multiple, self.is_shifted = max(window), is_shifted
        half, heads = num_features // 2, num_heads // 2
        windows = (window, (window[1], window[0]))
        self.attns = nn.ModuleList(
            [WindowAttention(half, heads, side, (side[0] // 2, side[1] // 2)) for side in windows]
        )

    def forward(self, features: Tensor, masks: Masks | None) -> Tensor:
        """(N, H, W, C) and the masks of shifted windows -> (N, H, W, C)."""
        height, width, channels = features.shape[1:]
        qkv = self.qkv(features)
        local = self.dwconv(as_image(qkv[..., 2 * channels :]))
        down, right = (filled(side, self.multiple) - side for side in (height, width))
        if torch.compiler.is_exporting() or down or right:
            qkv = F.pad(qkv, (0, 0, 0, right, 0, down))
        halves = qkv.unflatten(-1, (3, 2, channels // 2)).unbind(4)
        chosen = masks if masks is not None and self.is_shifted else (None, None)
        attended = [attn(half, mask) for attn, half, mask in zip(self.attns, halves, chosen, strict=True)]
        whole = crop(as_image(torch.cat(attended, -1)), height, width)
        return self.interact(local, whole)


# ---- attention over channels


class ChannelAttention(Interaction):
    """Attention of each channel to the others of its head, by likeness over the whole image."""

    def __init__(self, num_features: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__(num_features, num_heads, qkv_bias)
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))

    def forward(self, features: Tensor, masks: Masks | None) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        height, width, channels = features.shape[1:]
        qkv = self.qkv(features)
        local = self.dwconv(as_image(qkv[..., 2 * channels :]))
        cells = qkv.flatten(1, 2).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = cells.permute(2, 0, 3, 4, 1).unbind()  # each (N, heads, F, pixels)
        likeness = unit(query) @ unit(key).transpose(-2, -1)
        attended = (likeness * self.temperature).softmax(-1).to(value.dtype) @ value
        whole = attended.flatten(1, 2).unflatten(-1, (height, width))
        return self.interact(whole, local)


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (..., length) of length 1; the sums over an image are made in float32."""
    exact = torch.promote_types(vectors.dtype, torch.float32)
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=exact).clamp_min(1e-12)
    return (vectors / lengths).to(vectors.dtype)


# ---- blocks


class SpatialGate(nn.Module):
    """Half of the channels, multiplied by a depthwise convolution of the other half."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(num_features)
        self.conv = nn.Conv2d(num_features, num_features, 3, padding=1, groups=num_features)

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, 2 * C) -> (N, H, W, C)."""
        kept, gate = features.chunk(2, -1)
        return kept * as_features(self.conv(as_image(self.norm(gate))))


class GatedFeedForward(nn.Module):
    """Spatial-gate feed-forward network."""

    def __init__(self, num_features: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(num_features, hidden)
        self.sg = SpatialGate(hidden // 2)
        self.fc2 = nn.Linear(hidden // 2, num_features)

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        return self.fc2(self.sg(F.gelu(self.fc1(features))))


class DualBlock(nn.Module):
    """Attention of either kind and the feed-forward network, each normalised before and added."""

    def __init__(self, attn: nn.Module, num_features: int, hidden: int, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(num_features)
        self.attn = attn
        self.drop_path = StochasticDepth(rate)
        self.ffn = GatedFeedForward(num_features, hidden)
        self.norm2 = nn.LayerNorm(num_features)

    def forward(self, features: Tensor, masks: Masks | None) -> Tensor:
        """(N, H, W, C) and the masks of shifted windows -> (N, H, W, C)."""
        features = features + self.drop_path(self.attn(self.norm1(features), masks))
        return features + self.drop_path(self.ffn(self.norm2(features)))


class ResidualGroup(nn.Module):
    """Blocks in turns, those over pixels with every second one shifted; a convolution; a skip."""

    def __init__(self, blocks: Sequence[nn.Module], num_features: int, connection: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.conv = body_convolution(num_features, connection)

    def forward(self, features: Tensor, masks: Masks | None) -> Tensor:
        """(N, H, W, C) and the masks of shifted windows -> (N, H, W, C)."""
        deep = features
        for block in self.blocks:
            deep = block(deep, masks)
        return features + as_features(self.conv(as_image(deep)))


@NETWORKS.register
class DAT(Centred):
    """Blocks of attention at the LR size, over pixels and over channels in turns.

    The defaults are the paper's DAT: 14.80 million parameters at x4. DAT-S and DAT-2 have 11.21
    million, DAT-light 0.57 million.

    Attention over channels looks at the whole image: there is no receptive field, and tiles are not
    restored exactly as the whole. BatchNorm over means of whole images asks for two images in each
    batch of a training.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body, a multiple of each of `num_heads`, at least 32.
        depths: blocks of each group; attention over pixels comes first.
        num_heads: heads of each group's attention, even numbers.
        split_size: (height, width) of the windows of half of the channels, width and height of the
            other half's; one is a multiple of the other.
        expansion_factor: hidden channels of a block's last layers over `num_features`.
        qkv_bias: query, key and value have biases.
        upsampler: 'pixelshuffle' (convolutions and sub-pixel steps) or 'pixelshuffledirect' (one
            step, light).
        resi_connection: what closes a group: '1conv', or '3conv', narrow between.
        img_range: 1.0, or 255.0 for weights trained so.
        drop_path_rate: of the last block's residuals, that are left out in training; it rises from
            0 at the first.
    """

    scales = (1, 2, 3, 4, 8)
    hidden_arguments: ClassVar = {"img_range": (1.0, 255.0)}
    repeated_block = DualBlock
    variants: ClassVar = {
        "DAT": {},
        "DAT-S": {"split_size": (8, 16), "expansion_factor": 2.0},
        "DAT-2": {"expansion_factor": 2.0},
        "DAT-light": {
            "num_features": 60,
            "depths": (18,),
            "num_heads": (6,),
            "expansion_factor": 2.0,
            "resi_connection": "3conv",
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
        split_size: Sequence[int] = (8, 32),
        expansion_factor: float = 4.0,
        qkv_bias: bool = True,
        upsampler: str = "pixelshuffle",
        resi_connection: str = "1conv",
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
    ) -> None:
        super().__init__(scale, colour, img_range, DIV2K_MEAN)
        require_choice("DAT", "upsampler", upsampler, UPSAMPLERS)
        require_choice("DAT", "resi_connection", resi_connection, CONNECTIONS)
        self.window = require_window(split_size)
        require_halves(num_features, num_heads, depths)
        hidden = int(num_features * expansion_factor)
        if hidden < 2 or hidden % 2:
            fault = f"expansion_factor={expansion_factor!r} is not possible; times num_features it is"
            raise ConfigError(f"DAT: {fault} an even number of channels, not {hidden}", key="expansion_factor")
        self.padded_multiple = max(self.window)
        self.conv_first = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(num_features))
        self.layers = nn.ModuleList()
        for group, (heads, rates) in enumerate(zip(num_heads, drop_path_rates(drop_path_rate, depths), strict=True)):
            blocks = []
            for number, rate in enumerate(rates):
                is_shifted = number % 4 == (0 if group % 2 else 2)
                if number % 2:
                    attn: Interaction = ChannelAttention(num_features, heads, qkv_bias)
                else:
                    attn = SpatialAttention(num_features, heads, self.window, is_shifted, qkv_bias)
                blocks.append(DualBlock(attn, num_features, hidden, rate))
            self.layers.append(ResidualGroup(blocks, num_features, resi_connection))
        self.norm = nn.LayerNorm(num_features)
        self.conv_after_body = body_convolution(num_features, resi_connection)
        self.conv_before_upsample = nn.Sequential()
        if upsampler == "pixelshuffle":
            before = nn.Conv2d(num_features, TAIL_FEATURES, 3, padding=1)
            self.conv_before_upsample = nn.Sequential(before, nn.LeakyReLU(inplace=True))
            self.upsample = nn.Sequential(*sub_pixel_steps(scale, TAIL_FEATURES))
            self.conv_last: nn.Module = nn.Conv2d(TAIL_FEATURES, self.in_channels, 3, padding=1)
        else:
            last = nn.Conv2d(num_features, scale**2 * self.in_channels, 3, padding=1)
            self.conv_last = nn.Identity()
            self.upsample = nn.Sequential(last, nn.PixelShuffle(scale))
        self.apply(init_transformer)

    def masks(self, features: Tensor) -> Masks:
        """Return what shifted windows of both halves add to their logits, for (N, H, W, C)."""
        size = [filled(side, self.padded_multiple) for side in features.shape[1:3]]
        both = []
        for high, wide in (self.window, self.window[::-1]):
            inside = regions(size, (high, wide), (high // 2, wide // 2), features.device)
            both.append(region_mask(inside, inside, features.dtype))
        return both[0], both[1]

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        shallow = self.conv_first(self.centre(lq))
        features = self.before_RG(as_features(shallow))
        masks = self.masks(features)
        for group in self.layers:
            features = group(features, masks)
        deep = shallow + self.conv_after_body(as_image(self.norm(features)))
        return self.uncentre(self.conv_last(self.upsample(self.conv_before_upsample(deep))))


def require_window(split_size: Sequence[int]) -> Window:
    """Return (height, width); raises a ConfigError unless one is a multiple of the other."""
    sides = list(split_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides) or max(sides) % min(sides):
        fault = f"split_size={split_size!r} is not possible; it is two whole numbers, one a multiple of the other"
        raise ConfigError(f"DAT: {fault}", key="split_size")
    return sides[0], sides[1]


def require_halves(num_features: int, num_heads: Sequence[int], depths: Sequence[int]) -> None:
    """Raise a ConfigError unless half of the heads fit half of the channels."""
    require_positive("DAT", num_features=num_features)
    require_heads("DAT", num_features, num_heads, depths)
    if any(heads % 2 for heads in num_heads):
        raise ConfigError(f"DAT: num_heads={num_heads!r} is not possible; they are even", key="num_heads")
    if num_features < LEAST_FEATURES:
        fault = f"num_features={num_features} is not possible; it is at least {LEAST_FEATURES}"
        raise ConfigError(f"DAT: {fault}", key="num_features")
