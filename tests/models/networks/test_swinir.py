"""SwinIR's variants and files; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.devices import without_memory
from srtoolbox.errors import ConfigError
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats.swinir import with_constants
from srtoolbox.weights.recognise import recognise

LIGHT = {"num_features": 60, "depths": [6] * 4, "num_heads": [6] * 4, "upsampler": "pixelshuffledirect"}
LARGE = {"num_features": 240, "depths": [6] * 9, "num_heads": [8] * 9, "resi_connection": "3conv"}
SMALL = {"num_features": 8, "depths": [2], "num_heads": [2], "window_size": 4}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"scale": 2}, 11_752_487),
        ({"scale": 4}, 11_900_199),
        ({"scale": 2, **LIGHT}, 910_152),
        ({"scale": 3, **LIGHT}, 918_267),
        ({"scale": 4, **LIGHT}, 929_628),
        ({"scale": 4, "upsampler": "nearest+conv", **LARGE}, 28_013_059),
        ({"scale": 1}, 11_504_163),
    ],
)
def test_parameters_are_those_of_the_papers_networks(arguments, count):
    with without_memory():
        network = NETWORKS.build({"type": "SwinIR", **arguments})
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("windows", [1, 3, 5])
def test_masks_in_a_file_may_be_for_any_size(windows):
    state = with_constants(NETWORKS.build({"type": "SwinIR", "scale": 2, **SMALL}).state_dict())
    state["layers.0.residual_group.blocks.1.attn_mask"] = torch.zeros(windows**2, 16, 16)
    found = recognise({"params": state}, "x.pth")
    assert found.sentence == "SwinIR, x2, 8 features"
    NETWORKS.build(found.config).load_state_dict(found.tensors)


def test_repeated_pixels_double():
    with pytest.raises(ConfigError, match=r"'nearest\+conv' is not possible at x3; allowed: x2, x4, x8"):
        NETWORKS.build({"type": "SwinIR", "scale": 3, "upsampler": "nearest+conv", **SMALL})


def test_images_smaller_than_a_window():
    network = NETWORKS.build({"type": "SwinIR", "scale": 2, **SMALL}).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 1, 3)).shape == (1, 3, 2, 6)
    assert network(torch.rand(1, 3, 5, 4)).sum().backward() is None  # nothing was kept of the mode before
