"""The measured reach of networks is the one they tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.inference.field import measured_field, seen_field
from srtoolbox.registry import NETWORKS
from tests.models.networks.test_all import CASES, small_config


@pytest.mark.parametrize(("name", "scale"), [case for case in CASES if case[1] in (2, 3, 4)])
def test_the_fact_of_every_network_is_what_is_measured(name, scale):
    network = NETWORKS.build(small_config(name, scale)).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert measured_field(network) == network.receptive_field
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class Dead(nn.Module):
    """Sees 3 pixels around, though its weights are such that nothing gets through."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, None

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 5, padding=2), nn.Conv2d(4, 12, 3, padding=1)
        nn.init.constant_(self.first.bias, -1e3)

    def forward(self, lq: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.last(torch.relu(self.first(lq))), 2)


def test_dead_activations_hide_nothing():
    assert measured_field(Dead()) == 3


def test_inside_inference_mode_too():
    with torch.inference_mode():
        assert measured_field(Dead()) == 3


def test_one_direction_only_counts():
    class Wide(Dead):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, (1, 9), padding=(0, 4))

    assert measured_field(Wide()) == 5


def test_a_network_that_cannot_be_measured_sees_everything():
    class Float32Only(Dead):
        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(lq.float()) if lq.dtype == torch.float32 else lq @ torch.ones(2, dtype=torch.float32)

    assert measured_field(Float32Only()) is None


def test_it_is_measured_once(monkeypatch):
    network, count = Dead(), []
    monkeypatch.setattr("srtoolbox.inference.field.measured_field", lambda n: count.append(n) or 3)
    assert [seen_field(network), seen_field(network), len(count)] == [3, 3, 1]
    network.receptive_field = 7
    assert seen_field(network) == 7
