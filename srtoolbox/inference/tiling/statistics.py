"""The sums of the whole image (channel attention, normalisation), given to its tiles.

Such sums let a network see the whole image, whatever else it sees; with those of the whole image
given, a tile becomes what it is in the whole. They are measured first, in a round over all tiles or
two: each has its own sums, and their mean over what is kept of the tiles is given to all of them.
Sums that depend on earlier ones are near to the whole image's then, not equal; being the same for
all tiles, they make no seams. Normalisations in a row take rounds until they settle. Beside the
sums, tiles get the sizes of coarse maps, see `coarse_maps`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import OpOverload, named_arguments
from srtoolbox.inference.replay import Upscaled
from srtoolbox.inference.restore import (
    ORIENTATIONS,
    AutocastRestore,
    Orientation,
    PiecewiseUpsampling,
    SelfEnsemble,
    checked,
)
from srtoolbox.inference.tiling.coarse_maps import ENLARGING, CoarseMap, Place, enlarge, whole_maps
from srtoolbox.inference.tiling.grid import Tile, TileGrid
from srtoolbox.inference.tiling.planner import tile_multiple
from srtoolbox.inference.tiling.source import Source
from srtoolbox.inference.tiling.sums import (
    LENGTHS,
    NO_SUMS,
    NORMALISED,
    Average,
    Compute,
    ImageSums,
    Summing,
    TileMoments,
    Values,
    change_of,
    moments_of,
    values_of,
)
from srtoolbox.logger import LOGGER

MANY = 8  # sums, from which on a second round is worth its time
MOST = 8  # rounds for normalisations in a row
# of a deviation: the change of means and deviations in a round, from which on they are settled
SETTLED = 0.03


class _Kept(NamedTuple):
    """Part of a tile that is kept, as shares of its sides."""

    rows: tuple[float, float]
    columns: tuple[float, float]
    size: tuple[int, int]  # of the tile

    def turned(self, orientation: Orientation) -> _Kept:
        """Return the same part of the tile as it is turned."""
        is_transposed, flips = orientation
        rows, columns = (self.columns, self.rows) if is_transposed else (self.rows, self.columns)
        rows = (1 - rows[1], 1 - rows[0]) if -2 in flips else rows
        columns = (1 - columns[1], 1 - columns[0]) if -1 in flips else columns
        return _Kept(rows, columns, self.size[::-1] if is_transposed else self.size)

    def crop(self, tensor: Tensor, axes: Sequence[int]) -> Tensor:
        """Return that part of what a call reads; all of it if its axes are not rows and columns."""
        if len(axes) == 1 and tensor.shape[axes[0]] == self.size[0] * self.size[1]:
            pixels = self.crop(tensor.unflatten(axes[0], self.size), (axes[0], axes[0] + 1))
            return pixels.flatten(axes[0], axes[0] + 1)
        if len(axes) != 2:
            return tensor
        for axis, (start, stop) in zip(axes, (self.rows, self.columns), strict=True):
            first = round(start * tensor.shape[axis])
            tensor = tensor.narrow(axis, first, max(1, round(stop * tensor.shape[axis]) - first))
        return tensor


class WholeImage(NamedTuple):
    """Values of the whole image that tiles get.

    Attributes:
        sums: what is summed over it.
        moments: of each of these, by the number of its call; {}: each tile has its own.
        maps: coarse maps that are enlarged to its size, by the number of the call.
    """

    sums: ImageSums
    moments: Mapping[int, Values]
    maps: Mapping[int, CoarseMap]


class _Given(Summing):
    """Gives the sums of the whole image to a batch of tiles, and enlarges coarse maps as there.

    Args:
        whole: what is given.
        batch: tiles.
        places: where these lie; empty: unknown, each has its own maps.
    """

    def __init__(self, whole: WholeImage, batch: int, places: Sequence[Place]) -> None:
        super().__init__()
        self.sums, self.moments, self.maps = whole
        self.batch, self.places = batch, places
        self.names: list[str] = []
        self.enlarged = 0

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Run an operator."""
        if func.overloadpacket.__name__ != ENLARGING:
            return super().run(func, args, kwargs)
        whole = self.maps.get(self.enlarged) if self.places else None
        self.enlarged += 1
        given = enlarge(named_arguments(func, args, kwargs), whole, self.places) if whole else None
        return func(*args, **kwargs) if given is None else given

    def total(self, name: str, compute: Compute, tensors: Sequence[Tensor]) -> Values:
        """Return the image's values, where the call is a sum over it and they are known."""
        number, own = len(self.names), compute(*tensors)
        self.names.append(name)
        if number not in self.moments:
            return own
        values = values_of(name, self.moments[number], _pixels(tensors, self.sums.axes[number]))
        pairs = zip(values, own, strict=True)
        return tuple(value.to(tile.dtype).repeat(self.batch, *[1] * (tile.dim() - 1)) for value, tile in pairs)


class _Measured(_Given):
    """Keeps the moments of a tile's sums over what is kept of it, beside the count of pixels."""

    def __init__(self, whole: WholeImage, place: Place, orientations: Sequence[Orientation]) -> None:
        super().__init__(whole, 1, [place])
        self.kept = [kept_part(*place).turned(orientation) for orientation in orientations]
        self.own: TileMoments = {}

    def total(self, name: str, compute: Compute, tensors: Sequence[Tensor]) -> Values:
        """Return the same values."""
        axes = self.sums.axes.get(len(self.names))
        if axes is not None:
            # each orientation has as many sums; around the ensemble there are none
            kept = self.kept[len(self.own) * len(self.kept) // len(self.sums.axes)]
            chosen = [kept.crop(*each) for each in zip(tensors, axes, strict=True)]
            count = _pixels(chosen, axes)
            self.own[len(self.names)] = moments_of(name, compute(*chosen), count), count
        return super().total(name, compute, tensors)


def _pixels(tensors: Sequence[Tensor], axes: Sequence[Sequence[int]]) -> int:
    return math.prod(tensors[0].shape[axis] for axis in axes[0])


class ImageStatistics:
    """A run of tiles, a `stitch.CheckedRun`, to which what the whole image has is given.

    Args:
        run: that of single windows.
        given: what tiles get.
        places: where the tiles of the next batch lie, see `at`.
    """

    def __init__(self, run: AutocastRestore, given: WholeImage, places: Sequence[Place] = ()) -> None:
        self.run, self.given, self.places = run, given, places

    def at(self, rows: Tile, columns: Sequence[Tile]) -> ImageStatistics:
        """Return how windows that lie there are run."""
        return ImageStatistics(self.run, self.given, [(rows, tile) for tile in columns])

    def __call__(self, lq: Tensor) -> Tensor:
        """Run a batch of tiles, see `AutocastRestore`."""
        return checked(self, lq)

    def unchecked(self, flags: list[Tensor], lq: Tensor) -> Tensor:
        """Do the same without waiting."""
        with _Given(self.given, len(lq), self.places):
            return self.run.unchecked(flags, lq)

    def whole(self, batch: Tensor, bits: int) -> Upscaled:
        """Run on a whole image, which has its sums itself."""
        return self.run.whole(batch, bits)

    def fall_back(self) -> None:
        """Go on in float32."""
        self.run.fall_back()


def rounds_for(sums: ImageSums) -> int:
    """Return 2 for sums that depend on each other, or vectors divided by lengths; else 1.

    For normalisations in a row it is the most: as many as there are, in which they become exact, up
    to `MOST`.
    """
    names = {sums.names[number] for number in sums.axes}
    if are_in_a_row(sums):
        return min(len(sums.axes), MOST)
    return 1 if NORMALISED in names or (len(sums.axes) < MANY and not names & LENGTHS) else 2


def are_in_a_row(sums: ImageSums) -> bool:
    """True for normalisations alone: in the second round they may be further off than in the first.

    Features are normalised by moments that were measured before those of earlier layers changed. So
    each tile gets what the ones before have just found.
    """
    return {sums.names[number] for number in sums.axes} == {NORMALISED}


def measure_statistics(
    run: AutocastRestore, sums: ImageSums, source: Source, grid: TileGrid, rounds: int | None = None
) -> ImageStatistics | None:
    """Return the run with the sums and the maps of an image, from runs of its tiles.

    None: there are none, or they cannot be told.

    Args:
        run, sums: that of single windows, and what it sums.
        source, grid: what gives its windows, and where they lie.
        rounds: runs of each tile; each but the first is given what the one before has found. None:
            `rounds_for` says it; normalisations in a row may settle before.

    Raises:
        SrtoolboxError: the network's values are not finite in float32 either.
    """
    whole = WholeImage(sums, {}, _maps(run.network, source))
    most, done = (rounds or rounds_for(sums)) if sums.axes else 0, 0
    latest: list[TileMoments] | None = [] if are_in_a_row(sums) else None
    while done < most:
        flags: list[Tensor] = []
        found = _round(run, whole, source, grid, flags, latest)
        if found is None:
            LOGGER.debug("%s does not sum over all tiles alike", type(run.network).__name__)
            whole, done = whole._replace(sums=NO_SUMS, moments={}), most
        elif bool(torch.stack(flags).all()):
            before, done = whole.moments, done + 1
            whole = whole._replace(moments=found)
            if rounds is None and latest is not None and before and change_of(before, found) < SETTLED:
                break
        else:
            run.fall_back()
            whole, done = whole._replace(moments={}), 0
            latest = None if latest is None else []
    return ImageStatistics(run, whole) if whole.moments or whole.maps else None


def _maps(network: nn.Module, source: Source) -> dict[int, CoarseMap]:
    """Return the maps of an image, in all orientations in which the network runs."""
    inner = network.network if isinstance(network, SelfEnsemble) else network
    bare = inner.network if isinstance(inner, PiecewiseUpsampling) else inner
    return whole_maps(bare, (source.height, source.width), tile_multiple(bare), _orientations(network))


def _orientations(network: nn.Module) -> Sequence[Orientation]:
    """Return in which a network runs, one after the other."""
    return ORIENTATIONS if isinstance(network, SelfEnsemble) else ORIENTATIONS[:1]


def _round(
    run: AutocastRestore,
    given: WholeImage,
    source: Source,
    grid: TileGrid,
    flags: list[Tensor],
    latest: list[TileMoments] | None,
) -> dict[int, Values] | None:
    """Return the mean moments of all tiles; None: a tile has others.

    Whether results are finite is added to `flags`.

    `latest` are those of each tile from the round before, which are replaced, and their mean is
    given to the next tile; None: all are given the same.
    """
    is_first = not latest
    average = Average(latest or ())
    for number, (rows, columns) in enumerate(itertools.product(grid.rows, grid.columns)):
        if latest is not None and not is_first:
            given = given._replace(moments=average.moments())
        window = source.window(rows[:2], columns[:2])
        with _Measured(given, (rows, columns), _orientations(run.network)) as tile:
            run.unchecked(flags, window)
        if tile.names != given.sums.names:
            return None
        average.add(tile.own)
        if latest is not None and is_first:
            latest.append(tile.own)
        elif latest is not None:
            average.add(latest[number], -1)
            latest[number] = tile.own
    return average.moments()


def kept_part(rows: Tile, columns: Tile) -> _Kept:
    """Return what a tile is the one to count, up to the middles of its cross-fades."""
    parts = []
    for tile in (rows, columns):
        first, end = tile.keep_start + tile.fade_in // 2, tile.keep_stop - tile.fade_out // 2
        parts.append(((first - tile.read_start) / tile.length, (end - tile.read_start) / tile.length))
    return _Kept(parts[0], parts[1], (rows.length, columns.length))
