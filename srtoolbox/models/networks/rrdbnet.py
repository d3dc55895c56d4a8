"""RRDBNet: the residual-in-residual dense blocks of ESRGAN, which Real-ESRGAN and BSRGAN use too.

Wang et al.: "ESRGAN: enhanced super-resolution generative adversarial networks" (ECCVW 2018,
arXiv:1809.00219).

state_dict, the official release's new layout (BasicSR, Real-ESRGAN, MMagic): `conv_first`
`body.N.rdbM.convK` (M and K from 1) `conv_body` `conv_up1` `conv_up2` (at x3 one, at x8 three)
`conv_hr` `conv_last`. x2 and x1 have x4's keys with 12 and 48 input channels, see `unshuffle`.
ESRGAN+ has a `conv1x1` without bias beside `conv1` in each dense block, see `plus`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_choice, require_positive
from srtoolbox.models.networks.blocks import Step, init_scaled, leaky, receptive_field
from srtoolbox.registry import NETWORKS

STAGES = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


class DenseBlock(nn.Module):
    """3x3 convolutions, each on everything before it; the last, scaled, is added to the input.

    In ESRGAN+ the second one's result gains the input, by a 1x1 convolution, and the fourth one's
    the second one's.
    """

    def __init__(
        self, num_features: int, growth_channels: int, num_convs: int, residual_scaling: float, plus: bool
    ) -> None:
        super().__init__()
        self.residual_scaling, self.plus = residual_scaling, plus
        for number in range(num_convs):
            outputs = growth_channels if number < num_convs - 1 else num_features
            conv = nn.Conv2d(num_features + number * growth_channels, outputs, 3, padding=1)
            init_scaled(conv)  # the paper's: a deep stack starts near the identity
            self.add_module(f"conv{number + 1}", conv)
        if plus:
            self.conv1x1 = nn.Conv2d(num_features, growth_channels, 1, bias=False)
            init_scaled(self.conv1x1)

    def forward(self, features: Tensor) -> Tensor:
        *growing, last = list(self.children())[:-1] if self.plus else self.children()
        dense = [features]
        for number, conv in enumerate(growing, start=1):
            result = leaky(conv(torch.cat(dense, 1)))
            if self.plus and number in (2, 4):
                result = result + (self.conv1x1(features) if number == 2 else dense[2])
            dense.append(result)
        return torch.add(features, last(torch.cat(dense, 1)), alpha=self.residual_scaling)


class RRDB(nn.Module):
    """Residual-in-residual: `rdb1`, `rdb2`, ... in a row, scaled and added to the input."""

    def __init__(
        self,
        num_dense_blocks: int,
        num_features: int,
        growth_channels: int,
        num_convs: int,
        residual_scaling: float,
        plus: bool,
    ) -> None:
        super().__init__()
        self.residual_scaling = residual_scaling
        for number in range(1, num_dense_blocks + 1):
            block = DenseBlock(num_features, growth_channels, num_convs, residual_scaling, plus)
            self.add_module(f"rdb{number}", block)

    def forward(self, features: Tensor) -> Tensor:
        inner = features
        for block in self.children():
            inner = block(inner)
        return torch.add(features, inner, alpha=self.residual_scaling)


@NETWORKS.register
class RRDBNet(SRNetwork):
    """RRDBs at the LR size under a long skip, upsampling, two convolutions; LeakyReLU(0.2).

    The defaults are ESRGAN's. Dense blocks begin with He normal times 0.1 and zero biases, the rest
    as torch has it.

    Args:
        scale: 1, 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body.
        growth_channels: channels that each convolution of a dense block adds.
        num_blocks: RRDBs: the paper's 23, or 16 in its smaller network, 6 in Real-ESRGAN's anime's.
        num_dense_blocks: dense blocks in an RRDB.
        num_convs: convolutions in a dense block.
        residual_scaling: factor of the residuals in both kinds of block.
        upsampling: 'nearest' (repeated pixels, then a convolution) or 'pixelshuffle' (sub-pixel).
        unshuffle: x2 and x1 are the x4 network on the image rearranged to half, or a quarter, of
            its size with 4, or 16, times the channels, as in BasicSR and the public weights: four
            and sixteen times cheaper. False: the body works at the image's own size. Means nothing
            at the other scales.
        plus: two more additions in each dense block, one of them by a 1x1 convolution, as in
            ESRGAN+ (Rakotonirina, Rasoanaivo, ICASSP 2020, arXiv:2001.08073); its noise, in
            training alone, is left out.
    """

    scales = tuple(STAGES)
    repeated_block = RRDB
    variants: ClassVar = {
        "RRDBNet": {},
        "RRDBNet-16": {"num_blocks": 16},
        "RRDBNet-anime": {"num_blocks": 6},
        "ESRGAN+": {"plus": True},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        growth_channels: int = 32,
        num_blocks: int = 23,
        num_dense_blocks: int = 3,
        num_convs: int = 5,
        residual_scaling: float = 0.2,
        upsampling: str = "nearest",
        unshuffle: bool = True,
        plus: bool = False,
    ) -> None:
        super().__init__(scale, colour)
        require_choice("RRDBNet", "upsampling", upsampling, ("nearest", "pixelshuffle"))
        require_positive("RRDBNet", num_features=num_features, growth_channels=growth_channels)
        require_positive("RRDBNet", num_blocks=num_blocks, num_dense_blocks=num_dense_blocks, num_convs=num_convs)
        if plus and num_convs < 3:
            raise ConfigError(f"RRDBNet: plus=True is for 3 convolutions or more, num_convs={num_convs}", key="plus")
        self.upsampling = upsampling
        self.size_multiple = cell = 4 // scale if unshuffle and scale in (1, 2) else 1
        self.stages = STAGES[scale * cell]
        self.conv_first = nn.Conv2d(self.in_channels * cell**2, num_features, 3, padding=1)
        block = (num_dense_blocks, num_features, growth_channels, num_convs, residual_scaling, plus)
        self.body = nn.Sequential(*[RRDB(*block) for _ in range(num_blocks)])
        self.conv_body = nn.Conv2d(num_features, num_features, 3, padding=1)
        for number, factor in enumerate(self.stages, start=1):
            outputs = num_features * factor**2 if upsampling == "pixelshuffle" else num_features
            self.add_module(f"conv_up{number}", nn.Conv2d(num_features, outputs, 3, padding=1))
        self.conv_hr = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.conv_last = nn.Conv2d(num_features, self.in_channels, 3, padding=1)
        body: list[Step] = [("unshuffle", cell)] if cell > 1 else []
        body += [3] * (num_blocks * num_dense_blocks * num_convs + 2)
        order = 1 if upsampling == "pixelshuffle" else -1  # the convolution comes before, or after
        tail = [step for factor in self.stages for step in (3, ("shuffle", factor))[::order]]
        self.receptive_field = receptive_field([*body, *tail, 3, 3])
        self.reconstruct_field = cell * receptive_field([*tail, 3, 3])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], multiples of `size_multiple` -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H / size_multiple, W / size_multiple)."""
        cells = F.pixel_unshuffle(lq, self.size_multiple) if self.size_multiple > 1 else lq
        shallow = self.conv_first(cells)
        return shallow + self.conv_body(self.body(shallow))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        for number, factor in enumerate(self.stages, start=1):
            conv = self.get_submodule(f"conv_up{number}")
            if self.upsampling == "pixelshuffle":
                features = leaky(F.pixel_shuffle(conv(features), factor))
            else:
                features = leaky(conv(F.interpolate(features, scale_factor=factor, mode="nearest")))
        return self.conv_last(leaky(self.conv_hr(features)))
