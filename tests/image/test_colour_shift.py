"""Means over cells that come in bands, the low frequencies of them, and the shift of colours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from srtoolbox import colour_shift
from srtoolbox.image.colour_shift import _lab, delta_e, mean_shift
from srtoolbox.image.low_frequencies import CellMeans, cell_edges, correction, means_of, smoothed

SHARMA = """
50 2.6772 -79.7751   50 0 -82.7485   2.0425
50 0 0               50 -1 2         2.3669
50 2.49 -0.001       50 -2.49 0.0009 7.1792
50 2.49 -0.001       50 -2.49 0.0011 7.2195
50 -0.001 2.49       50 0.0009 -2.49 4.8045
50 2.5 0             73 25 -18       27.1492
50 2.5 0             58 24 15        19.4535
60.2574 -34.0099 36.2677   60.4626 -34.1751 39.4387   1.2644
2.0776 0.0795 -1.135       0.9033 -0.0636 -0.5514     0.9082
"""
"""Rows of the supplementary test data of the paper: two colours, and their difference."""


def test_ciede2000_is_that_of_the_paper() -> None:
    rows = np.array([line.split() for line in SHARMA.split("\n") if line], float)
    assert np.allclose(delta_e(rows[:, :3], rows[:, 3:6]), rows[:, 6], atol=5e-5)
    rng = np.random.default_rng(0)
    one, two = rng.random((2, 2000, 3))
    assert np.allclose(_lab(one), rgb2lab(one), atol=0.02)
    near = np.clip(one + 0.02 * two, 0, 1)
    for other in (two, near):
        assert np.allclose(delta_e(_lab(one), _lab(other)), deltaE_ciede2000(rgb2lab(one), rgb2lab(other)), atol=0.01)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [[100], [1] * 100, [3, 50, 7, 40]])
def test_means_are_those_of_shares_of_pixels_however_the_image_comes(kind: type, bands: list[int]) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (100, 57, 3), kind, endpoint=True)
    rows, columns = np.array([0, 20.25, 40.75, 41.5, 99.5]), np.array([0, 19.6, 57.0])
    means, top, found = CellMeans(rows, columns), 0, []
    for height in bands:
        found.append(means.add(image[top : top + height]))
        top += height
    fine = image.repeat(20, 0).repeat(20, 1).astype(float)  # where all edges lie between pixels
    expected = [
        [fine[int(20 * a) : int(20 * b), int(20 * c) : int(20 * d)].mean((0, 1)) for c, d in [(0, 19.6), (19.6, 57)]]
        for a, b in itertools.pairwise(rows)
    ]
    assert np.allclose(np.concatenate(found), expected, rtol=1e-12)


@pytest.mark.parametrize(("length", "scale", "count"), [(160, 4, 20), (3, 2, 1), (13, 2.35, 2), (160, 0.5, 10)])
def test_cells_divide_a_side_equally(length: int, scale: float, count: int) -> None:
    edges = cell_edges(length, scale)
    assert len(edges) == count + 1 and edges[0] == 0 and edges[-1] == length
    assert np.ptp(np.diff(edges)) < 1e-9 and min(np.diff(edges)) * min(scale, 1) >= min(5, length)


@pytest.mark.parametrize("wraps", [(False, False), (True, False), (False, True)])
def test_a_correction_takes_out_low_frequencies(wraps: tuple[bool, bool]) -> None:
    rows, columns = np.mgrid[:24, :30]
    slow = 20 * np.cos(2 * np.pi * (rows / 24 + columns / 30))[..., None]
    for difference in (slow, np.full_like(slow, 7)):
        field = correction(difference, wraps)
        means = field.copy()  # over cells, of what is linear between centres
        for axis in (0, 1):
            pads = [(1, 1) if axis == each else (0, 0) for each in range(3)]
            padded = np.pad(means, pads, mode="wrap" if wraps[axis] else "edge")
            steps = [np.take(padded, range(first, first + means.shape[axis]), axis) for first in range(3)]
            means = steps[0] / 8 + steps[1] * 3 / 4 + steps[2] / 8
        assert np.abs(smoothed(difference - means, wraps)).max() < 0.1


def test_a_shift_is_measured_apart_from_detail(photo: np.ndarray) -> None:
    small = photo[:96, :96]
    large = small.repeat(3, 0).repeat(3, 1)
    detail = np.tile([[4, -4], [-4, 4]], (144, 144))[..., None]
    same = colour_shift(small, np.clip(large.astype(int) + detail, 0, 255).astype(np.uint8))
    assert max(map(abs, same.levels)) < 0.1 and same.delta_e < 0.1 and same.note(is_kept=False) == ""
    warm = np.clip(large.astype(int) + np.array([3, 0, -3]), 0, 255).astype(np.uint8)
    shift = colour_shift(small, warm)
    assert np.allclose(shift.levels, [3, 0, -3], atol=0.1) and shift.is_visible and shift.delta_e > 1
    text = shift.note(is_kept=False)
    assert "red +3.0, green +0.0, blue -3.0 of 255 in the mean" in text and text.endswith("--keep-colour takes it out")
    deep = colour_shift(small.astype(np.uint16) * 257, warm.astype(np.uint16) * 257)
    assert np.allclose(deep.levels, shift.levels) and deep.delta_e == pytest.approx(shift.delta_e)
    assert mean_shift([shift, same]).levels[0] == pytest.approx((shift.levels[0] + same.levels[0]) / 2)
    gray = colour_shift(small[..., 0], large[..., 0] // 2)
    assert len(gray.levels) == 1 and "brightness -" in str(gray)
    with pytest.raises(ValueError, match="of one type and of as many channels"):
        colour_shift(small, large[..., :1])
    assert means_of(small, *[np.array([0.0, 96])] * 2) == pytest.approx(small.mean((0, 1))[None, None])
