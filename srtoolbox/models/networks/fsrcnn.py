"""FSRCNN: thin convolutions at the LR size and one transposed convolution to the output.

Dong, Loy, Tang: "Accelerating the super-resolution convolutional neural network" (ECCV 2016,
arXiv:1608.00367).

state_dict, that of the usual PyTorch release (yjn870's): `first_part.0`, `mid_part.I` for I = 0, 2,
4, ... (shrinking, mapping, expanding), each with its PReLU behind it, `last_part`.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.blocks import receptive_field, zero_bias
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class FSRCNN(SRNetwork):
    """Features, shrinking, mapping, expanding, each with its PReLU; then a transposed convolution.

    Weights begin as He normal, the last ones as N(0, 0.001), biases zero.

    Args:
        scale: upscaling factor.
        colour: 'y' (the paper's choice) or 'rgb'.
        num_features: the paper's d: 56, or 32 in FSRCNN-s.
        shrink_channels: the paper's s: 12, or 5.
        num_mapping: the paper's m: 4, or 1.
    """

    variants: ClassVar = {
        "FSRCNN": {},
        "FSRCNN-s": {"num_features": 32, "shrink_channels": 5, "num_mapping": 1},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "y",
        *,
        num_features: int = 56,
        shrink_channels: int = 12,
        num_mapping: int = 4,
    ) -> None:
        super().__init__(scale, colour)
        require_positive("FSRCNN", num_features=num_features, shrink_channels=shrink_channels)
        require_positive("FSRCNN", num_mapping=num_mapping)
        self.first_part = nn.Sequential(*_conv(self.in_channels, num_features, 5))
        middle = [_conv(num_features, shrink_channels, 1)]
        middle += [_conv(shrink_channels, shrink_channels, 3) for _ in range(num_mapping)]
        middle += [_conv(shrink_channels, num_features, 1)]
        self.mid_part = nn.Sequential(*[layer for pair in middle for layer in pair])
        self.last_part = nn.ConvTranspose2d(num_features, self.in_channels, 9, scale, 4, scale - 1)
        nn.init.normal_(self.last_part.weight, std=0.001)
        zero_bias(self.last_part)
        self.receptive_field = receptive_field([5, *[3] * num_mapping, ("transposed", scale, 9)])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.last_part(self.mid_part(self.first_part(lq)))


def _conv(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    zero_bias(conv)
    return conv, nn.PReLU(outputs)
