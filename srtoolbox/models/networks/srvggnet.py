"""SRVGGNetCompact: a plain stack of convolutions at the LR size; Real-ESRGAN's small networks.

Part of the release of Wang, Xie, Dong, Shan: "Real-ESRGAN: training real-world blind
super-resolution with pure synthetic data" (ICCVW 2021, arXiv:2107.10833).

state_dict, Real-ESRGAN's: convolutions `body.{0,2,4,...}.{weight,bias}`, PReLUs
`body.{1,3,5,...}.weight`.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.blocks import receptive_field
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class SRVGGNetCompact(SRNetwork):
    """3x3 convolutions with PReLU, a sub-pixel step, plus the input with its pixels repeated.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels of the hidden layers.
        num_blocks: hidden convolutions between the first and the last: 16 in realesr-animevideov3,
            32 in realesr-general-x4v3.
    """

    variants: ClassVar = {
        "SRVGGNetCompact": {},
        "SRVGGNetCompact-32": {"num_blocks": 32},
    }

    def __init__(self, scale: int, colour: str = "rgb", *, num_features: int = 64, num_blocks: int = 16) -> None:
        super().__init__(scale, colour)
        require_positive("SRVGGNetCompact", num_features=num_features, num_blocks=num_blocks)
        layers: list[nn.Module] = []
        for inputs in (self.in_channels, *[num_features] * num_blocks):
            layers += [nn.Conv2d(inputs, num_features, 3, padding=1), nn.PReLU(num_features)]
        self.body = nn.Sequential(*layers, nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1))
        self.receptive_field = receptive_field([*[3] * (num_blocks + 2), ("shuffle", scale)])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        residual = F.pixel_shuffle(self.body(lq), self.scale)
        return residual + F.interpolate(lq, scale_factor=self.scale, mode="nearest")
