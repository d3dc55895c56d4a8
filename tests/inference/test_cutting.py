"""What a picture is cut into fits into the memory that may be used, and becomes half when that was too much."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.precision import Restoring
from srtoolbox.inference.restore import restore
from srtoolbox.inference.tiling import planner as cutting
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.inference.tiling.planner import FADED, SHARE, SMALLEST, Cutter
from srtoolbox.inference.tiling.split import Splits
from srtoolbox.inference.upscaler import Upscaler
from tests.inference.test_upscaler import Mean, Smooth, build

SIZE = 1200, 1500
ROW = SIZE[1] * 16 * 3 * 2


def taken(cutter: Cutter, cut: cutting.Cut, batch: int) -> float:
    """Bytes that a cut takes by what the planner knows: one run of windows, and the band they are put into."""
    network, grid = cutter.planner.network, cut.way.grid(*SIZE, cut.plan.tile)
    halo = network.reconstruct_field if isinstance(network, Splits) else 0
    windows = min(batch, len(grid.columns)) * cutter.planner.needs.of(
        cut.way.largest(SIZE, cut.plan.tile), cut.plan.area, halo
    )
    return windows + max(span.high - span.low for span in grid.rows) * ROW * (FADED if cut.way.fade else 1)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kept", [0, 150 << 20])
@pytest.mark.parametrize("name", ["ESPCN", "MSRResNet", "Mean"])
def test_what_is_chosen_fits_and_uses_the_room(monkeypatch, name, kept, batch):
    free = 400 << 20
    monkeypatch.setattr(cutting, "free_bytes", lambda device: free)
    network = Mean() if name == "Mean" else build(name, 4)
    cutter = Upscaler(network, batch=batch)._cutter
    with torch.inference_mode():
        cut = cutter.cut(SIZE, ROW, kept)
        assert cut.plan.tile is not None and cut.way.fade == (name == "Mean")
        assert 0.1 * (free - kept) < taken(cutter, cut, batch) <= SHARE * (free - kept)


@pytest.mark.parametrize("name", ["ESPCN", "SRCNN", "MSRResNet", "IMDN"])
def test_an_estimate_lies_above_what_is_counted_by_what_kernels_take(name):
    planner = Upscaler(build(name, 2), ensemble=name == "SRCNN")._cutter.planner
    with torch.inference_mode():
        counted = peak_bytes(lambda: Restoring(planner.wrap(planner.network), "fp32")(torch.zeros(1, 3, 96, 80)))
        assert 1.2 * counted < planner.needs.of(96 * 80, None, 0) < 1.5 * counted


def test_tiles_are_halved_until_they_fit_and_later_pictures_begin_there():
    cutter = Upscaler(Smooth(), tile=100)._cutter
    cut, sides = cutter.cut((400, 500), 0, 0), []
    with pytest.raises(SrtoolboxError, match=r"even for small tiles \(none left\)"):
        while True:
            sides.append(cut.plan.tile)
            cut = cutter.smaller(cut, (400, 500), MemoryError("none left"))
    halves = [(100, 100), (50, 50), (25, 25), (SMALLEST, SMALLEST)]
    assert sides[: len(halves)] == halves
    assert cutter.cut((400, 500), 0, 0).plan.tile == (SMALLEST, SMALLEST)


def test_a_whole_picture_that_does_not_fit_is_halved_and_later_ones_take_half_the_room(monkeypatch):
    monkeypatch.setattr(cutting, "free_bytes", lambda device: 400 << 20)
    cutter = Upscaler(build("ESPCN", 4))._cutter
    with torch.inference_mode():
        whole = cutter.cut((90, 70), 0, 0)
        assert whole.plan.tile is None
        assert cutter.smaller(whole, (90, 70), MemoryError()).plan.tile == (45, 35)
        assert taken(cutter, cutter.cut(SIZE, ROW, 0), 1) <= SHARE / 2 * (400 << 20)


class Recorded(nn.Module):
    """Keeps what it is given."""

    scale, in_channels, colour, size_multiple, receptive_field = 1, 3, "rgb", 8, 0

    def forward(self, lq: Tensor) -> Tensor:
        self.given = lq.clone()
        return lq


@pytest.mark.parametrize(
    ("height", "width", "mode"),
    [(17, 22, "reflect"), (16, 5, "reflect"), (5, 16, "reflect"), (4, 16, "edge"), (17, 3, "edge"), (1, 1, "edge")],
)
def test_what_is_no_whole_cell_goes_on_by_its_mirror_image(photo, height, width, mode):
    lq = torch.from_numpy(photo[:height, :width].transpose(2, 0, 1).copy()).float()[None] / 255
    network = Recorded()
    assert torch.equal(restore(network, lq).rgb, lq)
    padding = [(0, 0), (0, 0), (0, -height % 8), (0, -width % 8)]
    assert np.array_equal(network.given.numpy(), np.pad(lq.numpy(), padding, mode=mode))


def test_the_last_tiles_go_on_as_the_whole_picture_does(photo):
    class Summed(Recorded):
        """What a pixel becomes depends on all of its cell."""

        def forward(self, lq: Tensor) -> Tensor:
            cells = nn.functional.avg_pool2d(lq, 8)
            return nn.functional.interpolate(cells, scale_factor=8) / 2 + lq / 2

    image = np.ascontiguousarray(photo[:61, :77])
    padded = np.pad(image, ((0, 3), (0, 3), (0, 0)), mode="reflect").astype(float)
    cells = padded.reshape(8, 8, 10, 8, 3).mean((1, 3)).repeat(8, 0).repeat(8, 1)[:61, :77]
    for tile in (None, 16, 24):
        assert np.abs(Upscaler(Summed(), tile=tile)(image) - (cells + image) / 2).max() < 1


def test_pieces_of_the_area_are_counted(monkeypatch):
    """A window is compared with the room as it will be run: the upsampling in pieces."""
    cutter = Upscaler(build("MSRResNet", 4))._cutter
    needs, size = cutter.planner.needs, (600, 700)
    halo = cutter.planner.network.reconstruct_field
    pieces, whole = (needs.of(math.prod(size), area, halo) for area in (8192, None))
    assert pieces < whole / 2
    monkeypatch.setattr(cutting, "free_bytes", lambda device: int(1.01 * pieces / SHARE))
    with torch.inference_mode():
        assert cutter.cut(size, 0, 0).plan.tile is None
    monkeypatch.setattr(cutting, "free_bytes", lambda device: int(0.99 * pieces / SHARE))
    with torch.inference_mode():
        assert cutter.cut(size, 0, 0).plan != (None, 8192)
