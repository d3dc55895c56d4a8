"""Windows along an axis: equal, aligned, with all of the halo, and each pixel counted once."""

from __future__ import annotations

import itertools
import random

import pytest

from srtoolbox.inference.tiling.stitch import _ramp
from srtoolbox.inference.tiling.tiles import round_up, spans


def test_tiles_of_a_usual_picture():
    found = spans(512, 128, 35)
    assert [span[:4] for span in found] == [
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


@pytest.mark.parametrize("fade", [False, True])
def test_every_pixel_counts_once_and_sees_its_halo(fade):
    for length, tile, halo, multiple in cases(3000):
        found = spans(length, tile, halo, multiple, fade=fade)
        assert (found[0].start, found[0].low, found[-1].stop, found[-1].high) == (0, 0, length, length)
        assert found[0].fade_in == found[-1].fade_out == 0
        for span, following in itertools.pairwise(found):
            seam = span.high - span.fade_out // 2
            assert seam == following.low + following.fade_in // 2
            assert span.fade_out == following.fade_in and (fade or span.fade_out == 0)
            assert span.stop - seam >= halo and seam - following.start >= halo
            assert span.fade_in + span.fade_out <= span.high - span.low


def test_windows_are_aligned_equal_and_not_too_large():
    for length, tile, halo, multiple in cases(3000):
        found = spans(length, tile, halo, multiple)
        assert all(span.start % multiple == 0 for span in found)
        assert len({span.stop - span.start for span in found[:-1]}) <= 1
        largest = round_up(tile, multiple) + 2 * round_up(halo, multiple)
        assert all(span.stop - span.start <= largest for span in found)


def test_fades_add_up_to_one():
    total = [0.0] * 300
    for span in spans(100, 30, 8, fade=True):
        for place, weight in enumerate(_ramp(span, 3).tolist(), start=span.low * 3):
            total[place] += weight
    assert total == pytest.approx([1.0] * 300)
