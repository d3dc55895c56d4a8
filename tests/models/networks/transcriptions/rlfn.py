"""RLFN (Kong et al., CVPRW 2022, arXiv:2205.07514), with the names of bytedance/RLFN.

RLFN has 52 features and RLFN-S 48, both six blocks; the challenge's network 46, 48 inside, and four blocks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ESA(nn.Module):
    """Spatial attention with one convolution between pooling and interpolation; needs 15 x 15 pixels."""

    def __init__(self, nf: int, f: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(nf, f, 1)
        self.conv_f = nn.Conv2d(f, f, 1)
        self.conv2 = nn.Conv2d(f, f, 3, stride=2)
        self.conv3 = nn.Conv2d(f, f, 3, padding=1)
        self.conv4 = nn.Conv2d(f, nf, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        coarse = self.conv3(F.max_pool2d(self.conv2(reduced), 7, stride=3))
        coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(coarse + self.conv_f(reduced)))


class RLFB(nn.Module):
    """Three convolutions, each with a leaky ReLU, under a skip; a 1x1 convolution; attention."""

    def __init__(self, nf: int, mid: int, esa: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(nf, mid, 3, padding=1)
        self.c2_r = nn.Conv2d(mid, mid, 3, padding=1)
        self.c3_r = nn.Conv2d(mid, nf, 3, padding=1)
        self.c5 = nn.Conv2d(nf, nf, 1)
        self.esa = ESA(nf, esa)

    def forward(self, x: Tensor) -> Tensor:
        refined = x
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            refined = F.leaky_relu(conv(refined), 0.05)
        return self.esa(self.c5(refined + x))


class RLFN(nn.Module):
    def __init__(
        self,
        scale: int,
        nf: int = 52,
        blocks: int = 6,
        mid: int | None = None,
        esa: int = 16,
        in_nc: int = 3,
        out_nc: int = 3,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.conv_1 = nn.Conv2d(in_nc, nf, 3, padding=1)
        for n in range(1, blocks + 1):
            self.add_module(f"block_{n}", RLFB(nf, mid or nf, esa))
        self.conv_2 = nn.Conv2d(nf, nf, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(nf, out_nc * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, image: Tensor) -> Tensor:
        first = x = self.conv_1(image)
        for n in range(1, self.blocks + 1):
            x = self.get_submodule(f"block_{n}")(x)
        return self.upsampler(self.conv_2(x) + first)
