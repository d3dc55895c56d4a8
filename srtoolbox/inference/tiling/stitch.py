"""Windows of an image through a network, and what is kept of the results, in bands of rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from srtoolbox.image import to_image
from srtoolbox.image.tensors import to_levels
from srtoolbox.inference.replay import Upscaled
from srtoolbox.inference.tiling.grid import Tile, TileGrid
from srtoolbox.inference.tiling.source import Side, Source
from srtoolbox.inference.transfer import Download, upload
from srtoolbox.resize import imresize_part, output_length

RESIZED_VALUES = 2**21  # values of the result that are resized at once


class CheckedRun(Protocol):
    """A run of windows that checks for finite values, now or later: `restore.AutocastRestore`."""

    def __call__(self, lq: Tensor, /) -> Tensor:
        """(N, C, h, w) in [0, 1] on the device -> float (N, C, scale * h, scale * w).

        Checked and, where it helps, run again.
        """

    def unchecked(self, flags: list[Tensor], lq: Tensor, /) -> Tensor:
        """Run; whether the result is finite is one more of `flags`."""

    def whole(self, batch: Tensor, bits: int, /) -> Upscaled:
        """Run on (1, h, w, C) uint8 or uint16, unchecked; the result is rounded to `bits`."""

    def fall_back(self) -> None:
        """Let the next run be in another way; raise SrtoolboxError where there is none."""


@runtime_checkable
class PlacedRun(Protocol):
    """A `CheckedRun` that depends on where in the image its windows lie."""

    def at(self, rows: Tile, columns: Sequence[Tile], /) -> CheckedRun:
        """Return how windows that lie there are run, those of a batch in one row."""


def stitch_bands(
    run: CheckedRun, source: Source, scale: int, grid: TileGrid, bits: int, outscale: float | None, first: int
) -> Iterator[np.ndarray]:
    """Yield bands of the finished image, HWC of `bits` bits, without its margins.

    Args:
        run, scale: the network, and its scale.
        source, grid: what gives its windows, and where they lie.
        bits: 8 or 16.
        outscale: the final scale, where the network's result is to be resized.
        first: row of the finished image to begin at.
    """
    floats, margins = partial(float_bands, run, source, scale, grid), source.margins
    if outscale is not None:
        sides = []
        for length, margin in zip((source.height, source.width), margins, strict=True):
            inner, factor = (length - sum(margin)) * scale, outscale / scale
            outputs = output_length(inner, factor)
            sides.append(Side(inner, outputs, factor, any(margin), margin.before * scale))
        for resized in _resized_bands(floats, *sides, first=first):
            yield to_image(resized, bits)
        return
    top, left = (margin.before * scale for margin in margins)
    bands: Iterator[np.ndarray]
    if any(tile.fade_in for tile in (*grid.rows, *grid.columns)):
        bands = (to_image(band, bits) for band in floats(top + first))
    else:
        bands = _rounded_bands(run, source, scale, grid, bits, top + first)
    rows_left = (source.height - sum(margins[0])) * scale - first
    columns = slice(left, left + (source.width - sum(margins[1])) * scale)
    for band in bands:
        part = np.ascontiguousarray(band[:rows_left, columns])
        rows_left -= len(part)
        del band
        yield part
        if not rows_left:
            return


def _rounded_bands(
    run: CheckedRun, source: Source, scale: int, grid: TileGrid, bits: int, first: int
) -> Iterator[np.ndarray]:
    """Yield bands of the finished image from row `first` on, HWC of `bits` bits.

    No tiles are cross-faded. Each tile is rounded as it comes: no band is ever held as float.
    """
    for rows in grid.rows:
        if rows.keep_stop * scale <= first:
            continue
        while True:
            pixels, is_finite = _rounded_band(run, source, scale, rows, grid, bits).result()
            if is_finite:
                break
            del pixels
            run.fall_back()
        yield pixels[max(0, first - rows.keep_start * scale) :]


def begin_whole(run: CheckedRun, source: Source, bits: int) -> Download:
    """Ask a device for the network's result on a whole image, and wait for nothing."""
    upscaled = run.whole(upload(source.image, source.device), bits)
    return Download(upscaled.levels, [upscaled.is_finite])


def _rounded_band(run: CheckedRun, source: Source, scale: int, rows: Tile, grid: TileGrid, bits: int) -> Download:
    """Put the tiles of a row together, on the device.

    There its values are checked once for all tiles.
    """
    flags: list[Tensor] = []
    is_here = source.device.type == "cpu"
    if not is_here and source.is_plain and len(grid.rows) == len(grid.columns) == 1:
        return begin_whole(run, source, bits)
    band: Tensor | None = None
    for _, place, part in _kept_parts(run, None if is_here else flags, source, scale, rows, grid):
        levels = to_levels(part, bits)
        del part
        if levels.shape[1] == source.width * scale:
            return Download(levels, flags)
        if band is None:
            band = levels.new_empty(levels.shape[0], source.width * scale, levels.shape[2])
        band[:, place] = levels
    assert band is not None
    return Download(band, flags)


def float_bands(run: CheckedRun, source: Source, scale: int, grid: TileGrid, first: int = 0) -> Iterator[Tensor]:
    """Yield bands (1, C, h, W) float32 on the device, unclipped and unrounded, from `first` on."""
    carry: Tensor | None = None
    for rows in grid.rows:
        if rows.keep_stop * scale <= first:
            continue  # where the next row begins to count, this one has faded away
        while True:
            band, flags = _float_band(run, source, scale, rows, grid)
            if not flags or bool(torch.stack(flags).all()):
                break
            del band
            run.fall_back()
        if carry is not None:
            band[..., : carry.shape[2], :] += carry
        ready = (rows.keep_stop - rows.fade_out - rows.keep_start) * scale
        carry = band[..., ready:, :].clone() if rows.fade_out else None
        start = max(0, first - rows.keep_start * scale)
        if start < ready:
            yield band[..., start:ready, :]
        del band  # before the next one is made


def _float_band(run: CheckedRun, source: Source, scale: int, rows: Tile, grid: TileGrid) -> tuple[Tensor, list[Tensor]]:
    """Add up the tiles of a row, weighted.

    What a device makes is checked by the flags, once for all tiles.
    """
    flags: list[Tensor] = []
    asked = None if source.device.type == "cpu" else flags
    band: Tensor | None = None
    for columns, place, kept in _kept_parts(run, asked, source, scale, rows, grid):
        part = kept.float()
        del kept
        if band is None:
            band = part.new_zeros(*part.shape[:3], source.width * scale)
        weights = _ramp(rows, scale, part.device)[:, None] * _ramp(columns, scale, part.device)
        band[..., place] += part * weights
        del part
    assert band is not None
    return band, flags


def _kept_parts(
    run: CheckedRun, flags: list[Tensor] | None, source: Source, scale: int, rows: Tile, grid: TileGrid
) -> Iterator[tuple[Tile, slice, Tensor]]:
    """Yield the tiles of a row, their places in its band, and what is kept of the results on them.

    Equally wide neighbours may be run together. With `flags` nothing is waited for, see
    `unchecked`.
    """
    tall = rows.source(scale)
    for _, group in itertools.groupby(grid.columns, key=lambda tile: tile.length):
        tiles = list(group)
        for number in range(0, len(tiles), grid.batch):
            chosen = tiles[number : number + grid.batch]
            places = [(tile.source(scale), tile.target(scale)) for tile in chosen]
            windows = [source.window(rows[:2], tile[:2]) for tile in chosen]
            lq = windows[0] if len(windows) == 1 else torch.cat(windows)
            del windows
            placed = run.at(rows, chosen) if isinstance(run, PlacedRun) else run
            results = list((placed(lq) if flags is None else placed.unchecked(flags, lq)).split(1))
            del lq
            while results:  # nothing here holds a result while the next one is made
                tile, (wide, place) = chosen.pop(0), places.pop(0)
                yield tile, place, results.pop(0)[..., tall, wide]


def _ramp(tile: Tile, scale: int, device: torch.device | None = None) -> Tensor:
    """Return weights: 1 inside, and over the fades such that neighbours add up to 1."""
    ramp = torch.ones((tile.keep_stop - tile.keep_start) * scale, device=device)
    rise, fall = tile.fade_in * scale, tile.fade_out * scale
    if rise:
        ramp[:rise] = (torch.arange(rise, device=device) + 0.5) / rise
    if fall:
        ramp[len(ramp) - fall :] = 1 - (torch.arange(fall, device=device) + 0.5) / fall
    return ramp


def _resized_bands(
    bands: Callable[[int], Iterator[Tensor]], rows: Side, columns: Side, *, first: int
) -> Iterator[Tensor]:
    """Yield MATLAB's bicubic `imresize` of an image that comes in bands, from row `first` on.

    `bands` gives those of the image with its margins, beginning at a row.
    """
    across = columns.part(0, columns.outputs)
    places = slice(across.needs.start + columns.margin, across.needs.stop + columns.margin)
    kept: Tensor | None = None
    # rows are counted from the first of the image: those of a margin have numbers below 0
    done, start = first, rows.part(first, first + 1).needs.start
    stop = start  # of the rows that have come; `start` is the first that is kept
    for band in bands(start + rows.margin):
        kept = band if kept is None else torch.cat([kept, band], 2)
        stop += band.shape[2]
        del band
        possible = rows.part(0, rows.outputs).possible(stop)
        step = max(1, RESIZED_VALUES // (kept.shape[1] * columns.outputs))
        for low in range(done, possible, step):
            part = rows.part(low, min(low + step, possible))
            needs = part.needs
            yield imresize_part(kept[..., needs.start - start : needs.stop - start, places], part, across)
        if possible == rows.outputs:
            return
        if done < possible:
            needed = rows.part(possible, possible + 1).needs.start
            kept, start = kept[..., needed - start :, :].clone(), needed
        done = possible
