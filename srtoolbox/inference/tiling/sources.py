"""Windows of an image, of its interpolation, or of its repetitions where it wraps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.image import to_tensor
from srtoolbox.inference.tiling.receptive_field import CHROMA, receptive_field_of
from srtoolbox.inference.tiling.tiles import COSTLY, NEAR, round_up
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.resize import Part, imresize_part

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
