"""What an image is cut into fits into the memory that may be used, and becomes half when that was too much."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.restore import AutocastRestore, restore
from srtoolbox.inference.tiling import planner as planning
from srtoolbox.inference.tiling.memory import memory_model_of, peak_bytes
from srtoolbox.inference.tiling.planner import FADE_FACTOR, SHARE, SMALLEST, TilePlan, TilePlanner
from srtoolbox.inference.upscaler import Upscaler
from tests.inference.networks import Mean, Smooth, Windows, build

SIZE = 1200, 1500
ROW = SIZE[1] * 16 * 3 * 2


def planned_bytes(planner: TilePlanner, plan: TilePlan, batch: int) -> float:
    """Bytes of a plan by the memory model: one run of windows, and the band they are put into."""
    grid = plan.grid(SIZE, batch)
    windows = min(batch, len(grid.columns)) * planner.memory().bytes_of(grid.largest_window, plan.piece, planner.halo)
    height = max(tile.keep_stop - tile.keep_start for tile in grid.rows)
    return windows + height * ROW * (FADE_FACTOR if plan.overlap.is_faded else 1)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kept", [0, 150 << 20])
@pytest.mark.parametrize("name", ["ESPCN", "MSRResNet", "Mean"])
def test_what_is_chosen_fits_and_uses_the_room(monkeypatch, name, kept, batch):
    free = 400 << 20
    monkeypatch.setattr(planning, "free_bytes", lambda device: free)
    network = Mean() if name == "Mean" else build(name, 4)
    planner = Upscaler(network, batch=batch)._planner
    with torch.inference_mode():
        plan = planner.plan(SIZE, ROW, kept)
        assert plan.tile is not None and plan.overlap.is_faded == (name == "Mean")
        assert 0.1 * (free - kept) < planned_bytes(planner, plan, batch) <= SHARE * (free - kept)


@pytest.mark.parametrize("name", ["ESPCN", "SRCNN", "MSRResNet", "IMDN"])
def test_an_estimate_lies_above_what_is_counted_by_what_kernels_take(name):
    network, ensemble = build(name, 2), name == "SRCNN"
    run = AutocastRestore(network, "fp32", ensemble=ensemble)
    with torch.inference_mode():
        counted = peak_bytes(lambda: run(torch.zeros(1, 3, 96, 80)))
        estimate = memory_model_of(network, "fp32", ensemble=ensemble).bytes_of(96 * 80, None, 0)
    assert 1.2 * counted < estimate < 1.5 * counted


def test_tiles_are_halved_until_they_fit_and_later_images_begin_there():
    planner = Upscaler(Smooth(), tile=100)._planner
    plan, sides = planner.plan((400, 500), 0, 0), []
    with pytest.raises(SrtoolboxError, match=r"even for small tiles \(none left\)"):
        while True:
            sides.append(plan.tile)
            plan = planner.smaller(plan, (400, 500), MemoryError("none left"))
    halves = [(100, 100), (50, 50), (25, 25), (SMALLEST, SMALLEST)]
    assert sides[: len(halves)] == halves
    assert planner.plan((400, 500), 0, 0).tile == (SMALLEST, SMALLEST)


def test_a_whole_image_that_does_not_fit_is_halved_and_later_ones_take_half_the_room(monkeypatch):
    monkeypatch.setattr(planning, "free_bytes", lambda device: 400 << 20)
    planner = Upscaler(build("ESPCN", 4))._planner
    with torch.inference_mode():
        whole = planner.plan((90, 70), 0, 0)
        assert whole.tile is None
        assert planner.smaller(whole, (90, 70), MemoryError()).tile == (45, 35)
        assert planned_bytes(planner, planner.plan(SIZE, ROW, 0), 1) <= SHARE / 2 * (400 << 20)


@pytest.mark.parametrize(("window", "halo", "multiple"), [(1, 32, 1), (8, 32, 8), (24, 48, 24), (32, 64, 32)])
def test_networks_with_attention_in_windows_are_faded_over_two_of_them(window, halo, multiple):
    network = Windows()
    network.padded_multiple = window
    assert Upscaler(network, tile=50)._planner.plan((400, 500), 0, 0).overlap[:3] == (halo, multiple, True)
    assert Upscaler(network, tile=50, overlap=9)._planner.plan((400, 500), 0, 0).overlap[:2] == (9, multiple)


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


def test_the_last_tiles_go_on_as_the_whole_image_does(photo):
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


def test_pieces_are_counted(monkeypatch):
    """A window is compared with the room as it will be run: the upsampling in pieces."""
    planner, size = Upscaler(build("MSRResNet", 4))._planner, (600, 700)
    pieces, whole = (planner.memory().bytes_of(math.prod(size), piece, planner.halo) for piece in (8192, None))
    assert pieces < whole / 2
    for share, is_whole in ((1.01, True), (0.99, False)):
        monkeypatch.setattr(planning, "free_bytes", lambda device, share=share: int(share * pieces / SHARE))
        with torch.inference_mode():
            assert (planner.plan(size, 0, 0)[:2] == (None, 8192)) == is_whole
