"""OmniSR's sizes and keys; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import re

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.omnisr import OmniSR
from srtoolbox.weights.recognise import recognise

SMALL = {"num_features": 8, "num_groups": 1, "window_size": 4}


@pytest.mark.parametrize(("scale", "thousands"), [(2, 772), (3, 780), (4, 792)])
def test_the_papers_sizes(scale, thousands):
    """Their tool counts usual layers only: no biases by position, no norms of images, no temperatures."""
    with torch.device("meta"):
        state = OmniSR(scale).state_dict()
    special = re.compile(r".*(rel_pos_bias.weight|temperature|layer.(4|5|6|10|11|12).norm.(weight|bias))")
    counted = sum(value.numel() for key, value in state.items() if not special.fullmatch(key))
    assert round(counted / 1000) == thousands
    assert sum(value.numel() for value in state.values()) == counted + 5 * (2 * 4 * 15**2 + 6 * 2 * 64 + 2 * 4)


def test_state_dict_keys_are_the_authors():
    block = {f"0.fn.{layer}" for layer in ("0", "2", "4.gate.1", "4.gate.3", "5")}
    for first in (2, 8):
        block |= {f"{first}.{layer}" for layer in ("norm", "fn.to_qkv", "fn.to_out.0", "fn.rel_pos_bias")}
        block |= {f"{first + 3}.{layer}" for layer in ("norm", "fn", "fn.qkv", "fn.qkv_dwconv", "fn.project_out")}
        for after in (first + 2, first + 4):
            block |= {f"{after}.{layer}" for layer in ("norm", "fn.project_in", "fn.dwconv", "fn.project_out")}
    gate = {f"esa.{layer}" for layer in ("conv1", "conv2", "conv3", "conv4", "conv_f")}
    group = {f"residual_layer.{number}.layer.{layer}" for number in (0, 1) for layer in block}
    group |= gate | {"residual_layer.2"}
    with torch.device("meta"):
        layers = {key.rpartition(".")[0] for key in OmniSR(3, num_groups=2, num_blocks=2).state_dict()}
    whole = {f"residual_layer.{number}.{layer}" for number in (0, 1) for layer in group}
    assert layers == whole | {"input", "output", "up.0"}


@pytest.mark.parametrize("window", [4, 8, 16])
def test_images_of_a_few_pixels(window):
    network = OmniSR(2, **{**SMALL, "window_size": window}).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 1, 3)).shape == (1, 3, 2, 6)
    network(torch.rand(1, 3, 5, 4)).sum().backward()  # nothing was kept of the mode before


def test_gradients_are_finite_where_features_are_zero():
    network = OmniSR(2, **SMALL)
    for layer in network.modules():
        if isinstance(layer, torch.nn.LayerNorm):
            layer.weight.data.zero_()
    network(torch.zeros(1, 3, 16, 16)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_the_authors_counts_of_operations_are_left_out():
    state = OmniSR(2, **SMALL).state_dict()
    counted = {**state, "total_ops": torch.zeros(1), "input.total_params": torch.zeros(1)}
    found = recognise(counted, "x.pth")
    assert found.tensors.keys() == state.keys() and found.sentence == "OmniSR, x2, 1 group, 1 block, 8 features"


def test_features_are_a_multiple_of_the_heads():
    with pytest.raises(ConfigError, match="OmniSR: num_features=10 is not possible; it is a multiple of 4"):
        OmniSR(2, num_features=10)
