"""Are the degradations like real photographs? Statistics of both, compared one by one in plain sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.stores import open_store
from srtoolbox.errors import DataError
from srtoolbox.image.statistics import STATISTICS
from srtoolbox.text import counted

MORE_AND_LESS = {
    "sharpness": ("sharper", "less sharp"),
    "detail": ("richer in fine detail and noise", "poorer in fine detail and noise"),
    "noise": ("noisier", "less noisy"),
    "blockiness": ("more blocky", "less blocky"),
}
"""Of each statistic, in words."""
_ALIKE = (0.35, 0.65)  # shares between which a typical photograph is about as the others
_NEAR, _FAR = 0.2, 0.5  # distances
_OUTSIDE = 0.1
_MOST_OF_AN_IMAGE = 50  # crops


@dataclass(frozen=True)
class Comparison:
    """One statistic of what the network sees beside that of real photographs.

    Attributes:
        name: the statistic.
        above: the probability that a crop of the photographs has more of it than one that the network
            sees; equal ones count half.
        distance: Kolmogorov and Smirnov's: the largest gap between the shares of both below any value,
            0 (alike) to 1 (apart).
        beyond: the shares of the photographs' crops with less than 99 % of what the network sees, and
            with more.
    """

    name: str
    above: float
    distance: float
    beyond: tuple[float, float]

    def sentences(self) -> list[str]:
        """Return the comparison in words."""
        more, less = MORE_AND_LESS[self.name]
        if _ALIKE[0] <= self.above <= _ALIKE[1]:
            first = f"Your photos are {more} than {100 * self.above:.0f} % of what the network sees: about the middle."
        elif self.above > 0.5:
            first = f"Your photos are {more} than {100 * self.above:.0f} % of what the network sees."
        else:
            first = f"Your photos are {less} than {100 - 100 * self.above:.0f} % of what the network sees."
        how = "much alike" if self.distance < _NEAR else "overlap in part" if self.distance < _FAR else "differ"
        sentences = [first, f"Distance {self.distance:.2f} of 1: the two {'are ' * (self.distance < _NEAR)}{how}."]
        sentences += [
            f"{100 * share:.0f} % of your crops are {word} than 99 % of it: the network hardly meets their like."
            for share, word in zip(self.beyond, (less, more), strict=True)
            if share > _OUTSIDE
        ]
        return sentences


def measure(image: np.ndarray) -> dict[str, float]:
    """Return all statistics of an image (HWC), by name."""
    return {name: function(image) for name, function in STATISTICS.items()}


def compare(seen: Mapping[str, np.ndarray], yours: Mapping[str, np.ndarray]) -> list[Comparison]:
    """Compare the statistics, arrays by name, of what a network sees with those of photographs; NaN does not count."""
    comparisons = []
    for name in seen:
        first, second = (np.sort(each[name][np.isfinite(each[name])]) for each in (seen, yours))
        if len(first) and len(second):
            comparisons.append(_compare(name, first, second))
    return comparisons


def _compare(name: str, seen: np.ndarray, yours: np.ndarray) -> Comparison:
    below = np.searchsorted(seen, yours, side="left")
    not_above = np.searchsorted(seen, yours, side="right")
    places = np.concatenate([seen, yours])
    gap = np.searchsorted(seen, places, "right") / len(seen) - np.searchsorted(yours, places, "right") / len(yours)
    low, high = np.quantile(seen, (0.01, 0.99))
    return Comparison(
        name,
        above=float((below + not_above).mean() / 2 / len(seen)),
        distance=float(np.abs(gap).max()),
        beyond=(float((yours < low).mean()), float((yours > high).mean())),
    )


# ---- the photographs


class Photos:
    """Crops of a folder's images, as large as what the network sees.

    Args:
        folder: any store: a folder, an LMDB.
        size: height and width of a crop.
        channels: 3, or 1 for the mean of the colours.
        most: so many crops at most, evenly from all images, each place drawn at random (always the same).

    Attributes:
        note: how many crops of how many images there are, and how many images are too small for any.

    Raises:
        MissingDataError: no such folder.
        DataError: it holds no images, or only smaller ones.
    """

    def __init__(self, folder: str | os.PathLike[str], size: tuple[int, int], channels: int, most: int) -> None:
        self._store, self._size, self._channels = open_store(folder), size, channels
        keys = self._store.keys()
        shapes = self._store.shapes(range(len(keys)))
        fits = np.flatnonzero((shapes[:, 0] >= size[0]) & (shapes[:, 1] >= size[1]))
        small = len(keys) - len(fits)
        height, width = size
        if not len(fits):
            raise DataError(
                f"{folder}: {counted(small, 'image')}, all smaller than the {width} x {height} px that the network sees"
            )
        if len(fits) > most:
            fits = fits[np.linspace(0, len(fits) - 1, most).round().astype(int)]
        self._of_each = min(-(-most // len(fits)), _MOST_OF_AN_IMAGE)
        self._places = fits
        left_out = f"; {small:,} of {len(keys):,} left out: smaller than {width} x {height} px" if small else ""
        self.note = f"{counted(len(self), 'crop')} of {counted(len(fits), 'photo')}{left_out}"

    def __len__(self) -> int:
        return len(self._places) * self._of_each

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield crops (h, w, C) uint8 or uint16."""
        for place in self._places.tolist():
            image = self._store.read_at(place)
            if self._channels == 1 and image.shape[2] == 3:
                image = np.rint(image.mean(axis=2, keepdims=True)).astype(image.dtype)
            rng = Rng(0, place)
            for _ in range(self._of_each):
                top, left = (rng.integers(0, image.shape[axis] - self._size[axis] + 1) for axis in (0, 1))
                yield image[top : top + self._size[0], left : left + self._size[1]]


def measure_all(images: Sequence[np.ndarray] | Photos, progress: Callable[[float, int], None]) -> dict[str, np.ndarray]:
    """Return the statistics of images, arrays by name; `progress` takes (done, of)."""
    rows = []
    for number, image in enumerate(images, 1):
        rows.append(measure(image))
        progress(number, len(images))
    return {name: np.array([row[name] for row in rows]) for name in STATISTICS}
