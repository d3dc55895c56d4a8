"""Plans for cutting an image so that it fits into the memory there is, with the least work."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.restore import PIECE
from srtoolbox.inference.tiling.coarse_maps import step_of
from srtoolbox.inference.tiling.grid import Margin, Margins, TileGrid, cut_axis, round_up
from srtoolbox.inference.tiling.memory import MemoryModel, free_bytes, shortage_as_error
from srtoolbox.inference.tiling.receptive_field import CHROMA, receptive_field_of
from srtoolbox.interfaces import Opaque, Splittable, facts_of, unwrap
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line

Size = tuple[int, int]  # (height, width)
SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32)
PIECES = (PIECE, PIECE // 4, PIECE // 16)
# pixels on either side of a seam over which what sees everything is cross-faded, at least
FEATHER = 32
WINDOWS = 2  # of attention, over which it is: see docs/large_images.md
CELLS = 16  # of coarse maps, over which it is
FADE_FACTOR = 5  # memory of a cross-faded band to a sharp one: it is a float, and rounded in a copy
COSTLY = 2.5  # the work for an image, as a multiple of its pixels, from which on users are told
NEAR = 64  # the overlap that is proposed to them instead
SHARE = 0.6  # of the free memory, that 'auto' takes: it is an estimate, and others need some, too
STATISTICS = 64  # pixels of repetitions beyond an edge, at least, for what sees everything
SMALL = 64 * 64  # pixels of an image that takes no more than finding out what it takes
SMALLEST = 16  # no tile is made smaller when memory runs out


class Overlap(NamedTuple):
    """The overlap of the windows of neighbouring tiles."""

    halo: int  # pixels that a tile sees around it, at least
    multiple: int  # divides starts and sides of windows
    is_faded: bool  # cross-faded; else the cut is sharp, exact where the halo suffices
    window: Size | None = None  # the only one, halo included; None: any
    # the `size_multiple`, where tiles begin at multiples seen from both ends
    cell: int | None = None

    def grid(self, size: Size, tile: Size, batch: int = 1) -> TileGrid:
        """Return the tiles of an image, with sides of at most `tile` and the halo, in groups."""
        is_fixed, cut = self.window is not None, {"halo": self.halo, "multiple": self.multiple}
        if self.window is not None:
            tile = (self.window[0] - 2 * self.halo, self.window[1] - 2 * self.halo)
        rows, columns = (
            cut_axis(length, side, **cut, fade=self.is_faded, is_fixed=is_fixed, odd=self._odd(length))
            for length, side in zip(size, tile, strict=True)
        )
        return TileGrid(rows, columns, batch)

    def _odd(self, length: int) -> int:
        """Return by how many pixels an axis is longer than a multiple, where that matters."""
        return 0 if self.cell is None else round_up(length, self.cell) % self.multiple


def tile_multiple(network: nn.Module) -> int:
    """Return what divides starts and sides of tiles.

    Windows of attention, and the cells of coarse maps, lie in them as in the whole.
    """
    multiple = math.lcm(facts_of(network).size_multiple, getattr(unwrap(network), "padded_multiple", 1))
    return multiple if _is_local(network) else math.lcm(multiple, step_of(network))


def _is_local(network: nn.Module) -> bool:
    return facts_of(network).input_size is not None or receptive_field_of(network) is not None


def fixed_overlap(network: nn.Module, overlap: int | None = None) -> Overlap | None:
    """Return how the windows of a network of one input size overlap; None: it takes any size.

    They are exact where the size leaves something beside what the network sees, else cross-faded.
    """
    facts = facts_of(network)
    if facts.input_size is None:
        return None
    side, multiple, field = min(facts.input_size), facts.size_multiple, receptive_field_of(network)
    if overlap is None and field is not None and side - 2 * round_up(field, multiple) >= multiple:
        return Overlap(round_up(field, multiple), multiple, False, facts.input_size)
    halo = min(FEATHER if overlap is None else overlap, side // 4) // multiple * multiple
    return Overlap(halo, multiple, True, facts.input_size)


class TilePlan(NamedTuple):
    """The windows and pieces in which one image is run through the network."""

    tile: Size | None  # sides of a tile without its halo; None: one window for the whole image
    piece: int | None  # LR pixels of the pieces in which a window is upsampled; None: in one
    overlap: Overlap

    def grid(self, size: Size, batch: int = 1) -> TileGrid:
        """Return the tiles of an image, run in groups of `batch`."""
        return self.overlap.grid(size, self.tile or size, batch)


class TilePlanner:
    """Decides how images are cut.

    Args:
        network: one of NETWORKS, bare; on its device, in evaluation mode when a plan is asked for.
        memory: returns what the network takes.
        device: where it runs.
        tile, overlap, batch, ensemble: as in `Upscaler`.
    """

    def __init__(
        self,
        network: nn.Module,
        memory: Callable[[], MemoryModel],
        device: torch.device,
        tile: int | str | None,
        overlap: int | None,
        batch: int = 1,
        ensemble: bool = False,
    ) -> None:
        self.network, self.memory, self.device = network, memory, device
        self.tile, self.overlap, self.batch = tile, overlap, batch
        self._cell = facts_of(network).size_multiple if ensemble else None
        self.share = SHARE
        self._pieces: tuple[int | None, ...] = PIECES if isinstance(network, Splittable) else (None,)
        self._fixed = fixed_overlap(network, overlap)
        self.halo = network.reconstruct_field if isinstance(network, Splittable) else 0
        self._has_warned = False

    @property
    def sees_all(self) -> bool:
        """True for a network that sees the whole image, as far as is known, and shows how."""
        is_hidden = isinstance(self.network, Opaque) or self._fixed is not None
        return not is_hidden and receptive_field_of(self.network) is None

    def plan(self, size: Size, row_bytes: int, result_bytes: int) -> TilePlan:
        """Return how to run an image.

        Args:
            size: (height, width) in LR pixels.
            row_bytes: memory of the part of the result that belongs to one row of LR pixels.
            result_bytes: memory of the whole result, where it is kept and not yet there; else 0.
        """
        if self._fixed is not None:
            return TilePlan(None, None, self._fixed)
        exact = Overlap(0, facts_of(self.network).size_multiple, False)
        whole = TilePlan(None, None if self.tile is None else self._pieces[0], exact)
        pixels = size[0] * size[1]
        if self.tile is None or (self.tile == "auto" and pixels <= SMALL):
            return whole
        if isinstance(self.tile, int):
            if max(size) <= self.tile:
                return whole
            tiled = whole._replace(tile=(self.tile, self.tile), overlap=self._overlaps()[0])
            return self._with_warnings(tiled, size)
        kept = result_bytes if self.device.type == "cpu" else 0
        room = self.share * (free_bytes(self.device) - kept)
        with shortage_as_error("even for small tiles"):
            memory = self.memory()
        if memory.bytes_of(pixels, whole.piece, self.halo) + size[0] * row_bytes <= room:
            return whole
        overlaps = self._overlaps()
        for overlap in overlaps:
            band_bytes = row_bytes * (FADE_FACTOR if overlap.is_faded else 1)
            plan = self._least_work(overlap, size, band_bytes, room, memory)
            if plan is not None:
                return self._with_warnings(plan, size)
        least = TilePlan((SMALLEST, SMALLEST), self._pieces[-1], overlaps[-1])
        return self._with_warnings(least, size)

    def smaller(self, plan: TilePlan, size: Size, failure: BaseException) -> TilePlan:
        """Return what to try after memory did not suffice; later images are done more carefully.

        Raises:
            SrtoolboxError: nothing smaller is left, or the whole image in one piece was asked for.
        """
        if self.tile is None:
            raise SrtoolboxError(
                f"memory does not suffice for this image in one piece ({first_line(failure)}), as "
                "tile=None (--tile 0) and patches want it: let tile be 'auto'"
            ) from failure
        after, reason = self._next_smaller(plan, size), first_line(failure)
        if after is None:
            raise SrtoolboxError(f"memory does not suffice even for small tiles ({reason})") from failure
        side, pieces = after.tile or size, " in pieces" if after.piece else ""
        LOGGER.warning("out of memory: going on with tiles of %d x %d pixels%s", *side, pieces)
        if self.tile == "auto":
            self.share /= 2
        else:
            self.tile = max(side)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        is_newly_faded = after.overlap.is_faded and not plan.overlap.is_faded
        return self._with_warnings(after, size) if is_newly_faded else after

    def _next_smaller(self, plan: TilePlan, size: Size) -> TilePlan | None:
        """Return the next plan with smaller windows or pieces; None: there is none."""
        if plan.overlap.window is not None:
            return None
        before, overlaps = plan.grid(size).largest_window, self._overlaps()
        limit = before if plan.piece is None else min(before, plan.piece)
        piece = next((each for each in self._pieces if each is not None and each < limit), plan.piece)
        has_pieces = plan.piece is not None or piece is None
        first = overlaps.index(plan.overlap) if plan.overlap in overlaps else 0
        for overlap in overlaps[first:]:
            tile = plan.tile or size
            window = overlap.grid(size, tile).largest_window
            while has_pieces and max(tile) > SMALLEST and window >= before:
                height, width = (max(SMALLEST, -(-side // 2)) for side in tile)
                tile, window = (height, width), overlap.grid(size, (height, width)).largest_window
            if window < before or piece != plan.piece:
                return TilePlan(tile, piece, overlap)
        return None

    def _least_work(
        self, overlap: Overlap, size: Size, row_bytes: int, room: float, memory: MemoryModel
    ) -> TilePlan | None:
        """Return the plan of least work that fits into `room` bytes; None: none fits."""
        pairs = itertools.product(SIDES, SIDES)
        tiles = [None, *((rows, columns) for columns, rows in pairs if rows <= columns)]
        best: tuple[float, TilePlan] | None = None
        for tile in tiles:
            grid = overlap.grid(size, tile or size, self.batch)
            window, together = grid.largest_window, min(self.batch, len(grid.columns))
            band = max(row.keep_stop - row.keep_start for row in grid.rows) * row_bytes
            for piece in self._pieces:
                # the upsampling is about half of the work
                overlap_work = (piece**0.5 + 2 * self.halo) ** 2 / piece if piece else 1.0
                work = grid.work(size) * (1 + overlap_work) / 2
                needed = together * memory.bytes_of(window, piece, self.halo) + band
                if needed <= room and (best is None or work < best[0]):
                    best = work, TilePlan(tile, piece, overlap)
        return best[1] if best else None

    def _overlaps(self) -> list[Overlap]:
        """Return how windows may overlap, the best first."""
        multiple = tile_multiple(self.network)
        if self.overlap is not None:
            return [Overlap(self.overlap, multiple, True, cell=self._cell)]
        windows = WINDOWS * multiple if multiple > facts_of(self.network).size_multiple else 0
        field = receptive_field_of(self.network)
        cells = CELLS * step_of(self.network) if field is None else 0
        faded = Overlap(max(FEATHER, windows, cells), multiple, True, cell=self._cell)
        if field is None:
            return [faded]
        return [Overlap(field, multiple, False), faded][: 1 if field <= FEATHER else 2]

    def _with_warnings(self, plan: TilePlan, size: Size) -> TilePlan:
        """Return the plan after a word on what the user may want otherwise."""
        halo, work = plan.overlap.halo, plan.grid(size).work(size)
        LOGGER.debug("tiles %s, upsampling in pieces of %s pixels, overlap %d", plan.tile, plan.piece, halo)
        is_exact = self.overlap is None and receptive_field_of(self.network) is not None
        if plan.overlap.is_faded and is_exact:
            LOGGER.warning("memory does not suffice for exact tiles: cross-fading over %d pixels instead", halo)
        elif work > COSTLY and halo > NEAR and not plan.overlap.is_faded and not self._has_warned:
            self._has_warned = True
            text = (
                "exact tiles of this network see %d pixels around them, which makes %.1f times the "
                "work: larger tiles, or an overlap of %d (not exact), are faster"
            )
            LOGGER.warning(text, halo, work, NEAR)
        return plan


class MarginPlanner:
    """Decides how much of its repetitions a network sees beyond the edges of an image that wraps.

    Args:
        network, overlap: as in `Upscaler`.
        wraps: True for each of rows and columns if they go on with themselves.
        support: pixels of its result that are needed beyond the edges, for a resize.
    """

    def __init__(self, network: nn.Module, wraps: tuple[bool, bool], overlap: int | None, support: int) -> None:
        self._network, self._wraps, self._overlap, self._support = network, wraps, overlap, support
        self._has_warned = False

    def margins(self, size: tuple[int, int]) -> Margins:
        """Return those of an image of (height, width), as the network sees it."""
        if self._overlap is None:
            field = receptive_field_of(self._network)
        else:
            field = max(self._overlap, CHROMA if facts_of(self._network).colour == "y" else 0)
        axes = zip(size, self._wraps, strict=True)
        rows, columns = (self._margin(side, field) if wraps else Margin() for side, wraps in axes)
        if not self._has_warned:
            self._warn(size, (rows, columns), field)
        return rows, columns

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
