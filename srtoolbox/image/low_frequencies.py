"""The low frequencies of an image: its colours without detail, as means over cells, smoothed.

An image and its result, of another size, are cut into equally many cells, so that they can be
compared; what they differ by is enlarged and taken off. Images come in bands of rows, and rows do
not depend on where these are cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

CELL = 8
"""Side of a cell, about, in px of the smaller of the two images."""
ROUNDS = 4
"""Steps of back-projection, each on what the one before leaves."""
REACH = 2 * ROUNDS - 1
"""Cells around one, whose differences its correction depends on."""
_BINOMIAL = (1 / 4, 1 / 2, 1 / 4)
_MEAN_OF_LINEAR = (1 / 8, 3 / 4, 1 / 8)  # of a linear interpolation, over a cell


def cell_edges(length: int, scale: float) -> np.ndarray:
    """Return the edges of the cells of one side of an image resized by `scale`: (n + 1,) px.

    They divide it equally, into fractions of pixels where they must.
    """
    count = max(1, round(length / (CELL * max(1, 1 / scale))))
    return np.linspace(0, length, count + 1)


class CellMeans:
    """Means over the cells of an image that comes in bands of rows.

    A pixel that is cut counts for both its shares.

    Args:
        rows, columns: the cells' edges in px, a cell at least one px.
    """

    def __init__(self, rows: np.ndarray, columns: np.ndarray) -> None:
        self._rows, self._columns = rows, columns
        self._done = self._top = 0
        self._sums: list[np.ndarray] = []  # of the pixels of the cells at hand

    def add(self, band: np.ndarray) -> np.ndarray:
        """Take the next rows, (h, W, C) uint8 or uint16.

        Return the means of the rows of cells that end in them.

        They are (rows of cells, columns of cells, C) float64, maybe none.
        """
        lines = np.ascontiguousarray(band).reshape(len(band), -1)
        bottom, found = self._top + len(band), []
        while self._done < len(self._rows) - 1:
            start, stop = self._rows[self._done : self._done + 2]
            self._sums.append(_sum_of_rows(lines, max(start - self._top, 0), min(stop, bottom) - self._top))
            if stop > bottom:
                break
            found.append(self._means(sum(self._sums[1:], self._sums[0]).reshape(band.shape[1:]), stop - start))
            self._sums.clear()
            self._done += 1
        self._top = bottom
        return np.array(found).reshape(len(found), len(self._columns) - 1, band.shape[2])

    def _means(self, sums: np.ndarray, height: float) -> np.ndarray:
        """Return the means of a row of cells, (cells, C), from the sums of its columns (W, C)."""
        before = np.concatenate([np.zeros((1, sums.shape[1])), sums.cumsum(axis=0)])
        whole = np.minimum(self._columns.astype(int), len(sums) - 1)
        at_edges = before[whole] + (self._columns - whole)[:, None] * sums[whole]
        return np.diff(at_edges, axis=0) / (height * np.diff(self._columns))[:, None]


def _sum_of_rows(lines: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return the sum (n,), float64, of rows (h, n) from one place to another, parts included."""
    first, last = math.ceil(start), math.floor(stop)
    total = np.zeros(lines.shape[1])
    if first > last:  # within one row
        return total + (stop - start) * lines[last]
    if first < last:
        total += cv2.reduce(lines[first:last], 0, cv2.REDUCE_SUM, dtype=cv2.CV_64F)[0]
    for share, row in ((first - start, first - 1), (stop - last, last)):
        if share:
            total += share * lines[row]
    return total


def means_of(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the means over the cells of an image (H, W, C): (cell rows, cell columns, C)."""
    return CellMeans(rows, columns).add(image)


def smoothed(means: np.ndarray, wraps: Sequence[bool] = (False, False)) -> np.ndarray:
    """Return the low frequencies of means over cells: blurred by (1, 2, 1) / 4 along both axes.

    Args:
        means: (rows, columns, C).
        wraps: True for each of rows and columns where the image goes on with itself.
    """
    return _filtered(means, _BINOMIAL, wraps)


def correction(difference: np.ndarray, wraps: Sequence[bool] = (False, False)) -> np.ndarray:
    """Return the values at cells which, enlarged and taken off, take out low frequencies.

    That is back-projection (Irani and Peleg 1991, "Improving resolution by image registration"),
    all of it on the cells: what is taken off is linear between their centres, so its means are
    known.

    Args:
        difference: (rows, columns, C), of the result's means from the image's.
        wraps: as in `smoothed`.
    """
    field = np.zeros_like(difference)
    for _ in range(ROUNDS):
        field = field + smoothed(difference - _filtered(field, _MEAN_OF_LINEAR, wraps), wraps)
    return field


def _filtered(values: np.ndarray, weights: tuple[float, float, float], wraps: Sequence[bool]) -> np.ndarray:
    for axis in (0, 1):
        pads = [(1, 1) if axis == each else (0, 0) for each in range(3)]
        padded = np.pad(values, pads, mode="wrap" if wraps[axis] else "edge")
        count = values.shape[axis]
        before, here, after = (np.take(padded, range(first, first + count), axis) for first in range(3))
        values = weights[0] * before + weights[1] * here + weights[2] * after
    return values


class Enlarged:
    """A correction enlarged to the result's size, linearly between centres of cells, by rows.

    Args:
        rows, columns: the edges of the cells in px of the result.
        size: (height, width) of the result.
        wraps: as in `smoothed`.
    """

    def __init__(
        self, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], wraps: Sequence[bool] = (False, False)
    ) -> None:
        self._tops, self._bottoms, self._down = _between(rows, size[0], wraps[0])
        self._lefts, self._rights, share = _between(columns, size[1], wraps[1])
        self._across = share[:, None].astype(np.float32)
        self._wide: dict[int, np.ndarray] = {}  # rows of cells, enlarged to the width

    def last_cells(self) -> np.ndarray:
        """Return, for each row of the result, the last row of cells that it needs: (H,)."""
        return np.maximum(self._tops, self._bottoms)

    def take_off(self, band: np.ndarray, top: int, field: np.ndarray) -> np.ndarray:
        """Return rows of the result from `top` on without the correction, rounded and clipped.

        Args:
            band: (h, W, C) uint8 or uint16.
            top: the number of its first row.
            field: (rows of cells, columns of cells, C), those that `last_cells` names being filled.
        """
        lines = np.ascontiguousarray(band).reshape(len(band), -1)
        result, depth = np.empty_like(lines), cv2.CV_8U if band.dtype == np.uint8 else cv2.CV_16U
        for number, line in enumerate(lines):
            row = top + number
            needed = int(self._tops[row]), int(self._bottoms[row])
            self._wide = {each: self._widened(each, field) for each in sorted(set(needed))}
            above, below = (self._wide[each] for each in needed)
            share = float(self._down[row])
            between = cv2.addWeighted(above, 1 - share, below, share, 0.0)
            result[number] = cv2.subtract(line[None], between, dtype=depth)[0]
        return result.reshape(band.shape)

    def _widened(self, row: int, field: np.ndarray) -> np.ndarray:
        """Return a row of cells, enlarged to the result's width: (1, W * C) float32."""
        if row in self._wide:
            return self._wide[row]
        cells = field[row].astype(np.float32)
        wide = cells[self._lefts] * (1 - self._across) + cells[self._rights] * self._across
        return np.ascontiguousarray(wide).reshape(1, -1)


def _between(edges: np.ndarray, length: int, wraps: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each pixel of a side the two cells around it, and the share of the second one."""
    count = len(edges) - 1
    place = (np.arange(length) + 0.5) / edges[-1] * count - 0.5
    first = np.floor(place).astype(int)
    second, share = first + 1, place - first
    if wraps:
        return first % count, second % count, share
    return first.clip(0, count - 1), second.clip(0, count - 1), share
