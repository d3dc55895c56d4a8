"""The order of images in training, in which a resumed run starts at any draw at no cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from srtoolbox.data.loading.rng import fold, uniform_hashes
from srtoolbox.errors import DataError


class Draw(NamedTuple):
    """One training sample to make.

    Attributes:
        index: of the image.
        number: of the sample in the whole run, over all ranks.
        seed: the run's.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index
    number: int
    seed: int


class Drawable(Protocol):
    """The part of a dataset that the sampler needs."""

    def __len__(self) -> int: ...

    def draw_weights(self) -> np.ndarray | None: ...


class EndlessSampler:
    """Endless batches of draws for one rank.

    Every epoch is a permutation of the images that follows from (seed, epoch). Where the dataset
    gives weights, an epoch is a stratified sample instead: `len(dataset)` draws of which each image
    gets its share to within one or two. All ranks number their samples in one sequence, so the
    batches of ranks 0..world-1 laid side by side are the batch of one process that draws `world`
    times as many.

    Args:
        dataset: anything with a length and `draw_weights()` (None = all alike).
        batch_size: samples per batch and rank.
        seed: the run's seed.
        start: samples drawn so far by all ranks together.
        rank, world: this process and how many there are.

    Raises:
        DataError: the dataset is empty, or `start` is no whole number of global batches.
    """

    def __init__(
        self, dataset: Drawable, batch_size: int, seed: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if len(dataset) == 0:
            raise DataError("the training set has no images")
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size, self.seed, self.start = batch_size, seed, start
        self.rank, self.world = rank, world
        self._length = len(dataset)
        weights = dataset.draw_weights()
        self._edges = (
            None if weights is None else np.cumsum(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64)
        )
        self._epoch = -1
        self._order: list[int] = []

    def __iter__(self) -> Iterator[list[Draw]]:
        first = self.start + self.rank * self.batch_size
        while True:
            numbers = range(first, first + self.batch_size)
            yield [Draw(self._index(number), number, self.seed) for number in numbers]
            first += self.batch_size * self.world

    def _index(self, number: int) -> int:
        epoch, position = divmod(number, self._length)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._epoch_order(epoch)
        return self._order[position]

    def _epoch_order(self, epoch: int) -> list[int]:
        hashes = uniform_hashes(fold(fold(fold(1, self.seed), epoch), 0), self._length)
        order = np.argsort(hashes, kind="stable")
        if self._edges is not None:
            within = uniform_hashes(fold(fold(fold(1, self.seed), epoch), 1), self._length) >> np.uint64(11)
            order = np.searchsorted(self._edges, (order + within * 2.0**-53) / self._length, side="right")
            order = np.minimum(order, self._length - 1)  # the last edge may round to just below 1
        return order.tolist()


class RankSampler:
    """The images that a rank evaluates: rank, rank + world, ... Each once."""

    def __init__(self, length: int, rank: int = 0, world: int = 1) -> None:
        self._indices = range(rank, length, world)

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)
