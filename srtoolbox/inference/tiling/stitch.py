"""The results of a network on windows, put together as bands of rows from top to bottom."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from srtoolbox.image import to_image
from srtoolbox.inference.tiling.sources import Source
from srtoolbox.inference.tiling.tiles import Span
from srtoolbox.resize import Part, imresize_part

PIECE = 2**21
"""Values of the result that are resized at once."""

Run = Callable[[Tensor], Tensor]
"""(N, C, h, w) in [0, 1] on the device -> float (N, C, scale * h, scale * w)."""


class Grid(NamedTuple):
    """Where the windows lie, and how many of the same shape the network is given at once."""

    rows: Sequence[Span]
    columns: Sequence[Span]
    batch: int = 1

    @property
    def is_sharp(self) -> bool:
        """Whether no tiles are cross-faded."""
        return not any(span.fade_in for span in (*self.rows, *self.columns))


def level_bands(run: Run, source: Source, scale: int, grid: Grid, bits: int, after: int = 0) -> Iterator[np.ndarray]:
    """Bands of the finished picture, HWC of `bits` bits, of a grid that `is_sharp`, beginning at row `after`.

    Each tile is rounded as it comes: no band is ever held as float.
    """
    for rows in grid.rows:
        if rows.high * scale <= after:
            continue
        band: np.ndarray | None = None
        for columns, tile in _tiles(run, source, rows, grid):
            levels = to_image(tile[..., _inside(rows, scale), _inside(columns, scale)], bits)
            del tile
            if band is None:
                width = source.width * scale
                band = np.empty((levels.shape[0], width, levels.shape[2]), levels.dtype)
            band[:, columns.low * scale : columns.high * scale] = levels
        yield band[max(0, after - rows.low * scale) :]


def float_bands(run: Run, source: Source, scale: int, grid: Grid, after: int = 0) -> Iterator[Tensor]:
    """Bands (1, C, h, W) float32 on the CPU, neither clipped nor rounded, beginning at row `after`."""
    carry: Tensor | None = None
    for rows in grid.rows:
        if rows.high * scale <= after:
            continue  # where the next row begins to count, this one has faded away
        band = None
        for columns, tile in _tiles(run, source, rows, grid):
            part = tile[..., _inside(rows, scale), _inside(columns, scale)].to("cpu", torch.float32)
            del tile
            if band is None:
                band = part.new_zeros(*part.shape[:3], source.width * scale)
            weights = _ramp(rows, scale)[:, None] * _ramp(columns, scale)
            band[..., columns.low * scale : columns.high * scale] += part * weights
            del part
        if carry is not None:
            band[..., : carry.shape[2], :] += carry
        ready = (rows.high - rows.fade_out - rows.low) * scale
        carry = band[..., ready:, :].clone() if rows.fade_out else None
        first = max(0, after - rows.low * scale)
        if first < ready:
            yield band[..., first:ready, :]


class Side(NamedTuple):
    """A side of a picture that is resized."""

    length: int
    """Of the picture."""
    scale: float
    outputs: int
    """Pixels of the result."""
    margin: int = 0
    """Pixels of the picture that bands have before its first one, where it wraps."""
    wraps: bool = False

    def part(self, low: int, high: int) -> Part:
        """Pixels `low` ... `high` of the result."""
        return Part(self.length, self.scale, low, high, self.wraps)


def resized(bands: Callable[[int], Iterator[Tensor]], rows: Side, columns: Side, after: int) -> Iterator[Tensor]:
    """MATLAB's bicubic `imresize` of a picture that comes in bands of rows, in small bands of rows.

    Args:
        bands: gives those of the picture with its margins, beginning at a row.
        rows: how the height is resized.
        columns: how the width is.
        after: row of the result to begin at.
    """
    across = columns.part(0, columns.outputs)
    places = slice(across.needs.start + columns.margin, across.needs.stop + columns.margin)
    kept: Tensor | None = None
    # rows that have gone, the first that is kept: those of a margin have numbers below 0
    done, first = after, rows.part(after, after + 1).needs.start
    known = first  # rows that have come
    for band in bands(first + rows.margin):
        kept = band if kept is None else torch.cat([kept, band], 2)
        known += band.shape[2]
        del band
        possible = rows.part(0, rows.outputs).possible(known)
        step = max(1, PIECE // (kept.shape[1] * columns.outputs))
        for low in range(done, possible, step):
            part = rows.part(low, min(low + step, possible))
            needs = part.needs
            yield imresize_part(kept[..., needs.start - first : needs.stop - first, places], part, across)
        if possible == rows.outputs:
            return
        if done < possible:
            start = rows.part(possible, possible + 1).needs.start
            kept, first = kept[..., start - first :, :].clone(), start
        done = possible


def inside(bands: Iterator[np.ndarray], height: int, columns: slice) -> Iterator[np.ndarray]:
    """The first `height` rows of the bands, and these columns of them."""
    for band in bands:
        part = np.ascontiguousarray(band[:height, columns])
        height -= len(part)
        del band
        yield part
        if not height:
            return


def _tiles(run: Run, source: Source, rows: Span, grid: Grid) -> Iterator[tuple[Span, Tensor]]:
    """The network's results on the windows of a row, of which equally wide neighbours may be run together."""
    for _, group in itertools.groupby(grid.columns, key=lambda span: span.stop - span.start):
        windows = list(group)
        for number in range(0, len(windows), grid.batch):
            chosen = windows[number : number + grid.batch]
            parts = [source.window((rows.start, rows.stop), (span.start, span.stop)) for span in chosen]
            results = list(run(parts[0] if len(parts) == 1 else torch.cat(parts)).split(1))
            del parts
            while results:  # nothing here holds a result while the next one is made
                yield chosen.pop(0), results.pop(0)


def _inside(span: Span, scale: int) -> slice:
    return slice((span.low - span.start) * scale, (span.high - span.start) * scale)


def _ramp(span: Span, scale: int) -> Tensor:
    """1 inside; rising and falling over the fades, so that neighbours add up to 1."""
    ramp = torch.ones((span.high - span.low) * scale)
    rise, fall = span.fade_in * scale, span.fade_out * scale
    if rise:
        ramp[:rise] = (torch.arange(rise) + 0.5) / rise
    if fall:
        ramp[len(ramp) - fall :] = 1 - (torch.arange(fall) + 0.5) / fall
    return ramp
