"""Maps that are enlarged to the image's size have their cells where the whole has them, in tiles too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.inference.tiling import statistics
from srtoolbox.inference.tiling.coarse_maps import coarse_steps
from srtoolbox.inference.tiling.planner import tile_multiple
from srtoolbox.inference.upscaler import Upscaler
from tests.inference.networks import build


class Enlarging(nn.Module):
    """A map of every sixth pixel scales what is beside it; pads to `cell`, as networks with windows do."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, None

    def __init__(self, cell: int = 1, *, align_corners: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.padded_multiple, self.align_corners = cell, align_corners
        self.conv, self.norm = nn.Conv2d(3, 3, 3, stride=2), nn.BatchNorm2d(3)

    def forward(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        image = F.pad(lq, (0, -width % self.padded_multiple, 0, -height % self.padded_multiple))
        cells = F.max_pool2d(self.norm(self.conv(image)), 7, stride=3)
        size = list(image.shape[-2:])
        wide = F.interpolate(cells, size, mode="bilinear", align_corners=self.align_corners)
        result = (image * torch.sigmoid(8 * wide))[..., :height, :width]
        return F.interpolate(result, scale_factor=2.0, mode="bilinear")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (height, width, 3), dtype=np.uint16)


def difference(network: nn.Module, image: np.ndarray, **how) -> int:
    """The largest, in levels of 16 bit, between tiles and the whole."""
    same = {key: how[key] for key in ("ensemble", "outscale") if key in how}
    whole = Upscaler(network, tile=None, **same)(image)
    return int(np.abs(Upscaler(network, **how)(image).astype(int) - whole).max())


NETWORKS = {
    "as usual": Enlarging,
    "in windows": lambda: Enlarging(8),
    "aligned corners": lambda: Enlarging(align_corners=True),
    "RLFN": lambda: build("RLFN", 2, num_blocks=1),
    "RFDN": lambda: build("RFDN", 2, num_blocks=1),
}


@pytest.mark.parametrize("name", [*list(NETWORKS)[:4], pytest.param("RFDN", marks=pytest.mark.slow)])
def test_tiles_are_those_of_the_whole_where_they_see_enough(name):
    assert difference(NETWORKS[name](), noise(61, 231), tile=24, overlap=48) <= 2


@pytest.mark.parametrize("size", [(17, 150), (60, 144), (133, 40)])
def test_images_may_end_anywhere_and_tiles_run_together(size):
    assert difference(Enlarging(), noise(*size), tile=20, overlap=36, batch=3) <= 2


def test_each_with_its_own_map_they_differ(monkeypatch):
    monkeypatch.setattr(statistics, "whole_maps", lambda *arguments: {})
    assert difference(Enlarging(), noise(61, 231), tile=24, overlap=48) > 2000


@pytest.mark.parametrize("cell", [1, 8])
@pytest.mark.parametrize("size", [(61, 213), (200, 50), (60, 204)])
def test_they_are_turned_with_the_image(cell, size):
    assert difference(Enlarging(cell), noise(*size), tile=24, overlap=48, ensemble=True) <= 2


def test_a_map_that_is_a_share_of_the_image_is_left_alone():
    class Share(Enlarging):
        def forward(self, lq: Tensor) -> Tensor:
            size = list(lq.shape[-2:])
            return F.interpolate(F.interpolate(F.avg_pool2d(lq, 8), size, mode="bilinear"), scale_factor=2)

    assert not any(coarse_steps(Share()))
    assert not any(coarse_steps(build("MSRResNet", 2)))


def test_tiles_begin_where_cells_and_windows_do_and_fade_over_sixteen_cells(caplog):
    assert [tile_multiple(network) for network in (Enlarging(), Enlarging(8), build("RLFN", 2, num_blocks=1))] == [
        6,
        24,
        6,
    ]
    overlap = Upscaler(Enlarging(8), tile=50)._planner.plan((400, 500), 0, 0).overlap
    assert overlap[:3] == (96, 24, True)
    assert "exact tiles" not in caplog.text


def test_a_network_in_training_is_not_changed_by_finding_them():
    network = Enlarging().train()
    before = network.norm.running_mean.clone()
    assert coarse_steps(network) == [6, 0]
    assert network.training and torch.equal(network.norm.running_mean, before)


def test_what_cannot_be_watched_keeps_its_own():
    class Fixed(Enlarging):
        def forward(self, lq: Tensor) -> Tensor:
            if min(lq.shape[-2:]) < 50:
                raise RuntimeError("too small")
            return super().forward(lq)

    assert not coarse_steps(Fixed())


def test_what_does_something_else_at_other_sizes_keeps_its_own():
    class Fickle(Enlarging):
        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(lq) if lq.shape[-2] % 24 == 0 else lq.repeat_interleave(2, 2).repeat_interleave(2, 3)

    assert difference(Fickle(), noise(65, 221), tile=24, overlap=48) == 0
