"""Results that keep the low frequencies of the image they were made of, and how far they do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from srtoolbox.image.colour_shift import ColourShift, shift_of_means
from srtoolbox.image.low_frequencies import REACH, CellMeans, Enlarged, cell_edges, correction, means_of


class ColourCells:
    """The cells over which an image and its result are compared.

    Args:
        image: (h, w, C) uint8 or uint16.
        size: (height, width) of the result.
        scales: by which each side was resized; the result may be a part of a pixel longer.
        wraps: True for each of rows and columns that goes on with itself.
    """

    def __init__(
        self, image: np.ndarray, size: tuple[int, int], scales: Sequence[float], wraps: Sequence[bool] = (False, False)
    ) -> None:
        edges = [cell_edges(length, scale) for length, scale in zip(image.shape[:2], scales, strict=True)]
        self.before = means_of(image, *edges)
        """The means of the image, (rows, columns, C)."""
        self.bits = 8 * image.itemsize
        self.size, self.wraps = size, wraps
        axes = zip(edges, scales, size, strict=True)
        self.edges = [np.minimum(each * scale, side) for each, scale, side in axes]
        """Of the cells in the result."""


class ColourWatch:
    """Measures the shift of colours of a result while its bands go by."""

    def __init__(self) -> None:
        self.shift: ColourShift | None = None
        """None until all bands have gone by."""

    def watched(self, bands: Iterator[np.ndarray], cells: ColourCells) -> Iterator[np.ndarray]:
        """Yield the bands as they are."""
        means, found = CellMeans(*cells.edges), []
        for band in bands:
            found.append(means.add(band))
            if sum(map(len, found)) == len(cells.before):
                self.shift = shift_of_means(cells.before, np.concatenate(found), cells.bits)
            yield band
            del band  # before the next one is made


def kept_colour(bands: Iterator[np.ndarray], cells: ColourCells) -> Iterator[np.ndarray]:
    """Yield the bands of a result without what their low frequencies differ by from the image's.

    The low frequencies then agree to half a level but where the result is clipped. A row waits for
    some rows of cells below it, see `waiting_rows`; what comes in one band leaves in one.
    """
    means, enlarged = CellMeans(*cells.edges), Enlarged(cells.edges[0], cells.edges[1], cells.size, cells.wraps)
    count, last = len(cells.before), enlarged.last_cells()
    differences = np.empty_like(cells.before)
    field = np.empty_like(cells.before)
    waiting: deque[np.ndarray] = deque()
    known = ready = done = 0
    for band in bands:
        found = means.add(band)
        differences[known : known + len(found)] = found - cells.before[known : known + len(found)]
        known += len(found)
        waiting.append(band)
        del band  # before the next one is made
        possible = count if known == count else 0 if cells.wraps[0] else max(ready, known - REACH)
        if possible > ready:
            start = max(0, ready - REACH)
            part = correction(differences[start:known], (cells.wraps[0], cells.wraps[1]))
            field[ready:possible] = part[ready - start : possible - start]
            ready = possible
        rows = cells.size[0] if ready == count else int(np.argmax(last >= ready))
        while waiting and done < rows:
            first = waiting.popleft()
            now, later = first[: rows - done], first[rows - done :]
            if len(later):
                waiting.appendleft(later.copy())  # the band itself may go
            corrected = enlarged.take_off(now, done, field)
            del first, now, later
            done += len(corrected)
            yield corrected
            del corrected


def waiting_rows(size: tuple[int, int], scale: float, wraps: bool) -> int:
    """Return how many rows of a result of this size wait, at most, until they can be corrected."""
    cell = 12 * max(scale, 1)  # a cell is up to half as large again, where a side is short
    return size[0] if wraps else min(size[0], int((REACH + 2) * cell) + 1)
