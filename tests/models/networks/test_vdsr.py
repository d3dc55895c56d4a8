from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.vdsr import VDSR
from srtoolbox.resize import imresize


def test_the_papers_network():
    network = VDSR(3)
    state = network.state_dict()
    assert sum(value.numel() for value in state.values()) == 664_704  # 20 layers, no biases
    assert set(state) == {"input.weight", "output.weight", *[f"residual_layer.{i}.conv.weight" for i in range(18)]}
    biases = {key + ".bias" for key in ("input", "output", "residual_layer.7.conv")}
    assert biases < set(VDSR(3, bias=True).state_dict())


@pytest.mark.parametrize("input_range", [None, (0.2, 0.7)])
def test_forward_written_out(input_range):
    torch.manual_seed(0)
    network = VDSR(2, num_features=4, num_blocks=2, bias=True, input_range=input_range)
    lq = torch.rand(1, 1, 8, 9)
    low, high = input_range or (-1e9, 1e9)
    upscaled = torch.clamp(imresize(lq, 2), low, high)
    x = upscaled
    for layer in (network.input, network.residual_layer[0].conv, network.residual_layer[1].conv):
        x = F.conv2d(x, layer.weight, layer.bias, padding=1).clamp(min=0)
    x = F.conv2d(x, network.output.weight, network.output.bias, padding=1)
    torch.testing.assert_close(network(lq), upscaled + x)


def test_one_network_for_all_scales():
    torch.manual_seed(0)
    first, second = VDSR(2, num_blocks=2), VDSR(4, num_blocks=2)
    second.load_state_dict(first.state_dict())
    lq = torch.rand(1, 1, 8, 8)
    assert torch.equal(first(lq, size=(32, 32)), second(lq))
    assert first(lq, size=(12, 20)).shape == (1, 1, 12, 20)
    upscaled = torch.rand(1, 1, 12, 14)
    assert torch.equal(first(upscaled, size=(12, 14)), second(upscaled, size=(12, 14)))


def test_initialisation():
    torch.manual_seed(0)
    conv = VDSR(2, bias=True).residual_layer[4].conv
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert not conv.bias.any()


@pytest.mark.parametrize("input_range", [(0.9, 0.1), (0.1,)])
def test_impossible_ranges_are_named(input_range):
    with pytest.raises(ConfigError, match="VDSR: input_range="):
        VDSR(2, input_range=input_range)
