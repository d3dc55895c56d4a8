from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.models.networks.pan import PAN


def states(scale: int) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return PAN(scale).state_dict()


@pytest.mark.parametrize(("scale", "thousands"), [(2, 261), (3, 261), (4, 272)])
def test_the_papers_sizes(scale, thousands):
    assert sum(value.numel() for value in states(scale).values()) // 1000 == thousands


def test_state_dict_keys_are_the_authors():
    layers = ("conv1_a", "conv1_b", "k1.0", "PAConv.k2", "PAConv.k3", "PAConv.k4", "conv3")
    blocks = {f"SCPA_trunk.{block}.{layer}" for block in range(16) for layer in layers}
    ends = {"conv_first", "trunk_conv", "conv_last", "upconv1", "att1.conv", "HRconv1"}
    second = {"upconv2", "att2.conv", "HRconv2"}
    for scale, tail in ((2, ends), (3, ends), (4, ends | second)):
        state = states(scale)
        assert {key.removesuffix(".weight") for key in state if key.endswith("weight")} == blocks | tail
        biased = {f"SCPA_trunk.{block}.PAConv.k2" for block in range(16)} | tail
        assert {key.removesuffix(".bias") for key in state if key.endswith("bias")} == biased


def test_an_odd_number_of_features_is_refused():
    with pytest.raises(ConfigError, match="PAN: num_features=9 is not possible; it is even"):
        PAN(2, num_features=9)


@torch.no_grad()
def test_upsampling_keeps_no_more_than_three_images_of_features():
    network, lq = PAN(4, num_features=8, num_blocks=1).eval(), torch.rand(1, 3, 16, 16)
    features = 24 * (4 * 16) ** 2 * lq.element_size()
    assert peak_bytes(lambda: network(lq)) <= 3.1 * features
