"""SRFormer's variants and files; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.devices import without_memory
from srtoolbox.errors import ConfigError
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats.swinir import with_constants
from srtoolbox.weights.recognise import recognise

LIGHT = {"num_features": 60, "depths": [6] * 4, "num_heads": [6] * 4, "window_size": 16}
SMALL = {"num_features": 8, "depths": [2], "num_heads": [2], "window_size": 6}


@pytest.mark.parametrize(
    ("scale", "arguments", "millions"),
    [
        (2, {}, 10.40),  # the README's figure
        (2, {**LIGHT, "upsampler": "pixelshuffledirect"}, 0.853),  # and the paper's of the light one
        (3, {**LIGHT, "upsampler": "pixelshuffledirect"}, 0.861),
        (4, {**LIGHT, "upsampler": "pixelshuffledirect"}, 0.873),
    ],
)
def test_parameters_are_those_of_the_paper(scale, arguments, millions):
    with without_memory():
        network = NETWORKS.build({"type": "SRFormer", "scale": scale, **arguments})
    count = sum(parameter.numel() for parameter in network.parameters())
    assert abs(count / 1e6 - millions) < (0.005 if millions > 1 else 0.0006)


@pytest.mark.parametrize("windows", [1, 3, 5])
def test_masks_in_a_file_may_be_for_any_size(windows):
    state = with_constants(NETWORKS.build({"type": "SRFormer", "scale": 2, **SMALL}).state_dict())
    state["layers.0.residual_group.blocks.1.attn_mask"] = torch.zeros(windows**2, 36, 9)
    found = recognise({"params": state}, "x.pth")
    assert found.sentence == "SRFormer, x2, 8 features"
    NETWORKS.build(found.config).load_state_dict(found.tensors)


@pytest.mark.parametrize(
    ("arguments", "key"), [({"num_features": 6}, "num_features"), ({"window_size": 5}, "window_size")]
)
def test_what_cannot_be_cut_in_quarters_is_refused(arguments, key):
    with pytest.raises(ConfigError, match=f"SRFormer: {key}=. is not possible; it is a multiple of"):
        NETWORKS.build({"type": "SRFormer", "scale": 2, **SMALL, **arguments})
