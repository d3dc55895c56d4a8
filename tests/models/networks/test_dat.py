"""DAT's variants and files; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.devices import without_memory
from srtoolbox.errors import ConfigError
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats.dat import with_constants
from srtoolbox.weights.recognise import recognise

LIGHT = {"num_features": 60, "depths": [18], "num_heads": [6], "expansion_factor": 2.0}
LIGHT |= {"resi_connection": "3conv", "upsampler": "pixelshuffledirect"}
SMALL = {"scale": 2, "num_features": 32, "depths": [3], "num_heads": [2], "split_size": [2, 4], "expansion_factor": 1.0}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"scale": 4}, 14_802_051),
        ({"scale": 4, "split_size": [8, 16], "expansion_factor": 2.0}, 11_212_131),
        ({"scale": 4, "expansion_factor": 2.0}, 11_212_131),
        ({"scale": 2, **LIGHT}, 553_290),
        ({"scale": 3, **LIGHT}, 561_405),
        ({"scale": 4, **LIGHT}, 572_766),
    ],
)
def test_parameters_are_those_of_the_papers_networks(arguments, count):
    with without_memory():
        network = NETWORKS.build({"type": "DAT", **arguments})
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_masks_in_a_file_may_be_for_any_size():
    state = with_constants(NETWORKS.build({"type": "DAT", **SMALL}).state_dict())
    assert state["layers.0.blocks.2.attn.attn_mask_1"].shape == (64 * 64 // 8, 8, 8)  # images of 64 x 64
    state["layers.0.blocks.2.attn.attn_mask_1"] = torch.zeros(5, 8, 8)
    found = recognise({"params": state}, "x.pth")
    assert found.sentence == "DAT, x2, 32 features"
    NETWORKS.build(found.config).load_state_dict(found.tensors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": [1]}, r"num_heads=\[1\] is not possible; they are even"),
        ({"num_features": 24}, "num_features=24 is not possible; it is at least 32"),
        ({"expansion_factor": 2.05}, r"expansion_factor=2.05 is not possible; .* an even number of channels, not 65"),
        ({"split_size": [4, 6]}, r"split_size=\[4, 6\] is not possible; .* one a multiple of the other"),
        ({"split_size": [4]}, r"split_size=\[4\] is not possible; it is two whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ConfigError, match=f"DAT: {message}"):
        NETWORKS.build({"type": "DAT", **SMALL, **changes})


def test_images_smaller_than_a_window_and_training_after_inference():
    network = NETWORKS.build({"type": "DAT", **SMALL})
    with torch.inference_mode():
        assert network.eval()(torch.rand(1, 3, 1, 3)).shape == (1, 3, 2, 6)
    network.train()(torch.rand(2, 3, 5, 4)).sum().backward()  # nothing was kept of the mode before
