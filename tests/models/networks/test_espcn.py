from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.espcn import ESPCN
from srtoolbox.registry import NETWORKS


def test_the_papers_network():
    network = ESPCN(3)
    assert sum(p.numel() for p in network.parameters()) == 25 * 64 + 64 + 9 * 64 * 32 + 32 + 9 * 32 * 9 + 9
    lq = torch.rand(2, 1, 9, 11)
    x = torch.tanh(network.conv2(torch.tanh(network.conv1(lq))))
    expected = network.conv3(x)
    sr = network(lq)
    for row, column in ((0, 0), (1, 2), (2, 1)):  # the definition of the sub-pixel shuffle
        torch.testing.assert_close(sr[:, 0, row::3, column::3], expected[:, 3 * row + column])


def test_the_tutorials_network_and_initialisation():
    """Subhaditya Mukherjee's post of 2020: 5-3-3-3, 64-64-32, ReLU, orthogonal; same keys conv1 ... conv4."""
    network = ESPCN(3, [5, 3, 3, 3], channels=[64, 64, 32], activation="relu", init="orthogonal")
    assert [name for name, _ in network.named_children()] == ["conv1", "conv2", "conv3", "conv4"]
    assert network.receptive_field == 5
    for conv, gain in zip(network.children(), (2**0.5, 2**0.5, 2**0.5, 1), strict=True):
        matrix = conv.weight.detach().flatten(1)
        if matrix.shape[0] > matrix.shape[1]:
            matrix = matrix.T
        torch.testing.assert_close(matrix @ matrix.T, gain**2 * torch.eye(len(matrix)), atol=1e-5, rtol=0)
        assert not conv.bias.any()
    lq = torch.rand(1, 1, 8, 8)
    x = lq
    for conv in list(network.children())[:-1]:
        x = F.relu(conv(x))
    torch.testing.assert_close(network(lq), nn.PixelShuffle(3)(network.conv4(x)))


def test_other_initialisations():
    torch.manual_seed(0)
    normal = ESPCN(3, init="normal")
    assert normal.conv3.weight.std().item() == pytest.approx(1e-3, rel=0.1)
    assert normal.conv2.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    plain = ESPCN(3)
    bound = 1 / (64 * 9) ** 0.5
    assert bound * 0.95 < plain.conv2.weight.abs().max() <= bound


def test_colour():
    network = ESPCN(4, colour="rgb")
    assert network.in_channels == 3
    assert network(torch.rand(1, 3, 5, 6)).shape == (1, 3, 20, 24)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "gelu"}, "activation='gelu' is not possible; allowed: 'tanh', 'relu'"),
        ({"init": "he"}, "allowed: 'torch', 'orthogonal', 'normal'"),
        ({"colour": "gray"}, "allowed: 'y', 'rgb'"),
        ({"kernels": [5, 3]}, "2 kernels need 1 hidden channels, got 2"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ESPCN(3, **arguments)


@pytest.mark.parametrize("name", ["ESPCN", "SRCNN"])
def test_mean_moves_the_network_to_centred_images(name: str):
    plain, centred = (NETWORKS.build({"type": name, "scale": 3, "mean": mean}) for mean in (0.0, 0.5))
    centred.load_state_dict(plain.state_dict())
    lq = torch.rand(1, 1, 9, 12)
    torch.testing.assert_close(centred(lq), plain(lq - 0.5) + 0.5)
