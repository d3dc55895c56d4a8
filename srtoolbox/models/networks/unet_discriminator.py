"""UNetDiscriminatorSN, Real-ESRGAN's: judges every pixel, with spectral normalisation.

Wang, Xie, Dong, Shan: "Real-ESRGAN: training real-world blind super-resolution with pure synthetic
data" (ICCVW 2021, arXiv:2107.10833), after Schonfeld et al. 2020 (arXiv:2002.12655); spectral
normalisation: Miyato et al. 2018 (arXiv:1802.05957).

state_dict, BasicSR's: `conv0.{weight,bias}`, `conv1` ... `conv8` each `.weight_orig` `.weight_u`
`.weight_v` (no bias), `conv9.{weight,bias}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.interfaces import Discriminator, require_positive
from srtoolbox.models.networks.blocks import gt_sizes, leaky, shown_size
from srtoolbox.registry import NETWORKS

# of conv1 ... conv8 (down, up, last): input and output channels in units of num_features
WIDTHS = ((1, 2), (2, 4), (4, 8), (8, 4), (4, 2), (2, 1), (1, 1), (1, 1))


@NETWORKS.register
class UNetDiscriminatorSN(Discriminator):
    """Three halvings, three doublings with skips, three convolutions; LeakyReLU(0.2).

    The spectral norms take one power iteration each time the network runs in training mode, and
    none in eval mode: a fresh network has to run a few times before they are near the truth.

    Args:
        num_features: channels at full size; 64 is Real-ESRGAN's.
        skip_connection: add the features of the way down to those of the way up.
        colour: 'rgb' or 'y'.
    """

    size_multiple = 8

    def __init__(self, num_features: int = 64, *, skip_connection: bool = True, colour: str = "rgb") -> None:
        super().__init__(colour)
        require_positive("UNetDiscriminatorSN", num_features=num_features)
        self.skip_connection = skip_connection
        self.conv0 = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        for number, (inputs, outputs) in enumerate(WIDTHS, start=1):
            kernel, stride = (4, 2) if outputs > inputs else (3, 1)
            # the older spectral_norm: its parameter names are those of the public weights
            conv = nn.Conv2d(inputs * num_features, outputs * num_features, kernel, stride, padding=1, bias=False)
            self.add_module(f"conv{number}", spectral_norm(conv))
        self.conv9 = nn.Conv2d(num_features, 1, 3, padding=1)

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """The training crops must halve three times without a rest."""
        need = f"takes multiples of {cls.size_multiple} pixels"
        wrong = {path: size for path, size in gt_sizes(context).items() if size % cls.size_multiple}
        return [Fault(None, f"{need}, but {path} is {size}") for path, size in wrong.items()]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], H and W multiples of 8 -> logits (N, 1, H, W), no sigmoid."""
        if image.shape[-2] % self.size_multiple or image.shape[-1] % self.size_multiple:
            need = f"takes multiples of {self.size_multiple} pixels"
            raise ConfigError(f"UNetDiscriminatorSN: {need}, got {shown_size(image)}")
        down = [leaky(self.conv0(image))]
        for number in (1, 2, 3):
            down.append(self._convolve(number, down[-1]))
        features = down.pop()
        for number in (4, 5, 6):
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features, same_size = self._convolve(number, features), down.pop()
            if self.skip_connection:
                features = features + same_size
        return self.conv9(self._convolve(8, self._convolve(7, features)))

    def _convolve(self, number: int, features: Tensor) -> Tensor:
        return leaky(self.get_submodule(f"conv{number}")(features))
