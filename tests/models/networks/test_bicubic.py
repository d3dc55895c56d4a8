from __future__ import annotations

import torch

from srtoolbox.models.networks.bicubic import Bicubic
from srtoolbox.resize import imresize


def test_is_imresize_without_parameters():
    lq = torch.rand(2, 3, 9, 11)
    network = Bicubic(3)
    assert list(network.parameters()) == []
    assert torch.equal(network(lq), imresize(lq, 3))


def test_any_size_and_channel_count():
    assert Bicubic(2)(torch.rand(1, 1, 8, 8), size=(13, 21)).shape == (1, 1, 13, 21)
