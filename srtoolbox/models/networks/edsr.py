"""EDSR: residual blocks without normalisation, scaled before they are added, then sub-pixel steps.

Lim, Son, Kim, Nah, Lee: "Enhanced deep residual networks for single image super-resolution"
(CVPRW 2017, arXiv:1707.02921).

state_dict, the authors' PyTorch release: `head.0`, `body.N.body.{0,2}` of block N, `body.B` after
B blocks, `tail.0.{0,2}` (at x4; `tail.0.0` at x2 and x3), `tail.1`; each `.weight` and `.bias`. Its
frozen `sub_mean` and `add_mean` are arguments here, `img_range` and `rgb_mean`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, receptive_field, sub_pixel_field, sub_pixel_steps
from srtoolbox.registry import NETWORKS


class ScaledResidualBlock(nn.Module):
    """x + residual_scaling * conv(relu(conv(x)))."""

    def __init__(self, num_features: int, residual_scaling: float) -> None:
        super().__init__()
        self.residual_scaling = residual_scaling
        self.body = nn.Sequential(
            nn.Conv2d(num_features, num_features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_features, num_features, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.add(features, self.body(features), alpha=self.residual_scaling)


@NETWORKS.register
class EDSR(Centred):
    """Scaled residual blocks under a long skip, sub-pixel steps, a last convolution.

    The defaults are the paper's EDSR, 43.1 M parameters and a radius of 68 at x4; its baseline has
    1.5 M.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: residual blocks.
        residual_scaling: factor of what a block adds; 0.1 keeps wide networks from diverging.
        img_range, rgb_mean: see `Centred`.
    """

    scales = (1, 2, 3, 4, 8)
    repeated_block = ScaledResidualBlock
    hidden_arguments: ClassVar = {"residual_scaling": (0.1, 1.0)}
    variants: ClassVar = {
        "EDSR": {},
        "EDSR-baseline": {"num_features": 64, "num_blocks": 16, "residual_scaling": 1.0},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 256,
        num_blocks: int = 32,
        residual_scaling: float = 0.1,
        img_range: float = 255.0,
        rgb_mean: Sequence[float] = DIV2K_MEAN,
    ) -> None:
        super().__init__(scale, colour, img_range, rgb_mean)
        require_positive("EDSR", num_features=num_features, num_blocks=num_blocks)
        self.head = nn.Sequential(nn.Conv2d(self.in_channels, num_features, 3, padding=1))
        blocks = [ScaledResidualBlock(num_features, residual_scaling) for _ in range(num_blocks)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(num_features, num_features, 3, padding=1))
        last = nn.Conv2d(num_features, self.in_channels, 3, padding=1)
        self.tail = nn.Sequential(nn.Sequential(*sub_pixel_steps(scale, num_features)), last)
        tail = [*sub_pixel_field(scale), 3]
        self.receptive_field = receptive_field([3, *[3, 3] * num_blocks, 3, *tail])
        self.reconstruct_field = receptive_field(tail)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H, W)."""
        shallow = self.head(self.centre(lq))
        return shallow + self.body(shallow)

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels of them."""
        return self.uncentre(self.tail(features))
