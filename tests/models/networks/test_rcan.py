from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.rcan import RCAN


@pytest.mark.parametrize(
    ("scale", "parameters", "steps"),
    [(2, 15_444_643, set()), (3, 15_629_283, set()), (4, 15_592_355, {"tail.0.2"})],
)
def test_the_papers_sizes_and_the_authors_keys(scale, parameters, steps):
    """The paper says 16 M, later ones 15.4, 15.6 and 15.6 M."""
    with torch.device("meta"):
        state = RCAN(scale).state_dict()
    assert sum(value.numel() for value in state.values()) == parameters
    parts = ("0", "2", "3.conv_du.0", "3.conv_du.2")
    blocks = {f"body.{n}.body.{m}.body.{part}" for n in range(10) for m in range(20) for part in parts}
    common = blocks | {f"body.{n}.body.20" for n in range(10)} | {"head.0", "body.10", "tail.0.0", "tail.1"}
    assert {key.rpartition(".")[0] for key in state} == common | steps


def test_without_upsampling_the_network_keeps_the_size():
    network = RCAN(1, num_features=16, num_groups=1, num_blocks=1)
    assert network(torch.rand(1, 3, 7, 5)).shape == (1, 3, 7, 5)
    assert RCAN(1, num_features=16, num_groups=1, num_blocks=1, unshuffle=True).size_multiple == 4


def test_impossible_arguments_are_named():
    with pytest.raises(ConfigError, match="RCAN: reduction=65 leaves none of 64 channels; it is at most num_features"):
        RCAN(2, reduction=65)
    with pytest.raises(ConfigError, match="RCAN: num_groups=0 is not possible"):
        RCAN(2, num_groups=0)
