"""SRResNet: the residual network of SRGAN.

Ledig et al.: "Photo-realistic single image super-resolution using a generative adversarial network"
(CVPR 2017, arXiv:1609.04802).

state_dict: `conv_first` `act_first` `body.N.{conv1,bn1,act,conv2,bn2}` `conv_body` `bn_body` (or
`act_body`) `upsample.N.{conv,act}` `conv_last`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import SRNetwork, require_choice, require_positive
from srtoolbox.models.networks.blocks import receptive_field
from srtoolbox.registry import NETWORKS

# one sub-pixel block per factor, as the paper does it for x4 = 2 * 2
STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x)))))."""

    def __init__(self, num_features: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(num_features)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(num_features)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.bn2(self.conv2(self.act(self.bn1(self.conv1(features)))))


class SubPixelUpsample(nn.Module):
    """Convolution to factor^2 times the channels, sub-pixel shuffle, PReLU."""

    def __init__(self, num_features: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(num_features, num_features * factor**2, 3, padding=1)
        self.act = nn.PReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(N, F, H, W) -> (N, F, factor * H, factor * W)."""
        return self.act(F.pixel_shuffle(self.conv(features), self.factor))


@NETWORKS.register
class SRResNet(SRNetwork):
    """9x9 convolution, residual blocks under a long skip, sub-pixel upsampling, 9x9 convolution.

    Input and output are in [0, 1] (the paper's output in [-1, 1] differs by a linear map, which the
    last layer learns). The paper names no initialisation: it is torch's.

    Args:
        scale: 2, 3, 4 (the paper's) or 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body.
        num_blocks: residual blocks.
        bias: of the convolutions before a BatchNorm, which some public weights have.
        body_end: after the body's last convolution: 'batch' (BatchNorm, the paper's), or 'prelu' as
            in leftthomas' SRGAN (num_blocks=5, bias=True, body_end='prelu', output='tanh').
        output: 'linear', or 'tanh' for (tanh(x) + 1) / 2, which cannot leave [0, 1].
    """

    scales = tuple(STAGES)
    repeated_block = ResidualBlock
    hidden_arguments: ClassVar = {"output": ("linear", "tanh")}

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_blocks: int = 16,
        bias: bool = False,
        body_end: str = "batch",
        output: str = "linear",
    ) -> None:
        super().__init__(scale, colour)
        require_choice("SRResNet", "body_end", body_end, ("batch", "prelu"))
        require_choice("SRResNet", "output", output, ("linear", "tanh"))
        require_positive("SRResNet", num_features=num_features, num_blocks=num_blocks)
        self.conv_first = nn.Conv2d(self.in_channels, num_features, 9, padding=4)
        self.act_first = nn.PReLU()
        self.body = nn.Sequential(*[ResidualBlock(num_features, bias) for _ in range(num_blocks)])
        self.conv_body = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias or body_end == "prelu")
        if body_end == "batch":
            self.bn_body = nn.BatchNorm2d(num_features)
        else:
            self.act_body = nn.PReLU()
        self.body_end, self.output = body_end, output
        self.upsample = nn.Sequential(*[SubPixelUpsample(num_features, factor) for factor in STAGES[scale]])
        self.conv_last = nn.Conv2d(num_features, self.in_channels, 9, padding=4)
        tail = [step for factor in STAGES[scale] for step in (3, ("shuffle", factor))]
        self.receptive_field = receptive_field([9, *[3, 3] * num_blocks, 3, *tail, 9])
        self.reconstruct_field = receptive_field([*tail, 9])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H, W)."""
        shallow = self.act_first(self.conv_first(lq))
        end = self.bn_body if self.body_end == "batch" else self.act_body
        return shallow + end(self.conv_body(self.body(shallow)))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        sr = self.conv_last(self.upsample(features))
        return (torch.tanh(sr) + 1) / 2 if self.output == "tanh" else sr
