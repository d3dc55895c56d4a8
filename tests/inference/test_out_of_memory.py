"""Memory that is estimated, and memory that runs out: smaller tiles, and no row done twice."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.restore import PIECE, upscale_whole
from srtoolbox.inference.tiling import planner as planning
from srtoolbox.inference.tiling import stitch
from srtoolbox.inference.tiling.memory import MemoryModel
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import Splittable
from tests.inference.networks import Hungry, Smooth, build

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "numpy"])
@pytest.mark.parametrize("options", [{"tile": "auto"}, {"tile": 100}, {"tile": 100, "overlap": 5}, {"outscale": 1.7}])
def test_running_out_of_memory_makes_smaller_tiles(photo, error, options):
    image = np.ascontiguousarray(photo[:150, :121])
    upscaler = Upscaler(Hungry(error), **options)
    expected = Upscaler(Smooth(), outscale=options.get("outscale"), tile=None)(image)
    for _ in range(2):
        assert np.abs(upscaler(image).astype(int) - expected).max() <= 1


def test_memory_that_runs_out_midway_repeats_no_row(photo):
    class Later(Smooth):
        calls = 0

        def forward(self, lq: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 5 and lq.shape[-1] > 60:
                raise MemoryError
            return super().forward(lq)

    image = np.ascontiguousarray(photo[:299, :201])
    for options in ({"tile": 64}, {"tile": 64, "overlap": 8}):
        bands = list(Upscaler(Later(), **options).bands(image))
        assert np.abs(np.concatenate(bands).astype(int) - upscale_whole(Smooth(), image)).max() <= 1


@pytest.mark.parametrize("tile", ["auto", 150])
def test_a_deep_network_is_faded_before_memory_is_said_to_be_too_small(photo, tile):
    network, image = Hungry(MemoryError()), np.ascontiguousarray(photo[:180, :170])
    network.receptive_field = 300  # more than the image: no exact tile is smaller than it
    network.limit = 100 * 100
    assert np.abs(Upscaler(network, tile=tile)(image).astype(int) - upscale_whole(Smooth(), image)).max() <= 1


@pytest.mark.parametrize("place", ["imresize_part", "to_image"])
def test_memory_that_runs_out_behind_the_network_repeats_no_row(photo, monkeypatch, place):
    image, calls = np.ascontiguousarray(photo[:150, :121]), []
    expected = Upscaler(Smooth(), outscale=5)(image)
    monkeypatch.setattr(stitch, "RESIZED_VALUES", 2**14)
    real = getattr(stitch, place)

    def refused(*arguments):
        calls.append(arguments)
        if len(calls) in (7, 8):
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(stitch, place, refused)
    result = Upscaler(Smooth(), outscale=5)(image)
    assert len(calls) > 20
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_the_chroma_beside_a_network_that_sees_no_neighbours(photo):
    class Repeat(Smooth):
        in_channels, colour, receptive_field = 1, "y", 0

        def forward(self, lq: Tensor) -> Tensor:
            return lq.repeat_interleave(2, -1).repeat_interleave(2, -2)

    image = np.ascontiguousarray(photo[:90, :95])
    assert np.abs(Upscaler(Repeat(), tile=16)(image).astype(int) - upscale_whole(Repeat(), image)).max() <= 1


def test_tiles_that_are_run_together_are_counted_together(monkeypatch):
    monkeypatch.setattr(planning, "free_bytes", lambda device: 100 << 20)
    pixels = []
    for batch in (1, 8):
        with torch.inference_mode():
            plan = Upscaler(build("ESPCN", 2), batch=batch)._planner.plan((3000, 3000), 3000 * 4 * 3, 0)
        pixels.append(plan.grid((3000, 3000)).largest_window)
    assert pixels[1] < pixels[0] / 3


def test_an_image_that_never_fits_is_one_error(photo):
    class Greedy(Smooth):
        def forward(self, lq: Tensor) -> Tensor:
            raise MemoryError("none left")

    for tile in ("auto", 50, None):
        with pytest.raises(SrtoolboxError, match=r"memory does not suffice .*\(none left\)"):
            Upscaler(Greedy(), tile=tile)(photo)


def test_other_errors_are_not_memory(photo):
    class Broken(Smooth):
        def forward(self, lq: Tensor) -> Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        Upscaler(Broken())(photo)


def test_auto_cuts_as_the_memory_asks(photo, monkeypatch):
    network, image = build("MSRResNet", 4, num_blocks=16), np.tile(photo, (2, 2, 1))[:500, :600]
    chosen = []
    for megabytes in (10_000, 400, 200, 60):
        monkeypatch.setattr(planning, "free_bytes", lambda device, mb=megabytes: mb << 20)
        upscaler = Upscaler(network)
        assert isinstance(network, Splittable)
        with torch.inference_mode():
            chosen.append(upscaler._planner.plan((500, 600), 600 * 16 * 3, 0))
    assert chosen[0][:2] == (None, PIECE)
    assert chosen[1].tile is None
    assert chosen[1].piece is not None
    assert chosen[3].tile is not None
    assert chosen[3].piece is not None
    small = image[:200, :150]
    assert np.abs(upscaler(small).astype(int) - upscale_whole(network, small)).max() <= 1


def test_an_image_that_is_one_tile_is_still_upsampled_in_pieces():
    with torch.inference_mode():
        plan = Upscaler(build("MSRResNet", 4), tile=700)._planner.plan((500, 600), 0, 0)
    assert plan[:2] == (None, PIECE)


def test_a_halo_that_does_not_fit_is_faded_and_told(photo, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    monkeypatch.setattr(planning, "free_bytes", lambda device: 10 << 20)
    network = build("VDSR", 2)
    network.receptive_field = 300
    with caplog.at_level(logging.WARNING):
        upscaler = Upscaler(network)
        assert upscaler._planner.plan((4000, 4000), 4000 * 4 * 3, 0).overlap.is_faded
    assert "does not suffice for exact tiles" in caplog.text


def test_the_memory_model_counts_pieces():
    memory = MemoryModel(network=100, around=1, body=10, features=5, tail=90)
    assert memory.bytes_of(1000, None, 3) == memory.bytes_of(1000, 2000, 3) > memory.bytes_of(1000, 100, 0)
