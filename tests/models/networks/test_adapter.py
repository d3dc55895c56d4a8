"""An Adapter is its network with other numbers: also where a large image is done in pieces, or to any scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.image import to_image, to_tensor
from srtoolbox.inference.restore import RefinementOnly
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import Refinable, Splittable
from srtoolbox.models.networks.adapter import Adapter
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from tests.inference.networks import build
from tests.inference.test_piecewise import in_pieces
from tests.models.networks.small import small_config
from tests.models.networks.test_all import CASES

WAYS = [
    {"order": "bgr", "peak": 255.0},
    {"peak": 2.0, "mean": 0.5},
    {"order": "bgr", "mean": (0.45, 0.43, 0.4), "output_peak": 2.0, "output_mean": (0.1, 0.2, 0.3)},
    {"order": "ycbcr"},
]
NAMES = {name: scale for name, scale in CASES if name != "Adapter"}


def adapted(name: str, scale: int, way: dict) -> Adapter:
    """An Adapter of a small network of unit gain."""
    inner = build(name, scale)
    network = NETWORKS.build({"type": "Adapter", "scale": scale, "network": small_config(name, scale), **way}).eval()
    network.network.load_state_dict(inner.state_dict())
    return network


@pytest.mark.parametrize("name", NAMES)
def test_it_offers_just_what_its_network_offers(name: str) -> None:
    network = adapted(name, NAMES[name], {})
    for protocol in (Splittable, Refinable):
        assert isinstance(network, protocol) == isinstance(network.network, protocol)
    for fact in ("reconstruct_field", "refine_field"):
        assert getattr(network, fact, None) == getattr(network.network, fact, None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["MSRResNet", "RRDBNet", "SRResNet"])
def test_its_upsampling_in_pieces_is_the_whole(name: str, way: dict) -> None:
    network = adapted(name, 4, way)
    lq = torch.rand(1, 3, 44, 60, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = network(lq)
        bound = 2e-6 * float(whole.abs().max())
        torch.testing.assert_close(in_pieces(network, 600)(lq), whole, rtol=0, atol=bound)


@pytest.mark.parametrize("way", WAYS)
def test_an_interpolation_may_precede_the_conversion(photo: np.ndarray, way: dict) -> None:
    """Pre-upsampling networks are taken to any scale, and that is theirs where it is their own."""
    network, lq = rgb_refiner(way), to_tensor(np.ascontiguousarray(photo[:40, :53]))
    with torch.inference_mode():
        expected = network(lq)
        found = RefinementOnly(network)(imresize(lq, 3))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def rgb_refiner(way: dict) -> Adapter:
    """An Adapter of an SRCNN of three channels."""
    torch.manual_seed(0)
    config = {"type": "SRCNN", "colour": "rgb", "init": "torch"}
    return NETWORKS.build({"type": "Adapter", "scale": 3, "network": config, **way}).eval()


def test_it_interpolates_to_the_final_scale(photo: np.ndarray) -> None:
    network, image = rgb_refiner(WAYS[1]), np.ascontiguousarray(photo[:40, :53])
    with torch.inference_mode():
        upscaled = imresize(to_tensor(image), 2.6)
        expected = to_image(network.network(2 * (upscaled - 0.5), size=upscaled.shape[-2:]) / 2 + 0.5)
    found = Upscaler(network, outscale=2.6, tile=30)(image)
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 1
    assert np.ptp(found) > 20
