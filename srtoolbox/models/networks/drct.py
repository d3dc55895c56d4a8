"""DRCT: Swin Transformer blocks with dense connections, in the frame of SwinIR.

Hsu, Lee, Chou: "DRCT: saving image super-resolution away from information bottleneck" (CVPRW 2024,
arXiv:2404.00722).

state_dict, the official release's: see `window_transformer`; of each group `layers.N.swin1` ...
`swin5`, blocks of SwinIR, and `layers.N.adjust1` ... `adjust5`, 1x1 convolutions. The files also
have the constants `attn.relative_position_index` and `attn_mask`, which are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.attention import Conv1x1, drop_path_rates, init_transformer, require_heads
from srtoolbox.models.networks.blocks import leaky
from srtoolbox.models.networks.window_transformer import SwinBlock, WindowTransformer
from srtoolbox.registry import NETWORKS

BLOCKS = 5  # of a group
RATES = 6  # of stochastic depth for a group, the first of which its blocks have
GROUP_SCALE = 0.2  # of what a group adds


def heads_of(channels: int, num_heads: int) -> int:
    """Return the heads of a block: the release's rule, for channels that heads may not divide.

    Raises:
        ConfigError: its heads do not divide them either.
    """
    heads = num_heads - channels % num_heads
    if channels % heads:
        fault = f"num_heads={num_heads} is not possible; of {channels} channels it makes {heads} heads"
        raise ConfigError(f"DRCT: {fault}, which do not divide them", key="num_heads")
    return heads


class DenseGroup(nn.Module):
    """Five blocks, each of which sees what all before it have found.

    Every second one is shifted.
    """

    def __init__(
        self,
        num_features: int,
        num_heads: int,
        growth_channels: int,
        window: int,
        mlp_ratio: float,
        qkv_bias: bool,
        rate: float,
    ) -> None:
        super().__init__()
        for number in range(1, BLOCKS + 1):
            channels = num_features + (number - 1) * growth_channels
            heads, shift = heads_of(channels, num_heads), (window // 2 if number in (2, 4) else 0)
            ratio = mlp_ratio if number <= 3 else 1
            self.add_module(f"swin{number}", SwinBlock(channels, heads, window, shift, ratio, qkv_bias, rate))
            self.add_module(f"adjust{number}", Conv1x1(channels, num_features if number == BLOCKS else growth_channels))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        seen = features
        for number in range(1, BLOCKS + 1):
            found = self.get_submodule(f"swin{number}")(seen, mask)
            found = self.get_submodule(f"adjust{number}")(found)
            if number < BLOCKS:
                seen = torch.cat((seen, leaky(found)), -1)
        return torch.add(features, found, alpha=GROUP_SCALE)


@NETWORKS.register
class DRCT(WindowTransformer):
    """Groups of five densely connected Swin Transformer blocks at the LR size.

    The defaults are the paper's DRCT: 14.1 million parameters at x4; DRCT-L has 27.6 million.
    Shifted windows carry on what a pixel depends on: there is no receptive field, and large images
    are cross-faded.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body.
        num_heads: heads of the first block of each group; later ones have as many or fewer.
        growth_channels: what each block adds to the channels of the next.
        window_size: side of the windows.
        mlp_ratio: hidden channels of the last layers of a group's first three blocks over their
            channels; the others have as many.
        qkv_bias: query, key and value have biases.
        img_range: 1.0, or 255.0 for weights trained so.
        drop_path_rate: of the residuals that are left out in training; it rises from group to
            group from 0 to nearly this.
    """

    repeated_block = DenseGroup
    has_tail_at_1 = True
    variants: ClassVar = {"DRCT": {}, "DRCT-L": {"num_heads": (6,) * 12}}

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 180,
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        growth_channels: int = 32,
        window_size: int = 16,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
    ) -> None:
        require_positive("DRCT", num_features=num_features, growth_channels=growth_channels, window_size=window_size)
        depths = [RATES] * len(num_heads)
        require_heads("DRCT", num_features, num_heads, depths)
        groups = [
            DenseGroup(num_features, heads, growth_channels, window_size, mlp_ratio, qkv_bias, rates[0])
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
