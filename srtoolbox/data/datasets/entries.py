"""The images of a dataset: pairs of stores, and the places of their images in these."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.stores.base import Places, Store
from srtoolbox.data.stores.index import blocks

_KEPT = 1 << 13  # entries that are kept ready


class Entry(NamedTuple):
    """One image: its places in its stores, its size in LQ pixels, its key."""

    gt: Store
    lq: Store | None
    gt_place: int
    lq_place: int
    height: int
    width: int
    gt_key: str

    @property
    def lq_key(self) -> str:
        return (self.lq or self.gt).keys()[self.lq_place]


class Part(NamedTuple):
    """Images of one store, or of a pair of stores; without LQ its places are those of GT."""

    gt: Store
    lq: Store | None
    gt_places: Places
    lq_places: Places


class Entries:
    """The images of some stores by number, one part after another.

    Of a million images there are some columns of numbers, no object for each. `scale` is GT size
    over LQ size.
    """

    def __init__(self, parts: Sequence[Part], scale: int) -> None:
        self.parts, self._scale = [part for part in parts if len(part.gt_places)], scale
        self._ends = list(itertools.accumulate(len(part.gt_places) for part in self.parts))
        self._kept: dict[int, Entry] = {}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> Entry:
        """Return an entry, 0 <= number < len."""
        entry = self._kept.get(number)
        if entry is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            entry = self._kept[number] = self._entry(number)
        return entry

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def _entry(self, number: int) -> Entry:
        part, local = self._locate(number)
        gt_place, lq_place = int(part.gt_places[local]), int(part.lq_places[local])
        height, width, _ = (part.lq or part.gt).shape_at(lq_place)
        if part.lq is None:
            height, width = height // self._scale, width // self._scale
        return Entry(part.gt, part.lq, gt_place, lq_place, height, width, part.gt.keys()[gt_place])

    def key(self, number: int) -> str:
        """Return the GT key of an image."""
        part, local = self._locate(number)
        return part.gt.keys()[part.gt_places[local]]

    def sizes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield heights and widths in LQ pixels (n,) of all, some ten thousand at a time."""
        for part in self.parts:
            store, places, factor = (part.lq, part.lq_places, 1) if part.lq else (part.gt, part.gt_places, self._scale)
            for block in blocks(len(places)):
                shapes = store.shapes(places[block])
                yield shapes[:, 0] // factor, shapes[:, 1] // factor

    def channels(self) -> np.ndarray:
        """Return the channels of the GT images (n,)."""
        return np.concatenate([part.gt.shapes(part.gt_places)[:, 2] for part in self.parts])

    def only(self, are_kept: np.ndarray) -> Entries:
        """Return some of the images, those where `are_kept` (n,) is True."""
        parts, start = [], 0
        for part, end in zip(self.parts, self._ends, strict=True):
            numbers = np.flatnonzero(are_kept[start:end]).astype(np.uint32)
            gt, lq = (_chosen(places, numbers) for places in (part.gt_places, part.lq_places))
            parts.append(part._replace(gt_places=gt, lq_places=gt if np.array_equal(gt, lq) else lq))
            start = end
        return Entries(parts, self._scale)

    def _locate(self, number: int) -> tuple[Part, int]:
        place = bisect.bisect_right(self._ends, number)
        return self.parts[place], number - (self._ends[place - 1] if place else 0)


def _chosen(places: Places, numbers: np.ndarray) -> np.ndarray:
    is_all = isinstance(places, range) and places == range(len(places))
    return numbers if is_all else np.asarray(places)[numbers]
