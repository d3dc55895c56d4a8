"""Windows along an axis: equal, aligned, with all of the halo, and each pixel counted once."""

from __future__ import annotations

import itertools
import random

import pytest

from srtoolbox.inference.tiling.grid import cut_axis, round_up
from srtoolbox.inference.tiling.stitch import _ramp


def test_tiles_of_a_usual_image():
    tiles = cut_axis(512, 128, 35)
    assert [tile[:4] for tile in tiles] == [
        (0, 181, 0, 145),
        (110, 291, 145, 255),
        (220, 401, 255, 366),
        (331, 512, 366, 512),
    ]


def cases(count: int):
    draw = random.Random(0)
    return [
        (draw.randint(1, 300), draw.randint(1, 100), draw.randint(0, 50), draw.choice([1, 2, 4, 8]))
        for _ in range(count)
    ]


@pytest.mark.parametrize("is_odd", [False, True])
@pytest.mark.parametrize("fade", [False, True])
def test_every_pixel_counts_once_and_sees_its_halo(fade, is_odd):
    for length, side, halo, multiple in cases(3000):
        odd = length % multiple if is_odd else 0
        tiles = cut_axis(length, side, halo, multiple, fade=fade, odd=odd)
        first, last = tiles[0], tiles[-1]
        assert first.read_start == first.keep_start == 0 and last.read_stop == last.keep_stop == length
        assert tiles[0].fade_in == tiles[-1].fade_out == 0
        for tile, following in itertools.pairwise(tiles):
            seam = tile.keep_stop - tile.fade_out // 2
            assert seam == following.keep_start + following.fade_in // 2
            assert tile.fade_out == following.fade_in and (fade or tile.fade_out == 0)
            assert tile.read_stop - seam >= halo and seam - following.read_start >= halo
            assert tile.fade_in + tile.fade_out <= tile.keep_stop - tile.keep_start


def test_windows_are_aligned_equal_and_not_too_large():
    for length, side, halo, multiple in cases(3000):
        tiles = cut_axis(length, side, halo, multiple)
        assert all(tile.read_start % multiple == 0 for tile in tiles)
        assert len({tile.length for tile in tiles[:-1]}) <= 1
        largest = round_up(side, multiple) + 2 * round_up(halo, multiple)
        assert all(tile.length <= largest for tile in tiles)


def test_windows_are_aligned_as_seen_from_both_ends():
    for length, side, halo, cell in cases(3000):
        multiple, filled = 3 * cell, round_up(length, cell)
        for tile in cut_axis(length, side, halo, multiple, odd=filled % multiple):
            assert tile.read_start % multiple == (filled - round_up(tile.read_stop, cell)) % multiple == 0


def test_fades_add_up_to_one():
    total = [0.0] * 300
    for tile in cut_axis(100, 30, 8, fade=True):
        for place, weight in enumerate(_ramp(tile, 3).tolist(), start=tile.keep_start * 3):
            total[place] += weight
    assert total == pytest.approx([1.0] * 300)
