"""Places of tiles, along an axis and in a grid over an image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple


class Tile(NamedTuple):
    """A tile along one axis, in LR pixels.

    The network reads `read_start` ... `read_stop`, and `keep_start` ... `keep_stop` is kept of its
    result. Neighbours are cross-faded over the first `fade_in` and the last `fade_out` of these.
    """

    read_start: int
    read_stop: int
    keep_start: int
    keep_stop: int
    fade_in: int = 0
    fade_out: int = 0

    @property
    def length(self) -> int:
        """Pixels that the network reads."""
        return self.read_stop - self.read_start

    def source(self, scale: int) -> slice:
        """Return the place of the kept part in the network's result on this tile."""
        offset = self.read_start
        return slice((self.keep_start - offset) * scale, (self.keep_stop - offset) * scale)

    def target(self, scale: int) -> slice:
        """Return the place of the kept part in the whole result."""
        return slice(self.keep_start * scale, self.keep_stop * scale)


class TileGrid(NamedTuple):
    """Tiles of both axes, and the number of neighbours in a row that are run together."""

    rows: Sequence[Tile]
    columns: Sequence[Tile]
    batch: int = 1

    @property
    def largest_window(self) -> int:
        """Pixels that the network reads at most at once, but for `batch`."""
        return max(tile.length for tile in self.rows) * max(tile.length for tile in self.columns)

    def work(self, size: tuple[int, int]) -> float:
        """Return the pixels that the network reads as a multiple of those of an image."""
        read = math.prod(sum(tile.length for tile in axis) for axis in (self.rows, self.columns))
        return read / math.prod(size)


class Margin(NamedTuple):
    """Pixels before and after an axis in which it goes on with itself, as often as it takes."""

    before: int = 0
    after: int = 0


Margins = tuple[Margin, Margin]
"""Those of the rows and of the columns."""


def cut_axis(
    length: int, side: int, halo: int, multiple: int = 1, *, fade: bool = False, is_fixed: bool = False, odd: int = 0
) -> list[Tile]:
    """Return tiles of at most `side` pixels plus `halo` on either side that cover an axis.

    All windows are equally long (kernels that are set up for a size are set up once), as short as
    their number allows (the image's ends need no halo); the last one may be cut by the end.

    Args:
        length: pixels of the axis.
        side: pixels of a tile, rounded up to `multiple`.
        halo: pixels that each tile sees at least on either side, within the image.
        multiple: divides starts and lengths of windows.
        fade: cross-fade over up to `halo` pixels on either side of a seam, instead of a sharp cut.
        is_fixed: no window is shorter than `side` and both halos, unless the axis is.
        odd: pixels that all windows are longer than a multiple, as the axis is (the last window
            may be cut by the end): seen from the other end, they begin at multiples as well.
    """
    if odd:
        tiles = cut_axis(round_up(length - odd, multiple), side, halo, multiple, fade=fade, is_fixed=is_fixed)
        longer = [tile._replace(read_stop=min(length, tile.read_stop + odd)) for tile in tiles]
        return [*longer[:-1], longer[-1]._replace(keep_stop=length)]
    padded, side, halo = (round_up(value, multiple) for value in (length, side, halo))
    if padded <= side + 2 * halo:
        return [Tile(0, length, 0, length)]
    count = -(-(padded - 2 * halo) // side)
    window = round_up(-(-(padded + 2 * halo * (count - 1)) // count), multiple)
    window = side + 2 * halo if is_fixed else window
    cells = (padded - window) // multiple
    starts = [cells * number // (count - 1) * multiple for number in range(count)]
    seams = [(before + window + start) // 2 for before, start in itertools.pairwise(starts)]
    parts = list(itertools.pairwise([0, *seams, length]))
    width = min(halo, *(stop - start for start, stop in parts)) // 2 * 2 if fade else 0
    tiles = []
    for number, (start, (first, end)) in enumerate(zip(starts, parts, strict=True)):
        fade_in, fade_out = (width if number else 0), (width if number < count - 1 else 0)
        keep = first - fade_in // 2, end + fade_out // 2
        tiles.append(Tile(start, min(length, start + window), *keep, fade_in, fade_out))
    return tiles


def round_up(value: int, multiple: int) -> int:
    """Return the next multiple from `value` up."""
    return -(-value // multiple) * multiple
