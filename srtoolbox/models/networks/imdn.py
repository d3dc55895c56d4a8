"""IMDN: blocks that keep a part of their features after every convolution and refine the rest.

Hui, Gao, Yang, Wang: "Lightweight image super-resolution with information multi-distillation
network" (ACM MM 2019, arXiv:1909.11856).

state_dict, the authors': `fea_conv`, `IMDB1` ... each with `c1` ... `c5` and `cca.conv_du.{0,2}`,
`c.0`, `LR_conv`, `upsampler.0`; each `.weight` and `.bias`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.blocks import ContrastAttention, leaky
from srtoolbox.registry import NETWORKS

REDUCTION = 16
SLOPE = 0.05  # of the leaky ReLUs


class DistillationBlock(nn.Module):
    """Three times: convolve, set a quarter of the channels aside, pass the rest on; then fuse."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        kept = num_features // 4
        self.split = [kept, num_features - kept]
        self.c1 = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.c2 = nn.Conv2d(num_features - kept, num_features, 3, padding=1)
        self.c3 = nn.Conv2d(num_features - kept, num_features, 3, padding=1)
        self.c4 = nn.Conv2d(num_features - kept, kept, 3, padding=1)
        self.c5 = nn.Conv2d(4 * kept, num_features, 1)
        self.cca = ContrastAttention(4 * kept, REDUCTION)

    def forward(self, features: Tensor) -> Tensor:
        parts, rest = [], features
        for conv in (self.c1, self.c2, self.c3):
            kept, rest = leaky(conv(rest), SLOPE).split(self.split, dim=1)
            parts.append(kept)
        parts.append(self.c4(rest))
        return features + self.c5(self.cca(torch.cat(parts, 1)))


@NETWORKS.register
class IMDN(SRNetwork):
    """Distillation blocks in a row, their outputs fused, a long skip, one sub-pixel step.

    The channel attention sees the whole image: tiles are not restored exactly as the whole.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels, a multiple of 16.
        num_blocks: distillation blocks.
    """

    def __init__(self, scale: int, colour: str = "rgb", *, num_features: int = 64, num_blocks: int = 6) -> None:
        super().__init__(scale, colour)
        require_positive("IMDN", num_features=num_features, num_blocks=num_blocks)
        if num_features % REDUCTION:
            fault = f"num_features={num_features} is not possible; it is a multiple of {REDUCTION}"
            raise ConfigError(f"IMDN: {fault}", key="num_features")
        self.fea_conv = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self._blocks = [f"IMDB{number}" for number in range(1, num_blocks + 1)]
        for name in self._blocks:
            self.add_module(name, DistillationBlock(num_features))
        fuse = nn.Conv2d(num_features * num_blocks, num_features, 1)
        self.c = nn.Sequential(fuse, nn.LeakyReLU(SLOPE, inplace=True))
        self.LR_conv = nn.Conv2d(num_features, num_features, 3, padding=1)
        last = nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1)
        self.upsampler = nn.Sequential(last, nn.PixelShuffle(scale))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        features = shallow = self.fea_conv(lq)
        outputs = []
        for name in self._blocks:
            features = self.get_submodule(name)(features)
            outputs.append(features)
        return self.upsampler(shallow + self.LR_conv(self.c(torch.cat(outputs, 1))))
