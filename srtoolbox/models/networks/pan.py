"""PAN: blocks of two branches, one gated pixel by pixel, and a gate after each upsampling.

Zhao, Kong, He, Qiao, Dong: "Efficient image super-resolution using pixel attention" (ECCVW 2020,
arXiv:2010.01073).

state_dict, the authors': `conv_first`, `SCPA_trunk.N.{conv1_a,conv1_b,k1.0,PAConv.k2,PAConv.k3,
PAConv.k4,conv3}` (all but `PAConv.k2` without a bias), `trunk_conv`, `upconv1`, `att1.conv`,
`HRconv1` (at x4 the same with 2), `conv_last`; each `.weight` and `.bias`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.blocks import leaky, receptive_field
from srtoolbox.registry import NETWORKS

STAGES = {2: (2,), 3: (3,), 4: (2, 2)}


class PixelAttention(nn.Module):
    """Scales each value by a sigmoid of a 1x1 convolution of its pixel."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_features, num_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(self.conv(features))


class GatedConvs(nn.Module):
    """A 3x3 convolution, gated by a 1x1 convolution of its input, and another one."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.k2 = nn.Conv2d(num_features, num_features, 1)
        self.k3 = nn.Conv2d(num_features, num_features, 3, padding=1, bias=False)
        self.k4 = nn.Conv2d(num_features, num_features, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.k4(self.k3(features) * torch.sigmoid(self.k2(features)))


class SCPA(nn.Module):
    """Self-calibrated block: half the channels through a convolution, half through gated ones."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        half = num_features // 2
        self.conv1_a = nn.Conv2d(num_features, half, 1, bias=False)
        self.conv1_b = nn.Conv2d(num_features, half, 1, bias=False)
        self.k1 = nn.Sequential(nn.Conv2d(half, half, 3, padding=1, bias=False))
        self.PAConv = GatedConvs(half)
        self.conv3 = nn.Conv2d(2 * half, num_features, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        plain = leaky(self.k1(leaky(self.conv1_a(features))))
        gated = leaky(self.PAConv(leaky(self.conv1_b(features))))
        return features + self.conv3(torch.cat((plain, gated), 1))


@NETWORKS.register
class PAN(SRNetwork):
    """Self-calibrated blocks at the LR size, repeated pixels under convolutions with gates.

    The result is added to a bilinear interpolation. The weights begin as torch has it. 272 K
    parameters at x4, 261 K at x2 and x3.

    Args:
        scale: 2, 3 or 4.
        colour: 'rgb' or 'y'.
        num_features: channels of the body, an even number.
        num_blocks: self-calibrated blocks.
        upsampling_channels: channels from the first upsampling on.
    """

    scales = tuple(STAGES)
    repeated_block = SCPA

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 40,
        num_blocks: int = 16,
        upsampling_channels: int = 24,
    ) -> None:
        super().__init__(scale, colour)
        require_positive("PAN", num_features=num_features, num_blocks=num_blocks)
        require_positive("PAN", upsampling_channels=upsampling_channels)
        if num_features % 2:
            raise ConfigError(f"PAN: num_features={num_features} is not possible; it is even", key="num_features")
        self.conv_first = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self.SCPA_trunk = nn.Sequential(*[SCPA(num_features) for _ in range(num_blocks)])
        self.trunk_conv = nn.Conv2d(num_features, num_features, 3, padding=1)
        inputs = num_features
        for number in range(1, len(STAGES[scale]) + 1):
            self.add_module(f"upconv{number}", nn.Conv2d(inputs, upsampling_channels, 3, padding=1))
            self.add_module(f"att{number}", PixelAttention(upsampling_channels))
            self.add_module(f"HRconv{number}", nn.Conv2d(upsampling_channels, upsampling_channels, 3, padding=1))
            inputs = upsampling_channels
        self.conv_last = nn.Conv2d(upsampling_channels, self.in_channels, 3, padding=1)
        tail = [step for factor in STAGES[scale] for step in (("shuffle", factor), 3, 3)]
        self.receptive_field = receptive_field([3, *[3, 3] * num_blocks, 3, *tail, 3])
        self.reconstruct_field = receptive_field([*tail, 3])  # at least the interpolation's 1

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H, W)."""
        shallow = self.conv_first(lq)
        return shallow + self.trunk_conv(self.SCPA_trunk(shallow))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        for number, factor in enumerate(STAGES[self.scale], start=1):
            # under one name, so that what is no longer needed is let go
            features = F.interpolate(features, scale_factor=factor, mode="nearest")
            features = self.get_submodule(f"upconv{number}")(features)
            features = leaky(self.get_submodule(f"att{number}")(features))
            features = leaky(self.get_submodule(f"HRconv{number}")(features))
        enlarged = F.interpolate(lq, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return enlarged + self.conv_last(features)
