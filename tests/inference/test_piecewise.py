"""Upsampling piece by piece gives the bits of the whole, with a fraction of the memory."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.inference.restore import PiecewiseUpsampling
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.interfaces import Splittable
from tests.inference.networks import build
from tests.models.networks.test_all import CASES

SPLIT = [(name, scale) for name, scale in CASES if isinstance(build(name, scale), Splittable)]


def test_the_networks_with_several_upsampling_steps_split():
    assert {name for name, _ in SPLIT} >= {"CARN", "MSRResNet", "PAN", "RRDBNet", "SRResNet"}


def in_pieces(network: torch.nn.Module, piece: int) -> PiecewiseUpsampling:
    result = PiecewiseUpsampling(network)
    result.piece = piece
    return result


@pytest.mark.parametrize(("name", "scale"), SPLIT)
@pytest.mark.parametrize("size", [(44, 60), (20, 200)])
def test_pieces_are_the_whole(name, scale, size):
    network = build(name, scale)
    lq = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )
    bound = 2e-5 if name in ("MSRResNet", "PAN") and scale == 3 else 1e-6  # their bilinear skip, see test_upscaler
    with torch.inference_mode():
        torch.testing.assert_close(in_pieces(network, 600)(lq), network(lq), rtol=0, atol=bound)


def test_a_reach_one_pixel_short_would_be_seen():
    network = build("SRResNet", 4)
    lq = torch.rand(1, 3, 60, 60)
    with torch.inference_mode():
        expected = network(lq)
        network.reconstruct_field -= 1
        assert (in_pieces(network, 600)(lq) - expected).abs().max() > 1e-5


def test_pieces_take_less_memory():
    network = build("MSRResNet", 4)
    lq = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        assert peak_bytes(lambda: in_pieces(network, 1600)(lq)) < 0.25 * peak_bytes(lambda: network(lq))
