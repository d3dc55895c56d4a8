"""PAN (Zhao, Kong, He, Qiao, Dong, ECCVW 2020, arXiv:2010.01073), with the names of zhaohengyuan1/PAN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class PixelAttention(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(nf, nf, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x))


class AttentionConv(nn.Module):
    """k4(k3(x) * sigmoid(k2(x))); only the 1x1 `k2` has a bias."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        self.k2 = nn.Conv2d(nf, nf, 1)
        self.k3 = nn.Conv2d(nf, nf, 3, padding=1, bias=False)
        self.k4 = nn.Conv2d(nf, nf, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.k4(self.k3(x) * torch.sigmoid(self.k2(x)))


class SCPA(nn.Module):
    """Two branches of half the channels each, one of them with pixel attention; no biases but `k2`'s."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        half = nf // 2
        self.conv1_a = nn.Conv2d(nf, half, 1, bias=False)
        self.conv1_b = nn.Conv2d(nf, half, 1, bias=False)
        self.k1 = nn.Sequential(nn.Conv2d(half, half, 3, padding=1, bias=False))
        self.PAConv = AttentionConv(half)
        self.conv3 = nn.Conv2d(2 * half, nf, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a = lrelu(self.k1(lrelu(self.conv1_a(x))))
        b = lrelu(self.PAConv(lrelu(self.conv1_b(x))))
        return self.conv3(torch.cat((a, b), 1)) + x


class PAN(nn.Module):
    """PAN; `upconv2`, `att2`, `HRconv2` are there at x4 alone. The published ones: nf 40, unf 24, nb 16."""

    def __init__(self, scale: int, nf: int = 40, unf: int = 24, nb: int = 16, in_nc: int = 3, out_nc: int = 3) -> None:
        super().__init__()
        self.scale = scale
        self.factors = [2, 2] if scale == 4 else [scale]
        self.conv_first = nn.Conv2d(in_nc, nf, 3, padding=1)
        self.SCPA_trunk = nn.Sequential(*(SCPA(nf) for _ in range(nb)))
        self.trunk_conv = nn.Conv2d(nf, nf, 3, padding=1)
        for n in range(1, len(self.factors) + 1):
            self.add_module(f"upconv{n}", nn.Conv2d(nf if n == 1 else unf, unf, 3, padding=1))
            self.add_module(f"att{n}", PixelAttention(unf))
            self.add_module(f"HRconv{n}", nn.Conv2d(unf, unf, 3, padding=1))
        self.conv_last = nn.Conv2d(unf, out_nc, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_first(image)
        x = x + self.trunk_conv(self.SCPA_trunk(x))
        for n, factor in enumerate(self.factors, start=1):
            x = self.get_submodule(f"upconv{n}")(F.interpolate(x, scale_factor=factor, mode="nearest"))
            x = lrelu(self.get_submodule(f"att{n}")(x))
            x = lrelu(self.get_submodule(f"HRconv{n}")(x))
        base = F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(x) + base
