from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.srcnn import SRCNN
from srtoolbox.resize import imresize


@pytest.mark.parametrize(
    ("kernels", "channels", "colour", "parameters"),
    [
        ((9, 1, 5), (64, 32), "y", 8032 + 1 + 64 + 32),  # the paper counts weights only: 8032
        ((9, 5, 5), (64, 32), "y", 57184 + 1 + 64 + 32),  # 57184 in the TPAMI paper
        ((9, 5, 5), (128, 64), "rgb", 240704 + 3 + 128 + 64),
        ((9, 1, 1, 5), (64, 32, 16), "y", 64 * 81 + 64 * 32 + 32 * 16 + 16 * 25 + 64 + 32 + 16 + 1),
    ],
)
def test_size_of_the_published_variants(kernels, channels, colour, parameters):
    network = SRCNN(3, kernels, channels=channels, colour=colour)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert [name for name, _ in network.named_children()] == [f"conv{i + 1}" for i in range(len(kernels))]


def test_forward_is_the_papers_written_out():
    torch.manual_seed(0)
    network = SRCNN(2, (9, 5, 5), init="torch")
    lq = torch.rand(1, 1, 10, 12)

    def conv(x, layer):
        pad = layer.weight.shape[-1] // 2
        return F.conv2d(F.pad(x, [pad] * 4, mode="replicate"), layer.weight, layer.bias)

    x = imresize(lq, 2)
    x = F.relu(conv(F.relu(conv(x, network.conv1)), network.conv2))
    torch.testing.assert_close(network(lq), conv(x, network.conv3))


def test_initialisations():
    torch.manual_seed(0)
    paper = SRCNN(3, (9, 5, 5), channels=(128, 64))
    for conv in paper.children():
        assert conv.weight.std().item() == pytest.approx(1e-3, rel=0.05)
        assert not conv.bias.any()
    default = SRCNN(3, init="torch")
    bound = 1 / 81**0.5  # nn.Conv2d: uniform in +-1 / sqrt(fan_in)
    assert bound * 0.95 < default.conv1.weight.abs().max() <= bound


def test_fractional_scales_by_size():
    network = SRCNN(2)
    assert network(torch.rand(1, 1, 11, 13), size=(16, 20)).shape == (1, 1, 16, 20)


def test_an_upscaled_image_is_taken_as_it_is():
    network = SRCNN(2, init="torch")
    upscaled = torch.rand(1, 1, 12, 14)
    x = F.relu(network.conv2(F.relu(network.conv1(upscaled))))
    assert torch.equal(network(upscaled, size=(12, 14)), network.conv3(x))


def test_zero_padding_differs_only_near_the_border():
    torch.manual_seed(0)
    replicate, zeros = SRCNN(2, init="torch"), SRCNN(2, padding="zeros")
    zeros.load_state_dict(replicate.state_dict())
    lq = torch.rand(1, 1, 16, 16)
    difference = (replicate(lq) - zeros(lq)).abs()[0, 0]
    assert difference[0, 0] > 1e-4
    assert difference[6:-6, 6:-6].max() < 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": (9, 1)}, "2 kernels need 1 hidden channels, got 2"),
        ({"kernels": (9, 2, 5)}, "positive odd"),
        ({"channels": (64, 0)}, r"channels\[1\]=0"),
        ({"colour": "ycbcr"}, "allowed: 'y', 'rgb'"),
        ({"padding": "reflect"}, "allowed: 'replicate', 'zeros'"),
        ({"init": "xavier"}, "allowed: 'gaussian', 'torch'"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SRCNN(3, **arguments)


def test_is_an_ordinary_module():
    assert all(isinstance(module, nn.Conv2d) for module in SRCNN(3).children())
