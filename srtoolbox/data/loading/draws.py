"""Draws: the order of images in training, and the random numbers of each sample.

A sample's crop and augmentation are the same whichever worker makes it and wherever a run was
resumed: no generator has a state to save, each number is a hash of (seed, draw, position). The hash
is the output function of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators"), written out here so that no library's new version changes runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import ndtri

from srtoolbox.errors import DataError
from srtoolbox.interfaces import is_share

_BLOCK = 4096  # draws whose images are looked up together
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


def uniform_hashes(state: int, count: int, start: int = 0) -> np.ndarray:
    """Return `count` numbers of `Rng`'s stream `state` after the first `start`, as uint64."""
    return _mix_all(np.uint64(state) + np.uint64(_GOLDEN) * np.arange(start + 1, start + count + 1, dtype=np.uint64))


def _mix_all(value: np.ndarray) -> np.ndarray:
    """Apply `mix` to each number of a uint64 array."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX2)
    return value ^ (value >> np.uint64(31))


class Rng:
    """The random numbers of sample `draw` of a run with this seed (its lower 64 bits)."""

    __slots__ = ("_origin", "_state")

    def __init__(self, seed: int, draw: int) -> None:
        self._origin = self._state = fold(fold(0, seed), draw)

    @classmethod
    def of(cls, stream: np.ndarray) -> Rng:
        """Return the numbers to come of one of `Rngs.streams`."""
        rng = cls.__new__(cls)
        rng._origin, rng._state = stream.tolist()
        return rng

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
        return normal_quantiles()[bits[:count]]

    def alone(self) -> Rngs:
        """Return the numbers to come as those of a batch of one sample."""
        rngs = Rngs.__new__(Rngs)
        rngs._origins, rngs._states = np.array([self._origin], np.uint64), np.array([self._state], np.uint64)
        rngs._leaders = None
        return rngs

    def _next(self) -> int:
        self._state = (self._state + _GOLDEN) & _MASK
        return mix(self._state)


class Rngs:
    """The random numbers of several samples at once: of each those that its `Rng` gives.

    Args:
        seed: the run's.
        draws: the number of each sample, (n,).
        leaders: the number of the sample whose numbers `shared` gives, for each, (n,); None: its
            own.
    """

    def __init__(self, seed: int, draws: np.ndarray, leaders: np.ndarray | None = None) -> None:
        states = np.uint64(fold(0, seed)) + np.uint64(_GOLDEN) * (draws.astype(np.uint64) + np.uint64(1))
        self._origins = self._states = _mix_all(states)
        self._leaders = None if leaders is None else Rngs(seed, leaders)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def shared(self) -> Rngs:
        """The numbers of the leaders, for what is alike over a batch; its own where it has none."""
        return self if self._leaders is None else self._leaders

    def at(self, position: int) -> Rngs:
        """Return the sub-streams of a position."""
        step = np.uint64(_GOLDEN * (position + 1) & _MASK)
        return self._others(_mix_all(self._origins + step), lambda leaders: leaders.at(position))

    def select(self, rows: np.ndarray) -> Rngs:
        """Return the numbers to come of some of the samples, by their places or a mask."""
        children = self._others(self._origins[rows], lambda leaders: leaders.select(rows))
        children._states = self._states[rows]
        return children

    def integers(self, high: np.ndarray) -> np.ndarray:
        """Return a whole number in [0, high) for each sample, int64; `high` is below 2^32."""
        value, span, half = self._next(), high.astype(np.uint64), np.uint64(32)
        # the upper 64 of the product's 128 bits
        low = ((value & np.uint64(0xFFFFFFFF)) * span) >> half
        return (((value >> half) * span + low) >> half).astype(np.int64)

    def whole(self, low: int, high: int) -> np.ndarray:
        """Return a whole number in [low, high], both included, for each sample, int64."""
        return low + self.integers(np.full(len(self), high - low + 1))

    def one_of(self, names: Sequence[str]) -> np.ndarray:
        """Return one of several names for each sample, all equally likely."""
        return np.array(names)[self.whole(0, len(names) - 1)]

    def random(self) -> np.ndarray:
        """Return a number in [0, 1) for each sample."""
        return (self._next() >> np.uint64(11)) * 2.0**-53

    def uniform(self, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        """Return a number in [low, high) for each sample."""
        return low + (high - low) * self.random()

    def choice(self, edges: Sequence[float]) -> np.ndarray:
        """Return the choice of each sample, int64, where probabilities add up to `edges`."""
        chosen = np.searchsorted(edges, self.random() * edges[-1], side="right")
        return np.minimum(chosen, len(edges) - 1)

    def order(self, count: int) -> np.ndarray:
        """Return a permutation of 0 ... count - 1 for each sample, (n, count), all alike likely."""
        return np.argsort(np.stack([self.random() for _ in range(count)], 1), axis=1, kind="stable")

    def streams(self) -> np.ndarray:
        """Return what `Rng.of` makes each sample's numbers to come of, (n, 2) uint64."""
        return np.stack([self._origins, self._states], 1)

    def keys(self) -> np.ndarray:
        """Return a hash for each sample, uint64: the state of a stream, see `uniform_hashes`."""
        return self._next()

    def _others(self, origins: np.ndarray, leaders: Callable[[Rngs], Rngs]) -> Rngs:
        others = Rngs.__new__(Rngs)
        others._origins = others._states = origins
        others._leaders = None if self._leaders is None else leaders(self._leaders)
        return others

    def _next(self) -> np.ndarray:
        self._states = self._states + np.uint64(_GOLDEN)
        return _mix_all(self._states)


@cache
def normal_quantiles() -> np.ndarray:
    """Return the normal quantiles at the middles of 2^16 equal shares, float32 (65536,)."""
    return ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)


class Draw(NamedTuple):
    """One training sample: the image's index, its number in the run (all ranks), the run's seed."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    number: int
    seed: int


class Drawable(Protocol):
    """The part of a dataset that the sampler needs."""

    def __len__(self) -> int: ...

    def draw_weights(self) -> np.ndarray | None: ...


class EndlessSampler:
    """Endless batches of draws for one rank.

    Every epoch is a permutation of the images that follows from (seed, epoch); where the dataset
    gives weights, a stratified sample, in which each image gets its share to within one or two. All
    ranks number their samples in one sequence: the batches of ranks 0..world-1 side by side are the
    batch of one process that draws `world` times as many. Of a dataset that `is_share`, whose
    images are this rank's alone, the rank's own samples make the epochs, so that the image of a
    draw follows from rank, world and batch_size as well, and an epoch's order from the rank.

    A `pool` mixes what would stand in one batch with what is near it: of so many draws in a row,
    from a multiple of `pool` on, the order is drawn anew. It is a function of the seed and the
    place in the sequence, the same for any number of ranks (and of a dataset that `is_share`, of
    the rank's own draws). Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833) keeps as many pairs and
    takes each batch from among them.

    Args:
        dataset: anything with a length and `draw_weights()` (None = all alike).
        batch_size: samples per batch and rank.
        seed: the run's.
        start: samples drawn so far by all ranks together; the run goes on there at no cost.
        rank, world: this process and how many there are.
        pool: draws that are mixed; None: they come in order.

    Raises:
        DataError: the dataset is empty, `batch_size` below 1, or the pool no larger than a batch.
    """

    def __init__(
        self,
        dataset: Drawable,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        pool: int | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise DataError("the training set has no images")
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1, got {batch_size}")
        if pool is not None and pool <= batch_size * world:
            ranks = f" ({batch_size} on each of {world} ranks)" if world > 1 else ""
            fault = f"pool={pool} mixes nothing, a step draws {batch_size * world} samples{ranks}"
            raise DataError(f"{fault}: give it several times as many, or leave it out")
        self.batch_size, self.seed, self.start = batch_size, seed, start
        self.rank, self.world, self.pool = rank, world, pool
        self._length, weights = len(dataset), dataset.draw_weights()
        self._is_share = is_share(dataset)
        self._edges: np.ndarray | None = None
        if weights is not None:
            self._edges = np.cumsum(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64)

    def __iter__(self) -> Iterator[list[Draw]]:
        first = self.start + self.rank * self.batch_size
        # of the samples of the epochs
        before = self.start // self.world if self._is_share else first
        order, mixed = lru_cache(3)(self._order), lru_cache(2)(self._mixed)
        images = lru_cache(8)(lambda epoch, block: self._images(order(epoch), epoch, block * _BLOCK))
        pool, length = self.pool, self._length
        while True:
            places: Iterable[int] = range(before, before + self.batch_size)
            if pool is not None:
                places = [place - place % pool + mixed(place // pool)[place % pool] for place in places]
            batch = []
            for place in places:
                epoch, position = divmod(place, length)
                image = images(epoch, position // _BLOCK)[position % _BLOCK]
                ahead = self._shared_out(place - before) if self._is_share else place - before
                batch.append(Draw(image, first + ahead, self.seed))
            yield batch
            first += self.batch_size * self.world
            before += self.batch_size if self._is_share else self.batch_size * self.world

    def _shared_out(self, places: int) -> int:
        """Return by how much the numbers grow over so many of the rank's own draws."""
        batches, within = divmod(places, self.batch_size)
        return batches * self.batch_size * self.world + within

    def _order(self, epoch: int) -> np.ndarray:
        """Return the images in the order of an epoch, (length,)."""
        return np.argsort(uniform_hashes(self._state(epoch, 0), self._length), kind="stable")

    def _mixed(self, block: int) -> list[int]:
        """Return the order of a block of the pool, from 0 on."""
        state = fold(fold(fold(2, self.seed), self.rank if self._is_share else 0), block)
        return np.argsort(uniform_hashes(state, self.pool or 0), kind="stable").tolist()

    def _images(self, order: np.ndarray, epoch: int, start: int) -> list[int]:
        """Return the images of a block of an epoch from position `start` on."""
        images = order[start : start + _BLOCK]
        if self._edges is not None:
            within = uniform_hashes(self._state(epoch, 1), len(images), start) >> np.uint64(11)
            images = np.searchsorted(self._edges, (images + within * 2.0**-53) / self._length, side="right")
            images = np.minimum(images, self._length - 1)  # the last edge may round to just below 1
        return images.tolist()

    def _state(self, epoch: int, purpose: int) -> int:
        state = fold(fold(1, self.seed), epoch)
        return fold(fold(state, self.rank) if self._is_share else state, purpose)
