"""Small networks for the tests of upscaling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from tests.models.networks.small import small_config


def build(name: str, scale: int = 4, **more) -> nn.Module:
    """A small network of unit gain: at the usual beginning features are so small that seams would not show."""
    torch.manual_seed(0)
    network = NETWORKS.build({**small_config(name, scale), **more}).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.7 / module.weight[0].numel() ** 0.5)
    return network


class Mean(nn.Module):
    """Sees the whole image."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 4, None

    def forward(self, lq: Tensor) -> Tensor:
        assert lq.shape[-1] % 4 == lq.shape[-2] % 4 == 0
        return lq.repeat_interleave(2, -1).repeat_interleave(2, -2) * 0 + lq.mean((-2, -1), keepdim=True)


class Smooth(nn.Module):
    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, 6

    def forward(self, lq: Tensor) -> Tensor:
        return imresize(lq, 2)


class Hungry(Smooth):
    """Has memory for 40 x 40 pixels."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.limit = error, 40 * 40

    def forward(self, lq: Tensor) -> Tensor:
        if lq.shape[-1] * lq.shape[-2] > self.limit:
            raise self.error
        return super().forward(lq)


class Windows(nn.Module):
    """Attends in windows of 8 x 8 pixels."""

    scale, in_channels, colour, size_multiple, padded_multiple, receptive_field = 2, 3, "rgb", 1, 8, None

    def forward(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[2:]
        image = F.pad(lq, (0, -width % 8, 0, -height % 8))
        cells = image.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).permute(0, 2, 4, 3, 5, 1)
        pixels = cells.flatten(3, 4).flatten(0, 2)
        attended = (pixels @ pixels.transpose(1, 2)).softmax(-1) @ pixels + pixels.mean(1, keepdim=True)
        rows = (attended + F.normalize(pixels, dim=-1)).view(cells.shape) / 3
        result = rows.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]
        return result.repeat_interleave(2, 2).repeat_interleave(2, 3)
