"""RFDN (Liu, Tang, Wu, ECCVW 2020, arXiv:2009.11551), with the names of njulj/RFDN, the winner of AIM 2020."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.05)


class ESA(nn.Module):
    """Enhanced spatial attention, with a quarter of the channels; needs images of at least 15 x 15."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        f = nf // 4
        self.conv1 = nn.Conv2d(nf, f, 1)
        self.conv_f = nn.Conv2d(f, f, 1)
        self.conv_max = nn.Conv2d(f, f, 3, padding=1)
        self.conv2 = nn.Conv2d(f, f, 3, stride=2)
        self.conv3 = nn.Conv2d(f, f, 3, padding=1)
        self.conv3_ = nn.Conv2d(f, f, 3, padding=1)
        self.conv4 = nn.Conv2d(f, nf, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        pooled = F.max_pool2d(self.conv2(reduced), 7, stride=3)
        coarse = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(pooled)))))
        coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(coarse + self.conv_f(reduced)))


class RFDB(nn.Module):
    """Three times: a half set aside by a 1x1 convolution, the rest refined by a residual 3x3 one."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        half = nf // 2
        for n in (1, 2, 3):
            self.add_module(f"c{n}_d", nn.Conv2d(nf, half, 1))
            self.add_module(f"c{n}_r", nn.Conv2d(nf, nf, 3, padding=1))
        self.c4 = nn.Conv2d(nf, half, 3, padding=1)
        self.c5 = nn.Conv2d(4 * half, nf, 1)
        self.esa = ESA(nf)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for n in (1, 2, 3):
            kept.append(lrelu(self.get_submodule(f"c{n}_d")(x)))
            x = lrelu(self.get_submodule(f"c{n}_r")(x) + x)
        kept.append(lrelu(self.c4(x)))
        return self.esa(self.c5(torch.cat(kept, 1)))


class RFDN(nn.Module):
    """RFDN; the published file is of nf 50, 4 blocks, x4."""

    def __init__(self, scale: int, nf: int = 50, blocks: int = 4, in_nc: int = 3, out_nc: int = 3) -> None:
        super().__init__()
        self.blocks = blocks
        self.fea_conv = nn.Conv2d(in_nc, nf, 3, padding=1)
        for n in range(1, blocks + 1):
            self.add_module(f"B{n}", RFDB(nf))
        self.c = nn.Sequential(nn.Conv2d(blocks * nf, nf, 1), nn.LeakyReLU(0.05))
        self.LR_conv = nn.Conv2d(nf, nf, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(nf, out_nc * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, image: Tensor) -> Tensor:
        first = x = self.fea_conv(image)
        outputs = []
        for n in range(1, self.blocks + 1):
            x = self.get_submodule(f"B{n}")(x)
            outputs.append(x)
        return self.upsampler(self.LR_conv(self.c(torch.cat(outputs, 1))) + first)
