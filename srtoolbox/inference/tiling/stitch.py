"""Windows of an image, of its interpolation, or of its repetitions where it wraps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.image import to_image, to_tensor
from srtoolbox.inference.tiling import COSTLY, NEAR, Tile, TileGrid, round_up
from srtoolbox.inference.tiling.receptive_field import CHROMA, receptive_field_of
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.resize import Part, imresize_part, output_length

STATISTICS = 64
"""Pixels beyond an edge, at least, for a network that sees the whole image: it sees repetitions."""


class Margin(NamedTuple):
    """Pixels before and after an axis in which it goes on with itself, as often as it takes."""

    before: int = 0
    after: int = 0


Margins = tuple[Margin, Margin]
"""Those of the rows and of the columns."""


class Source:
    """HWC uint8 or uint16 in memory; only windows of it are made float and moved to the device.

    Args:
        image: HWC uint8 or uint16.
        device: where windows shall be.
        margins: pixels of its repetitions around it.
        size: (height, width) without margins; None: the image's.
    """

    def __init__(
        self,
        image: np.ndarray,
        device: torch.device,
        margins: Margins | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.image, self.device, self.margins = image, device, margins or (Margin(), Margin())
        sides = zip(size or image.shape[:2], self.margins, strict=True)
        self.height, self.width = (side + sum(margin) for side, margin in sides)

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """(1, C, h, w) float32 in [0, 1] on the device: the pixels first ... end of both axes."""
        axes = zip((rows, columns), self.margins, strict=True)
        places = [slice(start - before, stop - before) for (start, stop), (before, _) in axes]
        return to_tensor(_take(self.image, *places), self.device)


class ResizedSource(Source):
    """The image after MATLAB's bicubic `imresize` to `size`, made only where a window is.

    Args:
        image: HWC uint8 or uint16.
        device: where windows shall be.
        margins: pixels of repetitions of the result around it.
        size: (height, width) of the result, without margins.
        scale: of axes that do not wrap; others are resized to just their part of `size`.
        wraps: True for each of rows and columns if they go on with themselves.
    """

    def __init__(
        self,
        image: np.ndarray,
        device: torch.device,
        margins: Margins | None,
        size: tuple[int, int],
        scale: float,
        wraps: tuple[bool, bool],
    ) -> None:
        super().__init__(image, device, margins, size)
        axes = zip(image.shape[:2], size, wraps, strict=True)
        self._axes = [(old, new / old if wraps else scale, wraps) for old, new, wraps in axes]

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """See `Source`."""
        parts = [
            Part(length, scale, start - before, stop - before, wraps)
            for (length, scale, wraps), (start, stop), (before, _) in zip(
                self._axes, (rows, columns), self.margins, strict=True
            )
        ]
        window = to_tensor(_take(self.image, *(part.needs for part in parts)), self.device)
        return imresize_part(window, *parts)


def _take(image: np.ndarray, *places: slice) -> np.ndarray:
    """Return the pixels at these rows and columns; beyond an edge the image goes on with itself."""
    for axis, place in enumerate(places):
        if place.start >= 0 and place.stop <= image.shape[axis]:
            image = image[place] if axis == 0 else image[:, place]
        else:
            image = image.take(np.arange(place.start, place.stop), axis, mode="wrap")
    return image


class MarginPlanner:
    """Decides how much of its repetitions a network sees beyond the edges of an image that wraps.

    Args:
        network: what is run.
        wraps: True for each of rows and columns if they go on with themselves.
        overlap: pixels that are to suffice, see `Upscaler`; None: as many as the network sees.
        support: pixels of its result that are needed beyond the edges, for a resize.
    """

    def __init__(self, network: nn.Module, wraps: tuple[bool, bool], overlap: int | None, support: int) -> None:
        self._network, self._wraps, self._overlap, self._support = network, wraps, overlap, support
        self._has_warned = False

    def margins(self, size: tuple[int, int]) -> Margins:
        """Return those of an image of (height, width), as the network sees it."""
        field, axes = self._field(), zip(size, self._wraps, strict=True)
        rows, columns = (self._margin(side, field) if wraps else Margin() for side, wraps in axes)
        self._warn(size, (rows, columns), field)
        return rows, columns

    def _field(self) -> int | None:
        if self._overlap is None:
            return receptive_field_of(self._network)
        return max(self._overlap, CHROMA if facts_of(self._network).colour == "y" else 0)

    def _margin(self, length: int, field: int | None) -> Margin:
        facts = facts_of(self._network)
        beyond = -(-self._support // facts.scale)
        if field is not None:
            side = facts.fit(field + beyond)
            return Margin(side, side)
        cell = facts.size_multiple  # below, every pixel is there as often as every other one
        total = round_up(2 * (STATISTICS + beyond) + cell, length)
        before = total // 2 // cell * cell
        return Margin(before, total - before)

    def _warn(self, size: tuple[int, int], margins: Margins, field: int | None) -> None:
        axes = zip(size, margins, strict=True)
        work = math.prod((side + sum(margin)) / side for side, margin in axes)
        if self._has_warned:
            return
        if field is None:
            self._has_warned = True
            text = (
                "%s sees the whole image, or it cannot be told how far: it is shown whole "
                "repetitions, %.1f times the work, so that its statistics are the image's; what it "
                "does at their outer edges remains in them"
            )
            LOGGER.warning(text, type(self._network).__name__, work)
        elif work > COSTLY and field > NEAR:
            self._has_warned = True
            text = (
                "to wrap exactly, this network sees %d pixels beyond the edges, which makes %.1f "
                "times the work: an overlap of %d (not exact) is faster"
            )
            LOGGER.warning(text, field, work, NEAR)


RESIZED_VALUES = 2**21
"""Values of the result that are resized at once."""

Run = Callable[[Tensor], Tensor]
"""(N, C, h, w) in [0, 1] on the device -> float (N, C, scale * h, scale * w)."""


def stitch_bands(
    run: Run,
    source: Source,
    scale: int,
    grid: TileGrid,
    bits: int,
    outscale: float | None = None,
    first: int = 0,
) -> Iterator[np.ndarray]:
    """Return bands of the finished image, HWC of `bits` bits, without its margins.

    Args:
        run: the network.
        source: gives its windows.
        scale: the network's.
        grid: where the windows lie.
        bits: 8 or 16.
        outscale: the final scale, where the network's result is to be resized.
        first: row of the finished image to begin at.
    """
    floats, margins = partial(float_bands, run, source, scale, grid), source.margins
    if outscale is not None:
        axes = zip((source.height, source.width), margins, strict=True)
        sides = (Side.of(length, margin, scale, outscale) for length, margin in axes)
        return (to_image(band, bits) for band in _resized_bands(floats, *sides, first=first))
    top, left = (margin.before * scale for margin in margins)
    bands: Iterator[np.ndarray]
    if any(tile.fade_in for tile in (*grid.rows, *grid.columns)):
        bands = (to_image(band, bits) for band in floats(top + first))
    else:
        bands = _rounded_bands(run, source, scale, grid, bits, top + first)
    height = (source.height - sum(margins[0])) * scale
    width = (source.width - sum(margins[1])) * scale
    return _cropped_bands(bands, height - first, slice(left, left + width))


def _rounded_bands(
    run: Run, source: Source, scale: int, grid: TileGrid, bits: int, first: int = 0
) -> Iterator[np.ndarray]:
    """Yield bands of the finished image from row `first` on, HWC of `bits` bits.

    No tiles are cross-faded. Each tile is rounded as it comes: no band is ever held as float.
    """
    for rows in grid.rows:
        if rows.keep_stop * scale <= first:
            continue
        band: np.ndarray | None = None
        for columns, result in _run_row(run, source, rows, grid):
            place = columns.target(scale)
            part = result[..., rows.source(scale), columns.source(scale)]
            levels = to_image(part, bits)
            del result, part
            if band is None:
                shape = levels.shape[0], source.width * scale, levels.shape[2]
                band = np.empty(shape, levels.dtype)
            band[:, place] = levels
        assert band is not None
        yield band[max(0, first - rows.keep_start * scale) :]


def float_bands(run: Run, source: Source, scale: int, grid: TileGrid, first: int = 0) -> Iterator[Tensor]:
    """Yield bands (1, C, h, W) float32 on the CPU, neither clipped nor rounded, from `first` on."""
    carry: Tensor | None = None
    for rows in grid.rows:
        if rows.keep_stop * scale <= first:
            continue  # where the next row begins to count, this one has faded away
        band: Tensor | None = None
        for columns, result in _run_row(run, source, rows, grid):
            part = result[..., rows.source(scale), columns.source(scale)].to("cpu", torch.float32)
            del result
            if band is None:
                band = part.new_zeros(*part.shape[:3], source.width * scale)
            weights = _ramp(rows, scale)[:, None] * _ramp(columns, scale)
            band[..., columns.target(scale)] += part * weights
            del part
        assert band is not None
        if carry is not None:
            band[..., : carry.shape[2], :] += carry
        ready = (rows.keep_stop - rows.fade_out - rows.keep_start) * scale
        carry = band[..., ready:, :].clone() if rows.fade_out else None
        start = max(0, first - rows.keep_start * scale)
        if start < ready:
            yield band[..., start:ready, :]


def _run_row(run: Run, source: Source, rows: Tile, grid: TileGrid) -> Iterator[tuple[Tile, Tensor]]:
    """Yield the results on the tiles of a row; equally wide neighbours may be run together."""
    for _, group in itertools.groupby(grid.columns, key=lambda tile: tile.read_stop - tile.read_start):
        tiles = list(group)
        for number in range(0, len(tiles), grid.batch):
            chosen = tiles[number : number + grid.batch]
            windows = [source.window(rows[:2], tile[:2]) for tile in chosen]
            results = list(run(windows[0] if len(windows) == 1 else torch.cat(windows)).split(1))
            del windows
            while results:  # nothing here holds a result while the next one is made
                yield chosen.pop(0), results.pop(0)


def _ramp(tile: Tile, scale: int) -> Tensor:
    """Return weights: 1 inside, and over the fades such that neighbours add up to 1."""
    ramp = torch.ones((tile.keep_stop - tile.keep_start) * scale)
    rise, fall = tile.fade_in * scale, tile.fade_out * scale
    if rise:
        ramp[:rise] = (torch.arange(rise) + 0.5) / rise
    if fall:
        ramp[len(ramp) - fall :] = 1 - (torch.arange(fall) + 0.5) / fall
    return ramp


class Side(NamedTuple):
    """A side of an image that is resized."""

    length: int
    """Pixels of the image."""
    scale: float
    outputs: int
    """Pixels of the result."""
    margin: int = 0
    """Pixels of the image that bands have before its first one, where it wraps."""
    wraps: bool = False

    @classmethod
    def of(cls, length: int, margin: Margin, scale: int, outscale: float) -> Side:
        """Return how a side of a source, its margin included, is resized behind a network."""
        inner, wraps = (length - sum(margin)) * scale, any(margin)
        outputs = output_length(inner, outscale / scale)
        factor = outputs / inner if wraps else outscale / scale
        return cls(inner, factor, outputs, margin.before * scale, wraps)

    def part(self, low: int, high: int) -> Part:
        """Return pixels `low` ... `high` of the result."""
        return Part(self.length, self.scale, low, high, self.wraps)


def _resized_bands(
    bands: Callable[[int], Iterator[Tensor]], rows: Side, columns: Side, *, first: int
) -> Iterator[Tensor]:
    """Yield MATLAB's bicubic `imresize` of an image that comes in bands of rows, in small bands.

    Args:
        bands: gives those of the image with its margins, beginning at a row.
        rows: how the height is resized.
        columns: how the width is.
        first: row of the result to begin at.
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


def _cropped_bands(bands: Iterator[np.ndarray], height: int, columns: slice) -> Iterator[np.ndarray]:
    """Yield the first `height` rows of the bands, and these columns of them."""
    for band in bands:
        part = np.ascontiguousarray(band[:height, columns])
        height -= len(part)
        del band
        yield part
        if not height:
            return
