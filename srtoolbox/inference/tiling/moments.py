"""Moments, which do not depend on a tile's size: their mean over all tiles gives the sums of the whole image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from srtoolbox.inference.tiling.sums import LENGTHS, NORMALISED, SPREADS, SUMS, Values

LEAST = 1e-12  # of a deviation


def moments_of(name: str, values: Values, count: int) -> Values:
    """Return what can be averaged, of the values of a call over `count` pixels."""
    exact = torch.float32 if values[0].device.type == "mps" else torch.float64
    first, *rest = (value.to(exact) for value in values)
    if name in SPREADS:
        return first + rest[0].square(), rest[0]
    if name in LENGTHS:
        return (first.square() / count,)
    return (first / count if name in SUMS else first,)


def values_of(name: str, moments: Values, count: int) -> Values:
    """Return the values of a call over `count` pixels; the inverse of `moments_of`."""
    first, *rest = moments
    if name in SPREADS:
        variance = (first - rest[0].square()).clamp_min(0)
        return variance, rest[0]
    if name in LENGTHS:
        return ((first * count).sqrt(),)
    return (first * count if name in SUMS else first,)


TileMoments = dict[int, tuple[Values, int]]
"""Of a tile, by the number of the call, beside the pixels that they are of."""


class Average:
    """The mean moments of tiles."""

    def __init__(self, tiles: Iterable[TileMoments] = ()) -> None:
        self._total: dict[int, Values] = {}
        self._pixels: dict[int, int] = {}
        for tile in tiles:
            self.add(tile)

    def add(self, tile: TileMoments, sign: int = 1) -> None:
        """Let a tile count, or with `sign` -1 no longer."""
        for number, (moments, count) in tile.items():
            scaled = tuple(value * (sign * count) for value in moments)
            total = self._total.get(number)
            self._total[number] = scaled if total is None else tuple(map(torch.add, total, scaled))
            self._pixels[number] = self._pixels.get(number, 0) + sign * count

    def moments(self) -> dict[int, Values]:
        """Return the means, by the number of the call."""
        return {number: tuple(value / self._pixels[number] for value in total) for number, total in self._total.items()}


def change_of(before: Mapping[int, Values], after: Mapping[int, Values]) -> float:
    """Return the largest change of a mean or a deviation, in deviations."""
    changes = []
    for number, moments in after.items():
        pair = (values_of(NORMALISED, each, 1) for each in (before[number], moments))
        (old_variance, old_mean), (variance, mean) = pair
        deviation = variance.sqrt().clamp_min(LEAST)
        changes += [(mean - old_mean).abs() / deviation, (old_variance.sqrt() / deviation - 1).abs()]
    return max(float(change.amax()) for change in changes)
