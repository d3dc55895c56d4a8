"""MSRResNet: SRResNet without BatchNorm and with a bilinear skip, BasicSR's baseline.

After Wang et al. 2018 (ESRGAN, arXiv:1809.00219) and Ledig et al. 2017 (arXiv:1609.04802). The
state_dict keys are BasicSR's, so files go both ways: `conv_first` `body.N.{conv1,conv2}` `upconv1`
(`upconv2` at x4) `conv_hr` `conv_last`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import SRNetwork, require_choice, require_positive
from srtoolbox.models.networks.blocks import init_scaled, leaky, receptive_field
from srtoolbox.registry import NETWORKS

STAGES = {2: (2,), 3: (3,), 4: (2, 2)}
SLOPE = 0.1  # of the leaky ReLUs


class ResidualBlockNoBN(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.conv2 = nn.Conv2d(num_features, num_features, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(F.relu(self.conv1(features), inplace=True))


@NETWORKS.register
class MSRResNet(SRNetwork):
    """Residual blocks at the LR size, sub-pixel upsampling, plus the bilinearly upscaled input.

    Args:
        scale: 2, 3 or 4.
        colour: 'rgb' or 'y'.
        num_features: channels of the body.
        num_blocks: residual blocks.
        init: 'scaled' is BasicSR's, He normal times 0.1 with zero biases: training starts near
            bilinear; or 'torch'.
    """

    scales = tuple(STAGES)
    repeated_block = ResidualBlockNoBN

    def __init__(
        self, scale: int, colour: str = "rgb", *, num_features: int = 64, num_blocks: int = 16, init: str = "scaled"
    ) -> None:
        super().__init__(scale, colour)
        require_choice("MSRResNet", "init", init, ("scaled", "torch"))
        require_positive("MSRResNet", num_features=num_features, num_blocks=num_blocks)
        self.conv_first = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self.body = nn.Sequential(*[ResidualBlockNoBN(num_features) for _ in range(num_blocks)])
        for number, factor in enumerate(STAGES[scale], start=1):
            self.add_module(f"upconv{number}", nn.Conv2d(num_features, num_features * factor**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.conv_last = nn.Conv2d(num_features, self.in_channels, 3, padding=1)
        tail = [step for factor in STAGES[scale] for step in (3, ("shuffle", factor))]
        self.receptive_field = receptive_field([3, *[3, 3] * num_blocks, *tail, 3, 3])
        self.reconstruct_field = receptive_field([*tail, 3, 3])
        if init == "scaled":
            self.apply(init_scaled)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H, W)."""
        return self.body(leaky(self.conv_first(lq), SLOPE))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        for number, factor in enumerate(STAGES[self.scale], start=1):
            upscaled = F.pixel_shuffle(self.get_submodule(f"upconv{number}")(features), factor)
            features = leaky(upscaled, SLOPE)
        residual = self.conv_last(leaky(self.conv_hr(features), SLOPE))
        return residual + F.interpolate(lq, scale_factor=self.scale, mode="bilinear", align_corners=False)
