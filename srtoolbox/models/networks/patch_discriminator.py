"""PatchDiscriminator: judges overlapping patches, one logit each. pix2pix's PatchGAN.

Isola, Zhu, Zhou, Efros: "Image-to-image translation with conditional adversarial networks" (CVPR
2017, arXiv:1611.07004).

state_dict, pix2pix's: `model.0`, then `model.I` (convolution) and `model.I+1` (norm, or nothing)
with I = 2, 5, 8, ..., and the last convolution: `model.11` for three layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.interfaces import Discriminator, require_choice, require_positive
from srtoolbox.models.networks.blocks import gt_sizes, shown_size, zero_bias
from srtoolbox.registry import NETWORKS

NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, None: nn.Identity}


@NETWORKS.register
class PatchDiscriminator(Discriminator):
    """4x4 convolutions: `num_layers` of stride 2, one of stride 1, one to a single channel.

    LeakyReLU(0.2) between. Each logit sees a patch: 16, 34, 70, 142 pixels for 1, 2, 3, 4 layers.
    Weights begin as N(0, 0.02), as in the paper.

    Args:
        num_layers: convolutions of stride 2; 3 is the paper's 70 x 70 PatchGAN.
        num_features: channels of the first; they double up to eight times as many.
        norm: 'batch' (the paper's), 'instance' (of each image alone, without parameters, so the
            convolutions have biases), or None; the first and last convolutions have none.
        colour: 'rgb' or 'y'.
    """

    def __init__(
        self, num_layers: int = 3, num_features: int = 64, *, norm: str | None = "batch", colour: str = "rgb"
    ) -> None:
        super().__init__(colour)
        require_positive("PatchDiscriminator", num_layers=num_layers, num_features=num_features)
        require_choice("PatchDiscriminator", "norm", norm, NORMS)
        self.min_size = min_size_of(num_layers)
        width = num_features
        layers = [nn.Conv2d(self.in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for number in range(1, num_layers + 1):
            outputs = num_features * min(2**number, 8)
            stride = 2 if number < num_layers else 1
            conv = nn.Conv2d(width, outputs, 4, stride, 1, bias=norm != "batch")
            layers += [conv, NORMS[norm](outputs), nn.LeakyReLU(0.2, inplace=True)]
            width = outputs
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))
        self.apply(_initialise)

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """The training crops must leave at least one patch."""
        layers = cfg.get("num_layers", 3)
        least = min_size_of(layers) if isinstance(layers, int) and layers > 0 else 0
        need = f"num_layers {layers} needs {least} pixels"
        small = {path: size for path, size in gt_sizes(context).items() if size < least}
        return [Fault("num_layers", f"{need}, but {path} is {size}") for path, size in small.items()]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> logits (N, 1, h, w), h = H // 2^num_layers - 2, no sigmoid."""
        if min(image.shape[-2:]) < self.min_size:
            need = f"needs at least {self.min_size} pixels each way"
            raise ConfigError(f"PatchDiscriminator: {need}, got {shown_size(image)}")
        return self.model(image)


def min_size_of(num_layers: int) -> int:
    """Return the least side: one logit, and several values of each channel for the norm before."""
    return 3 * 2**num_layers


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        zero_bias(module)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
