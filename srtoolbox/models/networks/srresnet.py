"""SRResNet: the residual network of SRGAN.

Ledig et al.: "Photo-realistic single image super-resolution using a generative adversarial network"
(CVPR 2017, arXiv:1609.04802).

state_dict: `conv_first` `act_first` `body.N.{conv1,bn1,act,conv2,bn2}` `conv_body` `bn_body` (or
`act_body`) `upsample.N.{conv,act}` `conv_last`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import SRNetwork, require_choice, require_positive
from srtoolbox.models.networks.blocks import receptive_field
from srtoolbox.registry import NETWORKS

# one sub-pixel block per factor, as the paper does it for x4 = 2 * 2
STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


class InstanceNorm(nn.InstanceNorm2d):
    """Each channel of each image less its mean, by its deviation, both in float32."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, F, H, W) -> (N, F, H, W)."""
        if features.shape[2] == 1 and features.shape[3] == 1:  # torch refuses what is its own mean
            return torch.zeros_like(features)
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        return super().forward(exact).to(features.dtype)


NORMS: Mapping[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": InstanceNorm}


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x)))))."""

    def __init__(self, num_features: int, bias: bool, norm: str = "batch") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias)
        self.bn1 = NORMS[norm](num_features)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias)
        self.bn2 = NORMS[norm](num_features)

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
        norm: 'batch', or 'instance' without parameters as in Fast-SRGAN (num_blocks=8,
            kernel_size=3, norm='instance', input_range='signed', output='tanh'), which sees the
            whole image.
        kernel_size: of the first and the last convolution.
        input_range: 'unit', or 'signed' where the first convolution sees 2 * lq - 1.
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
        norm: str = "batch",
        kernel_size: int = 9,
        input_range: str = "unit",
    ) -> None:
        super().__init__(scale, colour)
        require_choice("SRResNet", "norm", norm, NORMS)
        require_choice("SRResNet", "input_range", input_range, ("unit", "signed"))
        require_choice("SRResNet", "kernel_size", kernel_size, (1, 3, 5, 7, 9, 11))
        require_choice("SRResNet", "body_end", body_end, ("batch", "prelu"))
        require_choice("SRResNet", "output", output, ("linear", "tanh"))
        require_positive("SRResNet", num_features=num_features, num_blocks=num_blocks)
        self.conv_first = nn.Conv2d(self.in_channels, num_features, kernel_size, padding=kernel_size // 2)
        self.act_first = nn.PReLU()
        self.body = nn.Sequential(*[ResidualBlock(num_features, bias, norm) for _ in range(num_blocks)])
        self.conv_body = nn.Conv2d(num_features, num_features, 3, padding=1, bias=bias or body_end == "prelu")
        if body_end == "batch":
            self.bn_body = NORMS[norm](num_features)
        else:
            self.act_body = nn.PReLU()
        self.body_end, self.output, self.input_range = body_end, output, input_range
        self.upsample = nn.Sequential(*[SubPixelUpsample(num_features, factor) for factor in STAGES[scale]])
        self.conv_last = nn.Conv2d(num_features, self.in_channels, kernel_size, padding=kernel_size // 2)
        tail = [step for factor in STAGES[scale] for step in (3, ("shuffle", factor))]
        if norm == "batch":
            self.receptive_field = receptive_field([kernel_size, *[3, 3] * num_blocks, 3, *tail, kernel_size])
        self.reconstruct_field = receptive_field([*tail, kernel_size])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H, W)."""
        shallow = self.act_first(self.conv_first(2 * lq - 1 if self.input_range == "signed" else lq))
        end = self.bn_body if self.body_end == "batch" else self.act_body
        return shallow + end(self.conv_body(self.body(shallow)))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        sr = self.conv_last(self.upsample(features))
        return (torch.tanh(sr) + 1) / 2 if self.output == "tanh" else sr
