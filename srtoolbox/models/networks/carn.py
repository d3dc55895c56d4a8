"""CARN: residual blocks in cascades, each fed by all before it through a 1x1 convolution.

Ahn, Kang, Sohn: "Fast, accurate, and lightweight super-resolution with cascading residual network"
(ECCV 2018, arXiv:1803.08664).

state_dict, the authors': `entry`, `bN.bM.body.{0,2}` (CARN-M: `bN.b1.body.{0,2,4}`, which serves
all M), `bN.cM.body.0`, `cN.body.0`, `upsample.up.body.0` (at x4 `.3` too), `exit`; each `.weight`
and `.bias`. Their frozen `sub_mean` and `add_mean` are constants here. The released files hold the
upsamplers of x2, x3 and x4 as `upsample.up2` ...: the scale's own is taken from them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, receptive_field
from srtoolbox.registry import NETWORKS

STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


class ResidualBlock(nn.Module):
    """relu(x + convolutions of x): two 3x3, or, in groups, two 3x3 and a 1x1 that joins them."""

    def __init__(self, num_features: int, groups: int | None) -> None:
        super().__init__()
        first, second = (nn.Conv2d(num_features, num_features, 3, padding=1, groups=groups or 1) for _ in range(2))
        layers = [first, nn.ReLU(inplace=True), second]
        if groups is not None:
            layers += [nn.ReLU(inplace=True), nn.Conv2d(num_features, num_features, 1)]
        self.body = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.body(features), inplace=True)


class Fusion(nn.Module):
    """1x1 convolution and ReLU on everything so far."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)


def cascade(features: Tensor, blocks: Iterable[nn.Module], fusions: Iterable[nn.Module]) -> Tensor:
    """Return what a row of blocks makes of features: each is fed with all before it, fused."""
    outputs = [features]
    for block, fusion in zip(blocks, fusions, strict=True):
        outputs.append(block(features))
        features = fusion(torch.cat(outputs, 1))
    return features


def add_fusions(module: nn.Module, num_features: int, num_blocks: int) -> None:
    """Add the fusions of a cascade, `c1` ...: the n-th is behind n blocks."""
    for number in range(1, num_blocks + 1):
        module.add_module(f"c{number}", Fusion((number + 1) * num_features, num_features))


class CascadingBlock(nn.Module):
    """A cascade of residual blocks; in groups it is one, `b1`, again and again."""

    def __init__(self, num_features: int, num_blocks: int, groups: int | None) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        for number in range(1, 2 if groups is not None else num_blocks + 1):
            self.add_module(f"b{number}", ResidualBlock(num_features, groups))
        self.is_recursive = groups is not None
        add_fusions(self, num_features, num_blocks)

    def forward(self, features: Tensor) -> Tensor:
        numbers = range(1, self.num_blocks + 1)
        blocks = [self.get_submodule("b1" if self.is_recursive else f"b{number}") for number in numbers]
        return cascade(features, blocks, [self.get_submodule(f"c{number}") for number in numbers])


@NETWORKS.register
class CARN(Centred):
    """Cascades of residual blocks in a cascade at the LR size, then sub-pixel steps.

    Images come less DIV2K's mean. The weights begin as torch has it. 1.592 M parameters with the
    upsamplers of all scales, as the paper counts; CARN-M has 0.412 M.

    Args:
        scale: 2, 3, 4 or 8.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: residual blocks in a cascade, and cascades in the network.
        groups: of the 3x3 convolutions in CARN-M, whose cascades use one residual block again and
            again; None: CARN.
        img_range, rgb_mean: as in `Centred`.
    """

    scales = tuple(STAGES)
    repeated_block = CascadingBlock
    variants: ClassVar = {"CARN": {}, "CARN-M": {"groups": 4}}

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_blocks: int = 3,
        groups: int | None = None,
        img_range: float = 1.0,
        rgb_mean: tuple[float, float, float] = DIV2K_MEAN,
    ) -> None:
        super().__init__(scale, colour, img_range, rgb_mean)
        require_positive("CARN", num_features=num_features, num_blocks=num_blocks)
        if groups is not None:
            require_positive("CARN", groups=groups)
            if num_features % groups:
                fault = f"groups={groups} is not possible; {num_features} features are no multiple of it"
                raise ConfigError(f"CARN: {fault}", key="groups")
        self.num_blocks = num_blocks
        self.entry = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        for number in range(1, num_blocks + 1):
            self.add_module(f"b{number}", CascadingBlock(num_features, num_blocks, groups))
        add_fusions(self, num_features, num_blocks)
        steps: list[nn.Module] = []
        for factor in STAGES[scale]:
            conv = nn.Conv2d(num_features, num_features * factor**2, 3, padding=1, groups=groups or 1)
            steps += [conv, nn.ReLU(inplace=True), nn.PixelShuffle(factor)]
        up = nn.Sequential(OrderedDict(body=nn.Sequential(*steps)))
        self.upsample = nn.Sequential(OrderedDict(up=up))
        self.exit = nn.Conv2d(num_features, self.in_channels, 3, padding=1)
        tail = [step for factor in STAGES[scale] for step in (3, ("shuffle", factor))]
        self.receptive_field = receptive_field([3, *[3, 3] * num_blocks**2, *tail, 3])
        self.reconstruct_field = receptive_field([*tail, 3])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract(lq), lq)

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> the body's features (N, F, H, W)."""
        blocks, fusions = (
            [self.get_submodule(f"{letter}{number}") for number in range(1, self.num_blocks + 1)] for letter in "bc"
        )
        return cascade(self.entry(self.centre(lq)), blocks, fusions)

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        return self.uncentre(self.exit(self.upsample(features)))
