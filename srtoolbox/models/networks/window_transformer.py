"""The frame of SwinIR and of those after it: a convolution, groups of attention, an upsampler.

state_dict, SwinIR's: `conv_first` `patch_embed.norm` `layers.N.residual_group.blocks.M.*`
`layers.N.conv` `norm` `conv_after_body`, then by the upsampler
    'pixelshuffle': `conv_before_upsample.0` `upsample.{0,2}` `conv_last`
    'pixelshuffledirect': `upsample.0`
    'nearest+conv': `conv_before_upsample.0` `conv_up1` `conv_up2` `conv_up3` `conv_hr` `conv_last`
    at x1: `conv_last`.
With three convolutions ('3conv') `conv` and `conv_after_body` are `.0`, `.2` and `.4`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_choice
from srtoolbox.models.networks.attention import (
    MLP,
    StochasticDepth,
    WindowAttention,
    as_features,
    as_image,
    crop,
    pad_to_multiple,
    shift_mask,
)
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, leaky, sub_pixel_steps

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect", "nearest+conv")
CONNECTIONS = ("1conv", "3conv")
TAIL_FEATURES = 64  # channels between body and image
DOUBLINGS = {2: 1, 4: 2, 8: 3}


def body_convolution(num_features: int, connection: str) -> nn.Module:
    """Return what closes a group: a 3x3 convolution, or three that are narrow between."""
    if connection == "1conv":
        return nn.Conv2d(num_features, num_features, 3, padding=1)
    narrow = num_features // 4
    return nn.Sequential(
        nn.Conv2d(num_features, narrow, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(narrow, narrow, 1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(narrow, num_features, 3, padding=1),
    )


class SwinBlock(nn.Module):
    """Attention in windows, then a layer for each pixel alone, each normalised and added."""

    def __init__(
        self, num_features: int, num_heads: int, window: int, shift: int, mlp_ratio: float, qkv_bias: bool, rate: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(num_features)
        self.attn = WindowAttention(num_features, num_heads, (window, window), (shift, shift), qkv_bias)
        self.drop_path = StochasticDepth(rate)
        self.norm2 = nn.LayerNorm(num_features)
        self.mlp = MLP(num_features, int(num_features * mlp_ratio))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        features = features + self.drop_path(self.attn(self.norm1(features), mask))
        return features + self.drop_path(self.mlp(self.norm2(features)))


class Blocks(nn.Module):
    """Blocks in a row, as `blocks`."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features, mask)
        return features


class ResidualGroup(nn.Module):
    """Blocks of attention, a convolution, added to the input: SwinIR's RSTB."""

    def __init__(self, blocks: nn.Module | Sequence[nn.Module], num_features: int, connection: str) -> None:
        super().__init__()
        self.residual_group = blocks if isinstance(blocks, nn.Module) else Blocks(blocks)
        self.conv = body_convolution(num_features, connection)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        deep = self.residual_group(features, mask)
        return features + as_features(self.conv(as_image(deep)))


class WindowTransformer(Centred):
    """Base of SwinIR and those after it: what they differ in are the blocks, and their masks.

    Images are mirrored at the bottom and right up to multiples of the window, and the result is
    cut. At x1 the last convolution's result is added to the image, without an upsampler.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        groups: the groups, or the blocks of each `ResidualGroup`.
        num_features: channels of the body.
        window_size: side of the windows.
        upsampler: 'pixelshuffle' (convolutions and sub-pixel steps), 'pixelshuffledirect' (one
            step, light) or 'nearest+conv' (x2, x4, x8: repeated pixels, then convolutions).
        resi_connection: '1conv', or '3conv' for bodies of many channels.
        img_range: 1.0, or 255.0 for weights trained so.
    """

    scales = (1, 2, 3, 4, 8)
    hidden_arguments: ClassVar = {"img_range": (1.0, 255.0)}
    repeated_block: ClassVar[type[nn.Module]] = ResidualGroup
    # the upsampler's convolutions, without a step, and no image added
    has_tail_at_1: ClassVar[bool] = False

    def __init__(
        self,
        scale: int,
        colour: str,
        groups: Sequence[nn.Module | Sequence[nn.Module]],
        *,
        num_features: int,
        window_size: int,
        upsampler: str,
        resi_connection: str,
        img_range: float,
    ) -> None:
        super().__init__(scale, colour, img_range, DIV2K_MEAN)
        owner = type(self).__name__
        require_choice(owner, "upsampler", upsampler, UPSAMPLERS)
        require_choice(owner, "resi_connection", resi_connection, CONNECTIONS)
        self.padded_multiple = self.window_size = window_size
        self.conv_first = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(num_features)))
        layers = [
            group if isinstance(group, nn.Module) else ResidualGroup(group, num_features, resi_connection)
            for group in groups
        ]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(num_features)
        self.conv_after_body = body_convolution(num_features, resi_connection)
        self.upsampler = upsampler if scale > 1 or self.has_tail_at_1 else ""
        if self.upsampler == "pixelshuffledirect":
            last = nn.Conv2d(num_features, scale**2 * self.in_channels, 3, padding=1)
            self.upsample = nn.Sequential(last, nn.PixelShuffle(scale))
            return
        if self.upsampler:
            before = nn.Conv2d(num_features, TAIL_FEATURES, 3, padding=1)
            self.conv_before_upsample = nn.Sequential(before, nn.LeakyReLU(inplace=True))
        if self.upsampler == "pixelshuffle":
            self.upsample = nn.Sequential(*sub_pixel_steps(scale, TAIL_FEATURES))
        elif self.upsampler:
            self._add_doublings(owner)
        self.conv_last = nn.Conv2d(TAIL_FEATURES if self.upsampler else num_features, self.in_channels, 3, padding=1)

    def _add_doublings(self, owner: str) -> None:
        if self.scale not in DOUBLINGS:
            fault = f"upsampler='nearest+conv' is not possible at x{self.scale}; allowed: x2, x4, x8"
            raise ConfigError(f"{owner}: {fault}", key="upsampler")
        for number in range(1, DOUBLINGS[self.scale] + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(TAIL_FEATURES, TAIL_FEATURES, 3, padding=1))
        self.conv_hr = nn.Conv2d(TAIL_FEATURES, TAIL_FEATURES, 3, padding=1)

    def mask(self, features: Tensor) -> Tensor:
        """Return what shifted windows add to their logits, for (N, H, W, C)."""
        window, shift = self.window_size, self.window_size // 2
        return shift_mask(features, (window, window), (shift, shift))

    def padded(self, image: Tensor) -> Tensor:
        """Mirror the bottom and right of (N, C, H, W) up to whole windows."""
        return pad_to_multiple(image, self.window_size)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        height, width = lq.shape[-2:]
        image = self.centre(self.padded(lq))
        deep = self._body(self.conv_first(image))
        result = self._upsampled(deep) if self.upsampler else image + self.conv_last(deep)
        return crop(self.uncentre(result), height * self.scale, width * self.scale)

    def _body(self, shallow: Tensor) -> Tensor:
        """(N, F, H, W) -> the same, channels last in memory, as all is from here on."""
        shallow = as_features(shallow)
        features = self.patch_embed(shallow)
        mask = self.mask(features)
        for group in self.layers:
            features = group(features, mask)
        deep = self.conv_after_body(as_image(self.norm(features)))
        return as_image(shallow + as_features(deep))

    def _upsampled(self, features: Tensor) -> Tensor:
        if self.upsampler == "pixelshuffledirect":
            return self.upsample(features)
        features = self.conv_before_upsample(features)
        if self.upsampler == "pixelshuffle":
            return self.conv_last(self.upsample(features))
        for number in range(1, DOUBLINGS[self.scale] + 1):
            larger = F.interpolate(features, scale_factor=2, mode="nearest")
            features = leaky(self.get_submodule(f"conv_up{number}")(larger))
        return self.conv_last(leaky(self.conv_hr(features)))
