"""EDSR as its authors' PyTorch code has it.

Lim, Son, Kim, Nah, Lee: "Enhanced deep residual networks for single image super-resolution" (CVPRW 2017,
arXiv:1707.02921); github.com/sanghyun-son/EDSR-PyTorch, `src/model/edsr.py` and `common.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def mean_shift(rgb_range: float, sign: int) -> nn.Conv2d:
    """Return a frozen 1x1 convolution that adds the mean of DIV2K, or takes it off (`sign` -1)."""
    shift = nn.Conv2d(3, 3, kernel_size=1)
    shift.weight.data = torch.eye(3).reshape(3, 3, 1, 1)
    shift.bias.data = sign * rgb_range * torch.tensor(DIV2K_MEAN)
    return shift.requires_grad_(False)


class ResBlock(nn.Module):
    """x + res_scale * conv(relu(conv(x)))."""

    def __init__(self, n_feats: int, res_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3(n_feats, n_feats), nn.ReLU(), conv3(n_feats, n_feats))
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res_scale * self.body(x)


def upsampler(scale: int, n_feats: int) -> nn.Sequential:
    """Return one step by 3, or as many by 2 as make a power of 2."""
    steps: list[nn.Module] = []
    if scale == 3:
        steps = [conv3(n_feats, 9 * n_feats), nn.PixelShuffle(3)]
    else:
        while 2 ** (len(steps) // 2) < scale:
            steps.append(conv3(n_feats, 4 * n_feats))
            steps.append(nn.PixelShuffle(2))
    return nn.Sequential(*steps)


class EDSR(nn.Module):
    """Images in 0 ... rgb_range -> images in 0 ... rgb_range.

    The defaults are the baseline's; the paper's large network has n_resblocks=32, n_feats=256, res_scale=0.1.
    """

    def __init__(
        self,
        scale: int,
        n_resblocks: int = 16,
        n_feats: int = 64,
        res_scale: float = 1.0,
        rgb_range: float = 255.0,
        n_colors: int = 3,
    ) -> None:
        super().__init__()
        self.sub_mean = mean_shift(rgb_range, -1)
        self.add_mean = mean_shift(rgb_range, 1)
        self.head = nn.Sequential(conv3(n_colors, n_feats))
        blocks = [ResBlock(n_feats, res_scale) for _ in range(n_resblocks)]
        self.body = nn.Sequential(*blocks, conv3(n_feats, n_feats))
        self.tail = nn.Sequential(upsampler(scale, n_feats), conv3(n_feats, n_colors))

    def forward(self, x: Tensor) -> Tensor:
        first = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(first + self.body(first)))
