"""Images that tile: what lies beyond an edge is the opposite side."""

from __future__ import annotations

import math

from torch import nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.tiling.planner import CHROMA, COSTLY, NEAR
from srtoolbox.inference.tiling.receptive_field import seen_field
from srtoolbox.inference.tiling.sources import Margin, Margins
from srtoolbox.inference.tiling.tiles import round_up
from srtoolbox.logger import LOGGER

WRAPS = ("x", "y", "xy")
STATISTICS = 64
"""Pixels beyond an edge, at least, for a network that sees the whole image: it is shown whole repetitions."""


def check_wrap(wrap: object, patches: str | None) -> None:
    """Raise SrtoolboxError where an image cannot wrap so."""
    if wrap is not None and wrap not in WRAPS:
        raise SrtoolboxError(f"wrap is one of {', '.join(WRAPS)}, or None, got {wrap!r}")
    if wrap is not None and patches == "non-overlapping":
        raise SrtoolboxError(
            "patches that do not overlap see nothing around them, so nothing can wrap around: take 'overlapping'"
        )


def wrapped_axes(wrap: str | None) -> tuple[bool, bool]:
    """Which of rows and columns go on with themselves: 'x' is from left to right, so the columns."""
    return "y" in (wrap or ""), "x" in (wrap or "")


class Wrapper:
    """Decides how much of its repetitions a network is shown beyond the edges of an image.

    Args:
        network: what is run.
        wrap: one of WRAPS, or None.
        overlap: pixels that are to suffice, see `Upscaler`; None: as many as the network sees.
        support: pixels of its result that are wanted beyond the edges, for a resize.
    """

    def __init__(self, network: nn.Module, wrap: str | None, overlap: int | None, support: int) -> None:
        self.network, self.wraps, self.overlap, self.support = network, wrapped_axes(wrap), overlap, support
        self._is_said = False

    def margins(self, size: tuple[int, int]) -> Margins:
        """For an image of (height, width), as the network sees it."""
        field = self._field() if any(self.wraps) else 0
        rows, columns = (self._margin(n, field) if w else Margin() for n, w in zip(size, self.wraps, strict=True))
        self._say(size, (rows, columns), field)
        return rows, columns

    def _field(self) -> int | None:
        field = self.overlap if self.overlap is not None else seen_field(self.network)
        return max(field, CHROMA) if field is not None and self.network.colour == "y" else field

    def _margin(self, length: int, field: int | None) -> Margin:
        cell = self.network.size_multiple
        beyond = -(-self.support // self.network.scale)
        if field is not None:
            return Margin(*[round_up(field + beyond, cell)] * 2)
        total = round_up(2 * (STATISTICS + beyond) + cell, length)  # every pixel as often as every other one
        before = total // 2 // cell * cell
        return Margin(before, total - before)

    def _say(self, size: tuple[int, int], margins: Margins, field: int | None) -> None:
        work = math.prod((n + sum(margin)) / n for n, margin in zip(size, margins, strict=True))
        if self._is_said or not any(self.wraps):
            return
        if field is None:
            self._is_said = True
            LOGGER.warning(
                "%s sees the whole image, or it cannot be told how far: it is shown whole repetitions, %.1f times "
                "the work, so that its statistics are the image's; what it does at their outer edges remains in them",
                type(self.network).__name__,
                work,
            )
        elif work > COSTLY and field > NEAR:
            self._is_said = True
            LOGGER.warning(
                "to wrap exactly, this network sees %d pixels beyond the edges, which makes %.1f times the work: an "
                "overlap of %d (not exact) is faster",
                field,
                work,
                NEAR,
            )
