"""Is one network better than another? Paired tests over the images of a set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from srtoolbox.text import counted

LEVEL = 0.05
"""Below it a difference counts as significant."""
EXACT_UP_TO = 200
"""Images up to which the distribution of rank sums is counted, not taken for normal."""
_DIGITS = 10
"""Decimals to which differences that are equal but for rounding are ties."""

ImageScores = Mapping[str, float]


class SignedRank(NamedTuple):
    """A two-sided Wilcoxon signed-rank test of paired numbers."""

    p: float
    excess: float
    """Sum of the ranks of positive differences less that of the negative ones."""


def signed_rank(differences: Sequence[float] | np.ndarray) -> SignedRank:
    """Test whether differences of pairs lie around 0.

    Zeros are ranked and then left out (Pratt, JASA 1959); ties have their mean rank. Up to
    `EXACT_UP_TO` differences p is exact for just these ranks, ties included: all signs are counted.
    Of more it is that of a normal distribution with the variance of these ranks.

    Args:
        differences: (n,), infinite ones are allowed.

    Returns:
        the test; p is nan where a difference is, and 1 where all are 0.
    """
    values = np.round(np.asarray(differences, dtype=np.float64), _DIGITS)
    if np.isnan(values).any():
        return SignedRank(math.nan, math.nan)
    _, place, sizes = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(sizes) - sizes + 1)[place]  # twice the mean rank of those that tie: whole
    ranks = doubled[values != 0]
    excess = int(ranks[values[values != 0] > 0].sum() * 2 - ranks.sum())
    if len(values) <= EXACT_UP_TO:
        p = _exact(ranks, abs(excess))
    else:
        spread = math.sqrt(float(np.square(ranks.astype(np.float64)).sum()))
        p = math.erfc(abs(excess) / spread / math.sqrt(2)) if spread else 1.0
    return SignedRank(min(p, 1.0), excess / 2)


def _exact(ranks: np.ndarray, excess: int) -> float:
    """Return the share of all signs whose sum of ranks is as far from 0 as `excess`, or farther."""
    total = int(ranks.sum())
    shares = np.zeros(total + 1)  # by the sum of the positive ones
    shares[0] = 1
    for rank in ranks:
        shares[rank:] = shares[rank:] / 2 + shares[: total + 1 - rank] / 2
        shares[:rank] /= 2
    least = (total + excess) // 2  # the sum of the positive ones at that excess
    return 2 * float(shares[least:].sum())


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p-values of tests made together, so that the chance of any wrong claim stays below the
    level (Holm, Scand. J. Statistics 1979). nan stays nan, and counts as a test.
    """
    order = sorted(range(len(values)), key=lambda number: (math.isnan(values[number]), values[number]))
    adjusted, largest = [math.nan] * len(values), 0.0
    for step, number in enumerate(order):
        if not math.isnan(values[number]):
            largest = max(largest, min(1.0, (len(values) - step) * values[number]))
            adjusted[number] = largest
    return adjusted


class Comparison(NamedTuple):
    """Two networks on the images of a set, by one metric.

    `first` has the better mean. `p` is adjusted for all pairs of networks (`pairs`) of this set and
    metric; `agrees` is False where the ranks speak for `second` nevertheless.
    """

    set_name: str
    metric: str
    first: str
    second: str
    wins: int
    """Images on which `first` is better."""
    images: int
    p: float
    pairs: int
    agrees: bool

    @property
    def is_significant(self) -> bool:
        """True if `first` is better than `second` beyond chance."""
        return self.agrees and self.p < LEVEL

    @property
    def least(self) -> float:
        """The least p that so many images can give, adjusted for the pairs."""
        return min(1.0, self.pairs * 2.0 ** (1 - self.images))

    @property
    def can_show(self) -> bool:
        """True if the images suffice to show a difference."""
        return self.least < LEVEL

    def sentence(self) -> str:
        """Return the outcome in words, without set and metric."""
        if math.isnan(self.p):
            return f"{self.first} and {self.second} cannot be compared: a score is not a number"
        p = f"p = {self.p:.2g}"
        if self.is_significant:
            return f"{self.first} is better than {self.second} on {self.wins} of {self.images} images, {p}"
        if self.p < LEVEL:
            return f"{self.first} has the better mean, but the ranks of the differences speak for {self.second}, {p}"
        return (
            f"{self.first} is not significantly better than {self.second} (on {self.wins} of {self.images} images, {p})"
        )


def compare_pairs(
    set_name: str, metric: str, scores: Mapping[str, ImageScores], higher_is_better: bool
) -> list[Comparison]:
    """Compare all pairs of networks on one set.

    Args:
        set_name, metric: names for the result.
        scores: `{network: {image: score}}`, of the same images.
        higher_is_better: the metric's direction.
    """
    sign = 1 if higher_is_better else -1
    columns = {name: sign * np.array(list(images.values()), dtype=np.float64) for name, images in scores.items()}
    order = sorted(columns, key=lambda name: -np.nan_to_num(columns[name].mean(), nan=-np.inf))
    found = []
    for first, second in combinations(order, 2):
        a, b = columns[first], columns[second]
        with np.errstate(invalid="ignore"):
            differences = np.where(a == b, 0, a - b)  # inf - inf is nan
        test = signed_rank(differences)
        wins = int((np.round(differences, _DIGITS) > 0).sum())
        found.append(Comparison(set_name, metric, first, second, wins, len(a), test.p, 1, test.excess >= 0))
    adjusted = holm([each.p for each in found])
    return [each._replace(p=p, pairs=len(found)) for each, p in zip(found, adjusted, strict=True)]


def sentences(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield what came of it for each set and metric: the best network against each other one, a line each."""
    columns = dict.fromkeys((each.set_name, each.metric) for each in comparisons)
    for column in columns:
        mine = [each for each in comparisons if (each.set_name, each.metric) == column]
        best = best_of(mine)
        texts = [each.sentence() for each in mine if each.first == best]
        head, small = f"{' '.join(column)}:", _too_few(mine[0])
        if len(texts) == 1:
            yield f"{head} {texts[0]}{small}"
        else:
            yield from (f"{head}{small}", *(f"  {text}" for text in texts))
    if columns:
        yield method(comparisons)


def best_of(comparisons: Sequence[Comparison]) -> str:
    """Return the network of the best mean among those of one set and metric."""
    losers = {each.second for each in comparisons}
    return next(each.first for each in comparisons if each.first not in losers)


def _too_few(comparison: Comparison) -> str:
    if comparison.can_show:
        return ""
    images = counted(comparison.images, "image")
    return f" ({images} cannot show a difference: p is at least {comparison.least:.2g})"


def method(comparisons: Sequence[Comparison]) -> str:
    """Return how p was computed, in one or two sentences."""
    text = "p: two-sided Wilcoxon signed-rank tests over images, zeros by Pratt."
    if max(each.images for each in comparisons) > EXACT_UP_TO:
        text += f" Exact up to {EXACT_UP_TO} images, else by the normal distribution."
    pairs = comparisons[0].pairs
    if pairs > 1:
        text += f" Adjusted (Holm) for the {pairs} pairs of networks of each set and metric, not for several of these."
    return text
