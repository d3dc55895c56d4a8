"""ATD's variants, its order of pixels and its files; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.devices import without_memory
from srtoolbox.models.networks.atd import by_category, rows
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.recognise import recognise

LIGHT = {"num_features": 48, "depths": [6] * 4, "num_heads": [4] * 4, "category_size": 128, "num_tokens": 64}
LIGHT |= {"reducted_dim": 8, "convffn_kernel_size": 7, "mlp_ratio": 1.0, "upsampler": "pixelshuffledirect"}
SMALL = {"scale": 2, "num_features": 12, "depths": [2], "num_heads": [2], "window_size": 4, "num_tokens": 4}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"scale": 2}, 20_113_217),
        ({"scale": 4}, 20_260_929),
        ({"scale": 2, **LIGHT}, 753_204),
        ({"scale": 3, **LIGHT}, 759_699),
        ({"scale": 4, **LIGHT}, 768_792),
    ],
)
def test_parameters_are_those_of_the_papers_networks(arguments, count):
    with without_memory():
        network = NETWORKS.build({"type": "ATD", **arguments})
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_pixels_are_sorted_by_their_token_and_put_back():
    best = torch.tensor([[2, 0, 1, 0, 2], [1, 1, 0, 2, 1]])
    order, place = by_category(torch.nn.functional.one_hot(best).double())
    assert order.tolist() == [[1, 3, 2, 0, 4], [2, 0, 1, 4, 3]]  # in a category as in the image
    pixels = torch.rand(2, 5, 3)
    assert torch.equal(rows(pixels, order)[1], pixels[1, order[1]])
    assert torch.equal(rows(rows(pixels, order), place), pixels)


@pytest.mark.parametrize(("sizes", "category_size"), [(((12, 12), (3, 5)), 16), (((8, 8), (12, 20)), 40)])
def test_groups_of_a_category_of_any_size(sizes, category_size):
    """Where windows are whole groups nothing is filled up; else what is before the last one's end follows again."""
    network = NETWORKS.build({"type": "ATD", **SMALL, "category_size": category_size}).eval()
    for size in sizes:
        lq = torch.rand(2, 3, *size)
        with torch.inference_mode():
            both = network(lq)
            torch.testing.assert_close(network(lq[1:]), both[1:], rtol=1e-4, atol=1e-5)
        network(lq).sum().backward()  # nothing was kept of the mode before


def test_light_weights_have_groups_of_128_pixels():
    small = {**LIGHT, "depths": [1], "num_heads": [4], "window_size": 4, "scale": 2}
    state = NETWORKS.build({"type": "ATD", **small}).state_dict()
    assert recognise(state, "x.pth").config["category_size"] == 128
    state = NETWORKS.build({"type": "ATD", **SMALL}).state_dict()
    assert recognise(state, "x.pth").config["category_size"] == 256


def test_autocast_changes_no_category():
    network = NETWORKS.build({"type": "ATD", **SMALL}).eval()
    attention = network.layers[0].residual_group.layers[0].attn_atd
    pixels, tokens = torch.rand(1, 400, 12), torch.rand(1, 4, 12)
    with torch.inference_mode():
        exact = attention(pixels, tokens)[1]
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(attention(pixels, tokens)[1], exact)


def test_half_precision_stays_close():
    network = NETWORKS.build({"type": "ATD", **SMALL, "depths": [2, 2], "num_heads": [2, 2]}).eval()
    lq = torch.rand(1, 3, 12, 16)
    with torch.inference_mode():
        exact = network(lq)
        assert (network.half()(lq.half()).float() - exact).abs().max() < 0.05
