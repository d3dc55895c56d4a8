"""RDN: residual dense blocks, whose outputs are all fused, under a long skip.

Zhang, Tian, Kong, Zhong, Fu: "Residual dense network for image super-resolution" (CVPR 2018,
arXiv:1802.08797).

state_dict, the authors' PyTorch code (in EDSR-PyTorch): `SFENet1` `SFENet2`
`RDBs.N.convs.M.conv.0` `RDBs.N.LFF` `GFF.{0,1}` `UPNet.{0,2}` (at x4 `UPNet.4` too); each `.weight`
and `.bias`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.blocks import Centred, Step, receptive_field
from srtoolbox.registry import NETWORKS

FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}


class DenseConvolution(nn.Module):
    """3x3 convolution and ReLU of everything before it in the block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, dense: list[Tensor]) -> Tensor:
        return self.conv(torch.cat(dense, 1))


class ResidualDenseBlock(nn.Module):
    """Densely connected convolutions, a 1x1 convolution of all that they made, a skip."""

    def __init__(self, num_features: int, growth_channels: int, num_convs: int) -> None:
        super().__init__()
        widths = [num_features + number * growth_channels for number in range(num_convs + 1)]
        self.convs = nn.ModuleList(DenseConvolution(width, growth_channels) for width in widths[:-1])
        self.LFF = nn.Conv2d(widths[-1], num_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        dense = [features]
        for conv in self.convs:
            dense.append(conv(dense))
        return features + self.LFF(torch.cat(dense, 1))


@NETWORKS.register
class RDN(Centred):
    """Residual dense blocks, a 1x1 and a 3x3 convolution of all their outputs, sub-pixel steps.

    The defaults are the paper's (D, C, G) = (16, 8, 64): 22.3 M parameters and a radius of 133 at
    x4. RDN-A, (20, 6, 32), is the other configuration of its code.

    Args:
        scale: 2, 3 or 4.
        colour: 'rgb' or 'y'.
        num_features: channels between the blocks, the paper's G0.
        num_blocks: residual dense blocks, D.
        num_convs: convolutions in each, C.
        growth_channels: channels that each adds, and those of the sub-pixel steps, G.
        img_range: see `Centred`; no mean is taken off.
    """

    scales = tuple(FACTORS)
    repeated_block = ResidualDenseBlock
    hidden_arguments: ClassVar = {"img_range": (255.0, 1.0)}
    variants: ClassVar = {
        "RDN": {},
        "RDN-A": {"num_blocks": 20, "num_convs": 6, "growth_channels": 32},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_blocks: int = 16,
        num_convs: int = 8,
        growth_channels: int = 64,
        img_range: float = 255.0,
    ) -> None:
        super().__init__(scale, colour, img_range, (0.0, 0.0, 0.0))
        require_positive("RDN", num_features=num_features, num_blocks=num_blocks)
        require_positive("RDN", num_convs=num_convs, growth_channels=growth_channels)
        self.SFENet1 = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self.SFENet2 = nn.Conv2d(num_features, num_features, 3, padding=1)
        blocks = [ResidualDenseBlock(num_features, growth_channels, num_convs) for _ in range(num_blocks)]
        self.RDBs = nn.ModuleList(blocks)
        fuse = nn.Conv2d(num_blocks * num_features, num_features, 1)
        self.GFF = nn.Sequential(fuse, nn.Conv2d(num_features, num_features, 3, padding=1))
        widths = [num_features, *[growth_channels] * len(FACTORS[scale])]
        steps: list[nn.Module] = []
        for width, factor in zip(widths, FACTORS[scale], strict=False):
            steps += [nn.Conv2d(width, growth_channels * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.UPNet = nn.Sequential(*steps, nn.Conv2d(growth_channels, self.in_channels, 3, padding=1))
        tail: list[Step] = [*[step for factor in FACTORS[scale] for step in (3, ("shuffle", factor))], 3]
        self.receptive_field = receptive_field([3, 3, *[3] * (num_blocks * num_convs), 3, *tail])
        self.reconstruct_field = receptive_field(tail)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the fused features (N, F, H, W)."""
        shallow = self.SFENet1(self.centre(lq))
        features, outputs = self.SFENet2(shallow), []
        for block in self.RDBs:
            features = block(features)
            outputs.append(features)
        return shallow + self.GFF(torch.cat(outputs, 1))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels of them."""
        return self.uncentre(self.UPNet(features))
