"""Whole, body whole and upsampling in pieces, or tiles: what is chosen, and what comes next when memory runs out."""

from __future__ import annotations

from typing import NamedTuple

import torch

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.tiling.memory import first_line, free_bytes, shortage_told
from srtoolbox.inference.tiling.plans import AREAS, Needs, Plan, Planner, Way
from srtoolbox.inference.tiling.receptive_field import seen_field
from srtoolbox.inference.tiling.split import AREA, Splits
from srtoolbox.logger import LOGGER

FEATHER = 32
"""Pixels of overlap on either side of a seam where a network sees everything: tiles are cross-faded over them."""
CHROMA = 2
"""Pixels that the bicubic interpolation of the chroma sees, where the network upscales luma only."""
FADED = 5
"""How much more a band of cross-faded tiles takes: it is put together as float, and rounded in a copy."""
SHARE = 0.6
"""Of the free memory that 'auto' takes: others take some too, and an estimate is one."""
SMALL = 64 * 64  # pictures that take no more than finding out what they take
SMALLEST = 16  # no tile is made smaller when memory runs out
COSTLY, NEAR = 2.5, 64


class Cut(NamedTuple):
    """How one picture is done."""

    plan: Plan
    way: Way


class Cutter:
    """Decides how pictures are cut.

    Args:
        planner: knows the network and what it takes.
        device: where it runs.
        tile: side of a tile, 'auto' or None, see `Upscaler`.
        overlap: pixels around a tile, None for what makes it exact, see `Upscaler`.
        batch: how many tiles are run together.
    """

    def __init__(
        self, planner: Planner, device: torch.device, tile: int | str | None, overlap: int | None, batch: int = 1
    ) -> None:
        self.planner, self.device, self.tile, self.overlap, self.batch = planner, device, tile, overlap, batch
        self.share = SHARE
        self._warned = False

    def cut(self, size: tuple[int, int], row_bytes: int, kept: int) -> Cut:
        """The way to do a picture.

        Args:
            size: (height, width) in LR pixels.
            row_bytes: what the part of the result that belongs to one row of LR pixels takes.
            kept: bytes of the result that are not yet taken.
        """
        network = self.planner.network
        whole = Cut(Plan(None, None), Way(0, network.size_multiple, False))
        pixels = size[0] * size[1]
        if self.tile is None:
            return whole
        if isinstance(network, Splits):
            whole = Cut(Plan(None, AREA), whole.way)  # as fast as in one piece, with a fifth of the memory
        if self.tile != "auto":
            if max(size) <= self.tile:
                return whole
            return self._told(Cut(Plan((self.tile,) * 2, whole.plan.area), self._way()), size)
        room = self.share * (free_bytes(self.device) - (kept if self.device.type == "cpu" else 0))
        halo = network.reconstruct_field if isinstance(network, Splits) else 0
        if pixels <= SMALL or self._needs().of(pixels, whole.plan.area, halo) + size[0] * row_bytes <= room:
            return whole
        for way in self._ways():
            plan = self.planner.plan(way, size, row_bytes * (FADED if way.fade else 1), room, self.batch)
            if plan is not None:
                return self._told(Cut(plan, way), size)
        return self._told(
            Cut(Plan((SMALLEST, SMALLEST), AREAS[-1] if isinstance(network, Splits) else None), way), size
        )

    def smaller(self, cut: Cut, size: tuple[int, int], failure: BaseException) -> Cut:
        """What to try after memory did not suffice; later pictures are done more carefully too.

        Raises:
            SrtoolboxError: nothing smaller is left, or the whole picture in one piece was asked for.
        """
        if self.tile is None:
            raise SrtoolboxError(
                f"memory does not suffice for this picture in one piece ({first_line(failure)}), as tile=None "
                "(--tile 0) and patches want it: let tile be 'auto'"
            ) from failure
        before, ways = cut.way.largest(size, cut.plan.tile), self._ways()
        area = self._smaller_area(cut.plan.area, before)
        for way in ways[ways.index(cut.way) if cut.way in ways else 0 :]:
            tile = cut.plan.tile or size
            if cut.plan.area is not None or area is None:
                while max(tile) > SMALLEST and way.largest(size, tile) >= before:
                    tile = tuple(max(SMALLEST, -(-side // 2)) for side in tile)
            if way.largest(size, tile) < before or area != cut.plan.area:
                break
        else:
            raise SrtoolboxError(f"memory does not suffice even for small tiles ({first_line(failure)})") from failure
        LOGGER.warning("out of memory: going on with tiles of %d x %d pixels%s", *tile, " in pieces" if area else "")
        if self.tile == "auto":
            self.share /= 2
        else:
            self.tile = max(tile)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        found = Cut(Plan(tile, area), way)
        return self._told(found, size) if way.fade and not cut.way.fade else found

    def _smaller_area(self, area: int | None, window: int) -> int | None:
        """Smaller pieces for the upsampling of a window of so many pixels, where the network splits."""
        if not isinstance(self.planner.network, Splits):
            return None
        smaller = [choice for choice in AREAS if choice < window and (area is None or choice < area)]
        return smaller[0] if smaller else area

    def _needs(self) -> Needs:
        with shortage_told("even for small tiles"):
            return self.planner.needs

    def _way(self) -> Way:
        return next(iter(self._ways()))

    def _ways(self) -> list[Way]:
        """How windows may overlap, the best first."""
        multiple = self.planner.network.size_multiple
        if self.overlap is not None:
            return [Way(self.overlap, multiple, True)]
        field = seen_field(self.planner.network)
        if field is not None and self.planner.network.colour == "y":
            field = max(field, CHROMA)
        faded = Way(FEATHER, multiple, True)
        return [faded] if field is None else [Way(field, multiple, False), faded][: 1 if field <= FEATHER else 2]

    def _told(self, cut: Cut, size: tuple[int, int]) -> Cut:
        """The cut, after a word on what the user may want otherwise."""
        plan, way = cut
        work = way.work(size, plan.tile)
        LOGGER.debug("tiles %s, upsampling in pieces of %s pixels, overlap %d", plan.tile, plan.area, way.halo)
        if way.fade and self.overlap is None and seen_field(self.planner.network) is not None:
            LOGGER.warning("memory does not suffice for exact tiles: cross-fading over %d pixels instead", way.halo)
        elif work > COSTLY and way.halo > NEAR and not self._warned:
            self._warned = True
            LOGGER.warning(
                "exact tiles of this network see %d pixels around them, which makes %.1f times the work: larger tiles, "
                "or an overlap of %d (not exact), are faster",
                way.halo,
                work,
                NEAR,
            )
        return cut
