"""What a network costs, against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srtoolbox.apps.cost import measure
from srtoolbox.registry import NETWORKS

CPU = torch.device("cpu")
FEATURE_MAP = 16 * 40 * 48 * 4  # bytes


class Chain(nn.Module):
    """Two maps of 16 channels live at once, however many convolutions there are; with `keep`, all of them."""

    def __init__(self, depth: int, *, keep: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(depth))
        self.keep = keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [self.first(x)]
        for conv in self.body:
            maps = [*(maps if self.keep else maps[-1:]), torch.relu_(conv(maps[-1]))]
            maps = maps if self.keep else maps[-1:]
        return maps[-1]


def test_parameters_and_operations() -> None:
    network = Chain(3)
    network.first.requires_grad_(False)
    cost = measure(network, (2, 3, 40, 48), CPU, runs=3)
    first, body = 3 * 16 * 9, 3 * 16 * 16 * 9
    assert cost.parameters == first + 16 + body and cost.trainable == body
    assert cost.macs == (first + body) * 40 * 48 * 2 and cost.flops == 2 * cost.macs
    assert cost.input == (2, 3, 40, 48) and cost.output == (2, 16, 40, 48)
    assert 0 < cost.fastest <= cost.seconds < 10


@pytest.mark.parametrize("depth", [1, 6])
def test_peak_memory_is_what_lives_at_once(depth: int) -> None:
    for keep, alive in ((False, 2), (True, depth + 1)):
        network = Chain(depth, keep=keep)
        cost = measure(network, (1, 3, 40, 48), CPU, runs=1)
        resident = 4 * (sum(p.numel() for p in network.parameters()) + 3 * 40 * 48)
        assert cost.peak_bytes == alive * FEATURE_MAP + resident


class Attention(nn.Module):
    """Each pixel attends to all, by PyTorch's own function."""

    scale, in_channels, colour = 1, 1, "y"
    size_multiple, receptive_field = 1, None

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        pixels = lq.flatten(2)[..., None]  # (N, heads, pixels, F)
        return nn.functional.scaled_dot_product_attention(pixels, pixels, pixels).view(lq.shape)


def test_attention_is_two_products_of_matrices() -> None:
    assert measure(Attention(), (1, 1, 8, 8), CPU, runs=1).macs == 2 * 64 * 64


def test_scales_with_the_area() -> None:
    network = NETWORKS.build(dict(type="ESPCN", scale=3))
    small, large = (measure(network, (1, 1, side, side), CPU, runs=1) for side in (16, 32))
    assert large.flops == 4 * small.flops and large.parameters == small.parameters


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_peak_is_at_least_the_tensors() -> None:
    ours = measure(Chain(4), (1, 3, 40, 48), CPU, runs=1)
    cost = measure(Chain(4), (1, 3, 40, 48), torch.device("cuda"), runs=3)
    assert cost.flops == ours.flops and ours.peak_bytes <= cost.peak_bytes < ours.peak_bytes + 64 * 2**20
