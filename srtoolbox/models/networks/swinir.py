"""SwinIR: groups of Swin Transformer blocks, each closed by a convolution.

Liang, Cao, Sun, Zhang, Van Gool, Timofte: "SwinIR: image restoration using Swin Transformer"
(ICCVW 2021, arXiv:2108.10257).

state_dict, the official release's: see `window_transformer`, and of each block `norm1`
`attn.relative_position_bias_table` `attn.qkv` `attn.proj` `norm2` `mlp.fc1` `mlp.fc2`. The files
also have the constants `attn.relative_position_index` and `attn_mask`, which are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.attention import drop_path_rates, init_transformer, require_heads
from srtoolbox.models.networks.window_transformer import SwinBlock, WindowTransformer
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class SwinIR(WindowTransformer):
    """Swin Transformer blocks at the LR size, every second one with shifted windows.

    The defaults are the paper's classical network: 11.9 million parameters at x4; SwinIR-light has
    0.9 million. There are networks for real photographs, against noise and against JPEG's artefacts
    among the variants.

    What a pixel depends on follows from where it is in its windows, and shifted windows carry it on
    from block to block: there is no receptive field, and large images are cross-faded.

    Args:
        scale: 1, 2, 3, 4 or 8; 'nearest+conv' has 2, 4 and 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body, a multiple of each of `num_heads`.
        depths: blocks of each group.
        num_heads: heads of each group's attention.
        window_size: side of the windows.
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
        "SwinIR": {},
        "SwinIR-light": {
            "num_features": 60,
            "depths": (6,) * 4,
            "num_heads": (6,) * 4,
            "upsampler": "pixelshuffledirect",
        },
        "SwinIR-real": {"upsampler": "nearest+conv"},
        "SwinIR-real-L": {
            "num_features": 240,
            "depths": (6,) * 9,
            "num_heads": (8,) * 9,
            "upsampler": "nearest+conv",
            "resi_connection": "3conv",
        },
        "SwinIR-noise": {"scale": 1},
        "SwinIR-JPEG": {"scale": 1, "window_size": 7, "img_range": 255.0},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 8,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        upsampler: str = "pixelshuffle",
        resi_connection: str = "1conv",
        img_range: float = 1.0,
        drop_path_rate: float = 0.1,
    ) -> None:
        require_positive("SwinIR", num_features=num_features, window_size=window_size)
        require_heads("SwinIR", num_features, num_heads, depths)
        groups = [
            [
                SwinBlock(num_features, heads, window_size, number % 2 * (window_size // 2), mlp_ratio, qkv_bias, rate)
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
