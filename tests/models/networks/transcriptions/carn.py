"""CARN and CARN-M (Ahn, Kang, Sohn, ECCV 2018, arXiv:1803.08664), with the names of nmhkahn/CARN-pytorch.

In CARN-M the residual blocks have grouped convolutions and a 1x1 one, and the three of a cascade are one, used three
times (`b1` alone). Trained for several scales it has an upsampler for each: `up2`, `up3`, `up4`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.4488, 0.4371, 0.4040)


class MeanShift(nn.Module):
    def __init__(self, sign: float) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.shifter.weight.copy_(torch.eye(3)[..., None, None])
        self.shifter.bias.copy_(sign * torch.tensor(MEAN))

    def forward(self, image: Tensor) -> Tensor:
        return self.shifter(image)


class Fuse(nn.Module):
    """1x1 convolution and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Residual(nn.Module):
    """relu(x + f(x)); f is two convolutions, or with `efficient` two grouped ones and a 1x1 one."""

    def __init__(self, nf: int, group: int, efficient: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(nf, nf, 3, 1, 1, groups=group), nn.ReLU(), nn.Conv2d(nf, nf, 3, 1, 1, groups=group)]
        if efficient:
            layers += [nn.ReLU(), nn.Conv2d(nf, nf, 1)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + x)


def cascade(x: Tensor, blocks: Sequence[nn.Module], fuses: Sequence[nn.Module]) -> Tensor:
    """Each fuse sees the input and what all blocks so far have made."""
    seen = [x]
    for block, fuse in zip(blocks, fuses, strict=True):
        seen.append(block(x))
        x = fuse(torch.cat(seen, 1))
    return x


class Cascade(nn.Module):
    def __init__(self, nf: int, group: int, efficient: bool) -> None:
        super().__init__()
        self.b1 = Residual(nf, group, efficient)
        if not efficient:
            self.b2, self.b3 = Residual(nf, group, efficient), Residual(nf, group, efficient)
        self.c1, self.c2, self.c3 = Fuse(2 * nf, nf), Fuse(3 * nf, nf), Fuse(4 * nf, nf)
        self.efficient = efficient

    def forward(self, x: Tensor) -> Tensor:
        blocks = [self.b1] * 3 if self.efficient else [self.b1, self.b2, self.b3]
        return cascade(x, blocks, [self.c1, self.c2, self.c3])


class Steps(nn.Module):
    """Convolution, ReLU, sub-pixel shuffle, by 3 or as often by 2 as it takes."""

    def __init__(self, nf: int, scale: int, group: int) -> None:
        super().__init__()
        factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
        layers = []
        for f in factors:
            layers += [nn.Conv2d(nf, f * f * nf, 3, 1, 1, groups=group), nn.ReLU(), nn.PixelShuffle(f)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Upsample(nn.Module):
    def __init__(self, nf: int, scale: int, multi_scale: bool, group: int) -> None:
        super().__init__()
        self.name = f"up{scale}" if multi_scale else "up"
        for each in (2, 3, 4) if multi_scale else (scale,):
            self.add_module(f"up{each}" if multi_scale else "up", Steps(nf, each, group))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(x)


class CARN(nn.Module):
    """CARN; with `efficient` CARN-M, whose published files have `group=4`.

    Without `efficient` only the upsampler's convolutions are in groups.
    """

    def __init__(
        self, scale: int, nf: int = 64, group: int = 1, efficient: bool = False, multi_scale: bool = False
    ) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(1)
        self.entry = nn.Conv2d(3, nf, 3, 1, 1)
        inner = group if efficient else 1
        self.b1, self.b2, self.b3 = (Cascade(nf, inner, efficient) for _ in range(3))
        self.c1, self.c2, self.c3 = Fuse(2 * nf, nf), Fuse(3 * nf, nf), Fuse(4 * nf, nf)
        self.upsample = Upsample(nf, scale, multi_scale, group)
        self.exit = nn.Conv2d(nf, 3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.entry(self.sub_mean(image))
        x = cascade(x, [self.b1, self.b2, self.b3], [self.c1, self.c2, self.c3])
        return self.add_mean(self.exit(self.upsample(x)))
