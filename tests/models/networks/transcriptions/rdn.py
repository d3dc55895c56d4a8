"""RDN as its author's PyTorch code has it.

Zhang, Tian, Kong, Zhong, Fu: "Residual dense network for image super-resolution" (CVPR 2018, arXiv:1802.08797);
`src/model/rdn.py` of the EDSR-PyTorch framework (github.com/yulunzhang/RDN points there).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CONFIGS = {"A": (20, 6, 32), "B": (16, 8, 64)}
"""D residual dense blocks, of C convolutions each, that add G channels each; the paper's is B."""


class DenseConv(nn.Module):
    """The input, and behind it `growth` new channels."""

    def __init__(self, inputs: int, growth: int, k_size: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(inputs, growth, k_size, padding=(k_size - 1) // 2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.conv(x)), dim=1)


class RDB(nn.Module):
    """x + LFF of densely connected convolutions."""

    def __init__(self, g0: int, growth: int, num_convs: int, k_size: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*[DenseConv(g0 + c * growth, growth, k_size) for c in range(num_convs)])
        self.LFF = nn.Conv2d(g0 + num_convs * growth, g0, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.LFF(self.convs(x))


class RDN(nn.Module):
    """Images in the range that it was trained on -> the same; nothing is taken off and nothing scaled.

    Args:
        scale: 2, 3 or 4.
        config: (D, C, G), as those of `CONFIGS`.
        g0: channels outside the dense blocks.
        k_size: side of the kernels that are not 1x1.
        n_colors: channels of the images.
    """

    def __init__(
        self,
        scale: int,
        config: tuple[int, int, int] = CONFIGS["B"],
        g0: int = 64,
        k_size: int = 3,
        n_colors: int = 3,
    ) -> None:
        super().__init__()
        num_blocks, num_convs, growth = config

        def conv(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, k_size, padding=(k_size - 1) // 2)

        self.SFENet1 = conv(n_colors, g0)
        self.SFENet2 = conv(g0, g0)
        self.RDBs = nn.ModuleList(RDB(g0, growth, num_convs, k_size) for _ in range(num_blocks))
        self.GFF = nn.Sequential(nn.Conv2d(num_blocks * g0, g0, kernel_size=1), conv(g0, g0))
        if scale == 4:
            twice = [conv(g0, 4 * growth), nn.PixelShuffle(2), conv(growth, 4 * growth), nn.PixelShuffle(2)]
            self.UPNet = nn.Sequential(*twice, conv(growth, n_colors))
        elif scale in (2, 3):
            self.UPNet = nn.Sequential(conv(g0, growth * scale**2), nn.PixelShuffle(scale), conv(growth, n_colors))
        else:
            raise ValueError(f"RDN upscales by 2, 3 or 4, not by {scale}")

    def forward(self, x: Tensor) -> Tensor:
        first = self.SFENet1(x)
        outputs = []
        y = self.SFENet2(first)
        for block in self.RDBs:
            y = block(y)
            outputs.append(y)
        return self.UPNet(first + self.GFF(torch.cat(outputs, dim=1)))
