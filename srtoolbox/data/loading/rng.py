"""Random numbers that depend on (seed, draw, position) and on nothing else.

A sample's crop and augmentation must be the same whichever worker makes it and wherever a run was
resumed. So there is no generator state to save: each number is a hash of where it is used. The hash
is the output function of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators"), which is written out here rather than taken from a library so that no library's
new version changes runs.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import ndtri

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: SplitMix64's increment
_MIX1, _MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(value: int) -> int:
    """Apply SplitMix64's finaliser: a bijection; every input bit reaches every output bit."""
    value = ((value ^ (value >> 30)) * _MIX1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX2) & _MASK
    return value ^ (value >> 31)


def fold(state: int, number: int) -> int:
    """Return a 64-bit state that differs for different (a, b, c) in `fold(fold(a, b), c)`."""
    return mix((state + _GOLDEN * ((number & _MASK) + 1)) & _MASK)


def uniform_hashes(state: int, count: int) -> np.ndarray:
    """Return the first `count` numbers of `Rng`'s stream `state`, uint64 (count,)."""
    value = np.uint64(state) + np.uint64(_GOLDEN) * np.arange(1, count + 1, dtype=np.uint64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX2)
    return value ^ (value >> np.uint64(31))


class Rng:
    """The stream of random numbers of one draw.

    Args:
        seed: the run's seed, any integer (of which the lower 64 bits count).
        draw: which sample of the run this is, counted globally.
    """

    __slots__ = ("_origin", "_state")

    def __init__(self, seed: int, draw: int) -> None:
        self._origin = self._state = fold(fold(0, seed), draw)

    def at(self, position: int) -> Rng:
        """Return the sub-stream of a position, whatever numbers the others take."""
        child = Rng.__new__(Rng)
        child._origin = child._state = fold(self._origin, position)
        return child

    def integers(self, low: int, high: int) -> int:
        """Return a whole number in [low, high), each equally likely (to 2^-64 times the span)."""
        if high <= low:
            raise ValueError(f"empty range [{low}, {high})")
        return low + (self._next() * (high - low) >> 64)

    def random(self) -> float:
        """Return a number in [0, 1), a multiple of 2^-53."""
        return (self._next() >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.random()

    def normals(self, count: int) -> np.ndarray:
        """Return `count` numbers of N(0, 1), float32 (count,), cut off at 4.3.

        Each is the quantile of 16 random bits, four to a hash: enough for noise on 8-bit images.
        """
        bits = uniform_hashes(self._next(), -(-count // 4)).astype("<u8", copy=False).view("<u2")
        return _normal_quantiles()[bits[:count]]

    def _next(self) -> int:
        self._state = (self._state + _GOLDEN) & _MASK
        return mix(self._state)


@cache
def _normal_quantiles() -> np.ndarray:
    """Return the normal quantiles at the middles of 2^16 equal shares, float32 (65536,)."""
    return ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)
