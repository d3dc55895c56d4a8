"""Chains of transforms: one after another, in random order, several times over."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Ordered
from typing import TYPE_CHECKING, Any

import numpy as np

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.base import Compose, Sample, add_parts
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.interfaces import require_positive
from srtoolbox.registry import TRANSFORMS

if TYPE_CHECKING:
    from srtoolbox.data.transforms.batch.base import Plan


@TRANSFORMS.register
class Sequence(Compose):
    """Applies `transforms` one after another: as one entry of a OneOf or a Shuffle.

    Args:
        transforms: list or named map of transform configs.
    """

    def __init__(self, transforms: Ordered[Any] | Mapping[str, Any]) -> None:
        super().__init__(transforms)


@TRANSFORMS.register
class Shuffle(Compose):
    """Applies all of `transforms`, each sample in an order of its own, all orders equally likely.

    Args:
        transforms: list or named map of transform configs.
        ordered: names, or numbers from 0 on, of transforms that keep their order: of two that
            come the wrong way round the places are exchanged, as of BSRGAN's resizes.
    """

    def __init__(self, transforms: Ordered[Any] | Mapping[str, Any], ordered: Ordered[str | int] = ()) -> None:
        super().__init__(transforms)
        there = {key: cfg for key, cfg in _items(transforms) if cfg is not None}
        if unknown := [key for key in ordered if key not in there]:
            raise ConfigError(f"Shuffle: ordered names {unknown[0]!r}, which is no transform here", key="ordered")
        self.ordered = np.array([number for number, key in enumerate(there) if key in ordered], np.int64)

    def _order(self, order: np.ndarray) -> np.ndarray:
        """Return orders (n, count) in which those that are `ordered` come one after another."""
        keeps = np.isin(order, self.ordered)
        order[keeps] = np.sort(order[keeps].reshape(len(order), -1), axis=1).ravel()
        return order

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        keys = [rng.random() for _ in self.transforms]
        for number in self._order(np.array([sorted(range(len(keys)), key=keys.__getitem__)]))[0].tolist():
            sample = self.transforms[number](sample, rng.at(number))
            if sample is None:
                name = type(self.transforms[number]).__name__
                raise DataError(f"the transform {name} returned None: it returns the sample")
        return sample

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        streams = [rngs.at(number) for number in range(len(self.transforms))]
        order = self._order(rngs.shared.order(len(self.transforms)))
        for place, (number, transform) in itertools.product(range(len(streams)), enumerate(self.transforms)):
            add_parts([transform], np.where(order[:, place] == number, 0, 1), plan, streams[number], rows)


@TRANSFORMS.register
class Repeat(Compose):
    """Applies `transforms` several times over, with new random numbers each time.

    Args:
        transforms: list or named map of transform configs.
        order: how often: 2 is a second-order degradation.
    """

    def __init__(self, transforms: Ordered[Any] | Mapping[str, Any], order: int = 2) -> None:
        require_positive("Repeat", order=order)
        super().__init__(transforms)
        self.order = order

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        for time in range(self.order):
            sample = super().__call__(sample, rng.at(time))
        return sample

    def margin(self, gt_size: int) -> int:
        total = 0
        for _ in range(self.order):
            total += super().margin(gt_size + 2 * total)
        return total

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        for time in range(self.order):
            super().add_to(plan, rngs.at(time), rows)


def _items(transforms: Ordered[Any] | Mapping[str, Any]) -> Iterable[tuple[str | int, Any]]:
    return transforms.items() if isinstance(transforms, Mapping) else enumerate(transforms)
