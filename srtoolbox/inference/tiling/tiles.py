"""Where tiles lie along an axis: windows of one size, whose results are put or faded together."""

from __future__ import annotations

import itertools
from typing import NamedTuple


class Span(NamedTuple):
    """A tile along an axis, in LR pixels: the network sees `start` ... `stop`, of which `low` ... `high` counts.

    Over the first `fade_in` and the last `fade_out` pixels of what counts it is cross-faded with its neighbours.
    """

    start: int
    stop: int
    low: int
    high: int
    fade_in: int = 0
    fade_out: int = 0


def spans(length: int, tile: int, halo: int, multiple: int = 1, *, fade: bool = False) -> list[Span]:
    """Windows of at most `tile` pixels plus `halo` on either side that cover an axis of `length` pixels.

    All windows are equally long (kernels that are set up for a size are set up once), as short as their number allows
    (the picture's ends need no halo), and start at multiples of `multiple`; the last one may be cut by the end.

    Args:
        length: pixels of the axis.
        tile: pixels of a tile, rounded up to `multiple`.
        halo: what each tile must at least see on either side, within the picture.
        multiple: of which starts and lengths of windows are multiples.
        fade: cross-fade over up to `halo` pixels on either side of a seam, instead of a sharp cut.
    """
    padded, tile, halo = (round_up(value, multiple) for value in (length, tile, halo))
    if padded <= tile + 2 * halo:
        return [Span(0, length, 0, length)]
    count = -(-(padded - 2 * halo) // tile)
    window = round_up(-(-(padded + 2 * halo * (count - 1)) // count), multiple)
    cells = (padded - window) // multiple
    starts = [cells * number // (count - 1) * multiple for number in range(count)]
    seams = [(previous + window + start) // 2 for previous, start in itertools.pairwise(starts)]
    borders = [0, *seams, length]
    width = min(halo, *(high - low for low, high in itertools.pairwise(borders))) // 2 * 2 if fade else 0
    half = width // 2
    return [
        Span(
            start,
            min(length, start + window),
            low - half if number else 0,
            high + half if number < count - 1 else length,
            width if number else 0,
            width if number < count - 1 else 0,
        )
        for number, (start, (low, high)) in enumerate(zip(starts, itertools.pairwise(borders), strict=True))
    ]


def round_up(value: int, multiple: int) -> int:
    """The next multiple from `value` up."""
    return -(-value // multiple) * multiple
