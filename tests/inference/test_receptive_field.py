"""The measured receptive field of networks is the one that they declare."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.tiling import receptive_field
from srtoolbox.inference.tiling.receptive_field import measure_receptive_field, receptive_field_of
from srtoolbox.registry import NETWORKS
from tests.models.networks.small import small_config
from tests.models.networks.test_all import MARKED_FIELDS


@pytest.mark.slow  # in the quick run test_all.py holds the fact to the pixels that are seen
@pytest.mark.parametrize(("name", "scale"), [case for case in MARKED_FIELDS if case.values[1] in (2, 3)])
def test_the_fact_of_every_network_is_what_is_measured(name, scale):
    network = NETWORKS.build(small_config(name, scale)).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert measure_receptive_field(network) == network.receptive_field
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
    assert measure_receptive_field(Dead()) == 3


def test_inside_inference_mode_too():
    with torch.inference_mode():
        assert measure_receptive_field(Dead()) == 3


def test_one_direction_only_counts():
    class Wide(Dead):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, (1, 9), padding=(0, 4))

    assert measure_receptive_field(Wide()) == 5


class Windows(Dead):
    """Attention in windows of 8 pixels."""

    def __init__(self, size_multiple: int) -> None:
        super().__init__()
        self.size_multiple = size_multiple
        self.project = nn.Linear(3, 12)

    def forward(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        lq = nn.functional.pad(lq, (0, -width % 8, 0, -height % 8), mode="replicate")
        cells = nn.functional.unfold(lq, 8, stride=8).unflatten(1, (3, 64)).permute(0, 3, 2, 1)
        seen = self.project(torch.softmax(cells @ cells.transpose(-2, -1), -1) @ cells)
        folded = nn.functional.fold(seen.permute(0, 3, 2, 1).flatten(1, 2), lq.shape[-2:], 8, stride=8)
        return nn.functional.pixel_shuffle(folded, 2)[..., : 2 * height, : 2 * width]


def test_windows_that_are_not_told_count_as_seeing_everything():
    assert measure_receptive_field(Windows(8)) == 7
    assert measure_receptive_field(Windows(1)) is None


def test_knowing_the_place_counts_as_seeing_everything():
    class Vignette(Dead):
        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(lq) * torch.linspace(0.5, 1, 2 * lq.shape[-1], dtype=lq.dtype)

    assert measure_receptive_field(Vignette()) is None


@pytest.mark.parametrize("error", [KeyError, IndexError, SrtoolboxError, ZeroDivisionError])
def test_whatever_a_plugin_raises_is_no_error(error):
    class Fussy(Dead):
        def forward(self, lq: Tensor) -> Tensor:
            raise error("not made for strips")

    assert measure_receptive_field(Fussy()) is None


def test_a_network_that_cannot_be_measured_sees_everything():
    class Float32Only(Dead):
        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(lq.float()) if lq.dtype == torch.float32 else lq @ torch.ones(2, dtype=torch.float32)

    assert measure_receptive_field(Float32Only()) is None


def test_it_is_measured_once(monkeypatch):
    network, count = Dead(), []
    monkeypatch.setattr(receptive_field, "measure_receptive_field", lambda n: count.append(n) or 3)
    assert [receptive_field_of(network), receptive_field_of(network), len(count)] == [3, 3, 1]
    network.receptive_field = 7
    assert receptive_field_of(network) == 7
