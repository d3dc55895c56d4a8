"""RFDN: blocks that set half their channels aside after every convolution, under spatial attention.

Liu, Tang, Wu: "Residual feature distillation network for lightweight image super-resolution"
(ECCVW 2020, arXiv:2009.11551).

state_dict, the authors': `fea_conv`, `B1` ... each with `c1_d` ... `c3_d`, `c1_r` ... `c3_r`, `c4`,
`c5`, `esa.{conv1,conv_f,conv_max,conv2,conv3,conv3_,conv4}` (or, as in IMDN, `cca.conv_du.{0,2}`);
`c.0`, `LR_conv`, `upsampler.0`; each `.weight` and `.bias`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_choice, require_positive
from srtoolbox.models.networks.blocks import ContrastAttention, SpatialAttention, leaky
from srtoolbox.registry import NETWORKS

SLOPE = 0.05  # of the leaky ReLUs
REDUCTION = 4  # of the channels inside the attention


class FeatureDistillationBlock(nn.Module):
    """Three times: a 1x1 convolution to half the channels, set aside, and a 3x3 one with a skip."""

    def __init__(self, num_features: int, attention: str) -> None:
        super().__init__()
        self.attention = attention
        kept = num_features // 2
        for number in (1, 2, 3):
            self.add_module(f"c{number}_d", nn.Conv2d(num_features, kept, 1))
            self.add_module(f"c{number}_r", nn.Conv2d(num_features, num_features, 3, padding=1))
        self.c4 = nn.Conv2d(num_features, kept, 3, padding=1)
        self.c5 = nn.Conv2d(4 * kept, num_features, 1)
        if attention == "spatial":
            self.esa = SpatialAttention(num_features, num_features // REDUCTION, is_deep=True)
        else:
            self.cca = ContrastAttention(num_features, REDUCTION)

    def forward(self, features: Tensor) -> Tensor:
        parts, first = [], features
        for number in (1, 2, 3):
            parts.append(leaky(self.get_submodule(f"c{number}_d")(features), SLOPE))
            features = leaky(features + self.get_submodule(f"c{number}_r")(features), SLOPE)
        parts.append(leaky(self.c4(features), SLOPE))
        fused = self.c5(torch.cat(parts, 1))
        return self.esa(fused) if self.attention == "spatial" else first + self.cca(fused)


@NETWORKS.register
class RFDN(SRNetwork):
    """Distillation blocks in a row, their outputs fused, a long skip, one sub-pixel step.

    The defaults are of the network that the authors released, E-RFDN, the winner of AIM 2020, with
    433 K parameters at x4. Those of the paper's tables, of which there is no release, are RFDN,
    550 K, and RFDN-L, 643 K. The weights begin as torch has it. What a pixel sees depends on the
    whole image, by either attention.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels, at least 4.
        num_blocks: distillation blocks.
        attention: 'spatial', or 'contrast': IMDN's channel attention, and a skip around each block.
    """

    repeated_block = FeatureDistillationBlock
    variants: ClassVar = {
        "E-RFDN": {},
        "RFDN": {"num_features": 48, "num_blocks": 6, "attention": "contrast"},
        "RFDN-L": {"num_features": 52, "num_blocks": 6, "attention": "contrast"},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 50,
        num_blocks: int = 4,
        attention: str = "spatial",
    ) -> None:
        super().__init__(scale, colour)
        require_choice("RFDN", "attention", attention, ("spatial", "contrast"))
        require_positive("RFDN", num_features=num_features, num_blocks=num_blocks)
        if num_features < REDUCTION:
            fault = f"num_features={num_features} is not possible; it is at least {REDUCTION}"
            raise ConfigError(f"RFDN: {fault}", key="num_features")
        self.fea_conv = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self._blocks = [f"B{number}" for number in range(1, num_blocks + 1)]
        for name in self._blocks:
            self.add_module(name, FeatureDistillationBlock(num_features, attention))
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
