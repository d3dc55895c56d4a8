"""Base of the transforms of one sample; chains of them, one of several, some of the time."""

from __future__ import annotations

import bisect
import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.interfaces import IMAGE_KEYS
from srtoolbox.registry import TRANSFORMS

if TYPE_CHECKING:
    from srtoolbox.data.transforms.batch.base import Plan

Sample = dict[str, Any]
"""'lq' and 'gt': arrays (h, w, C) and (scale*h, scale*w, C), uint8 or uint16, read-only views of a
store; 'key': the image's name.
"""

_T = TypeVar("_T")
Stage = Literal["gt", "either", "pair"]
ON_GT_ALONE: tuple[Stage, ...] = ("gt",)
BEFORE_LQ: tuple[Stage, ...] = ("gt", "either")  # these act on GT where a dataset makes LQ from it
ON_PAIRS: tuple[Stage, ...] = ("pair",)
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))


class Transform(ABC):
    """A change of `lq` and `gt` of a sample.

    It works on views (it never writes into an array) and draws all its randomness from `rng`.

    Attributes:
        stage: "pair": it acts when LQ and GT are both there. "gt": before LQ is made from GT, on a
            sample that holds `gt` with a margin, and `centre`, the (row, column) in it about which
            the crop lies; so only a dataset that makes LQ can have it. "either": before LQ is made
            where the dataset makes it, else on both. Transforms that act before LQ is made come
            first, whatever their place in the list.
    """

    stage: ClassVar[Stage] = "pair"

    @abstractmethod
    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        """Return the changed sample; `sample` itself may be altered."""

    def margin(self, gt_size: int) -> int:
        """Return the GT pixels to read around a crop of `gt_size`, which are cut off afterwards.

        At the stage "gt" a crop at the image's edge gets less: fill in what is missing.
        """
        return 0

    def at_stage(self, stages: Collection[Stage]) -> Transform | None:
        """Return the part that acts at these stages, its random numbers unchanged, or None."""
        return self if self.stage in stages else None

    def parts(self) -> Sequence[Transform]:
        """Return the transforms that this one is made of, which `add_to` adds in its place."""
        return ()

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        """Add what this does to `rows` of a batch to its plan; `rngs` are those of these rows.

        Raises:
            ConfigError: it acts on samples alone.
        """
        raise ConfigError(f"{type(self).__name__} is no degradation: it belongs among the dataset's transforms")


class _Group(Transform):
    """A transform that is made of `transforms`, and at some stages of some of them."""

    transforms: list[Transform]

    def parts(self) -> Sequence[Transform]:
        return self.transforms

    def at_stage(self, stages: Collection[Stage]) -> Self | None:
        parts = parts_at_stage(self.transforms, stages)
        return None if parts is None else replace_attributes(self, transforms=parts)


class Compose(_Group):
    """One transform after another, each with a random stream of its own.

    Args:
        transforms: configs or transforms, a list or a map by name, in which None removes one.
    """

    def __init__(self, transforms: Sequence[Any] | Mapping[str, Any] = ()) -> None:
        self.transforms = build_transforms(transforms)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        for position, transform in enumerate(self.transforms):
            sample = transform(sample, rng.at(position))
            if sample is None:
                raise DataError(f"the transform {type(transform).__name__} returned None: it returns the sample")
        return sample

    def margin(self, gt_size: int) -> int:
        total = 0
        for transform in reversed(self.transforms):  # each takes its pixels from the one before
            total += transform.margin(gt_size + 2 * total)
        return total

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        for position, transform in enumerate(self.transforms):
            transform.add_to(plan, rngs.at(position), rows)


@TRANSFORMS.register
class OneOf(_Group):
    """Applies exactly one of `transforms` to each sample.

    Args:
        transforms: list or named map of transform configs.
        weights: how likely each is, relative to the others; all alike where None.
    """

    def __init__(self, transforms: Sequence[Any] | Mapping[str, Any], weights: Sequence[float] | None = None) -> None:
        self.transforms = build_transforms(transforms)
        shares = [1.0] * len(self.transforms) if weights is None else [float(weight) for weight in weights]
        if len(shares) != len(self.transforms) or min(shares, default=0.0) < 0 or sum(shares) <= 0:
            fault = f"{len(self.transforms)} transforms need as many weights >= 0, not all 0; got {weights}"
            raise ConfigError(f"OneOf: {fault}", key="weights")
        self._edges = list(itertools.accumulate(shares))

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        chosen = bisect.bisect_right(self._edges, rng.random() * self._edges[-1], hi=len(self._edges) - 1)
        return self.transforms[chosen](sample, rng.at(0))

    def margin(self, gt_size: int) -> int:
        return max(transform.margin(gt_size) for transform in self.transforms)

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        chosen = rngs.shared.choice(self._edges)
        add_parts(self.transforms, chosen, plan, rngs.at(0), rows)


@TRANSFORMS.register
class RandomApply(Transform):
    """Applies all of `transforms`, one after another, with probability `p`; otherwise none.

    Args:
        transforms: list or named map of transform configs.
        p: probability in [0, 1].
    """

    def __init__(self, transforms: Sequence[Any] | Mapping[str, Any], p: float = 0.5) -> None:
        self.inner = Compose(transforms)
        self.p = probability("RandomApply", p)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        return self.inner(sample, rng.at(0)) if rng.random() < self.p else sample

    def parts(self) -> Sequence[Transform]:
        return [self.inner]

    def margin(self, gt_size: int) -> int:
        return self.inner.margin(gt_size)

    def at_stage(self, stages: Collection[Stage]) -> RandomApply | None:
        inner = self.inner.at_stage(stages)
        return None if inner is None else replace_attributes(self, inner=inner)

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        add_parts([self.inner], np.where(rngs.shared.random() < self.p, 0, 1), plan, rngs.at(0), rows)


class Nothing(Transform):
    """A transform that changes nothing, in the place of one that acts at another stage."""

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        return sample


def add_parts(transforms: Sequence[Transform], chosen: np.ndarray, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
    """Add to a plan, for each row, the transform of the number chosen for it, if there is one."""
    for number, transform in enumerate(transforms):
        if len(own := np.flatnonzero(chosen == number)):
            transform.add_to(plan, rngs.select(own), rows[own])


def parts_at_stage(transforms: Sequence[Transform], stages: Collection[Stage]) -> list[Transform] | None:
    """Return `transforms` with `Nothing` for those of other stages; None if all are."""
    parts = []
    for transform in transforms:
        if isinstance(transform, Transform):
            parts.append(transform.at_stage(stages))
        else:  # a plugin that derives from nothing
            parts.append(transform if "pair" in stages else None)
    return [part or Nothing() for part in parts] if any(part is not None for part in parts) else None


def replace_attributes(transform: _T, **attributes: object) -> _T:
    """Return a copy of a transform with other attributes."""
    result = copy.copy(transform)
    vars(result).update(attributes)
    return result


def transforms_on_gt_alone(transforms: object, path: str = "transforms") -> Iterator[tuple[str, str]]:
    """Yield (path, type) of all entries, at any depth, that must act before LQ is made."""
    entries: Iterable[tuple[object, object]] = ()
    if isinstance(transforms, Mapping):
        entries = transforms.items()
    elif isinstance(transforms, Sequence):
        entries = enumerate(transforms)
    for key, entry in entries:
        if isinstance(entry, Mapping) and isinstance(kind := entry.get("type"), str) and kind in TRANSFORMS:
            if getattr(TRANSFORMS.get(kind), "stage", "pair") == "gt":
                yield f"{path}.{key}", kind
            yield from transforms_on_gt_alone(entry.get("transforms"), f"{path}.{key}.transforms")


def build_transforms(transforms: Sequence[Any] | Mapping[str, Any]) -> list[Transform]:
    """Return the transforms of a list or a named map of configs, or of transforms."""
    entries = transforms.values() if isinstance(transforms, Mapping) else transforms
    entries = [entry for entry in entries if entry is not None]
    return [TRANSFORMS.build(each) if isinstance(each, Mapping) else each for each in entries]


def check_sample(sample: Sample, scale: int, transforms: Sequence[Transform]) -> None:
    """Raise DataError unless transforms left arrays as a store's, GT `scale` times any LQ."""
    images = [sample[name] for name in IMAGE_KEYS if name in sample]
    if all(image.dtype in _DTYPES and image.ndim == 3 for image in images):
        first, gt = images[0], images[-1]
        if len(images) == 1 or gt.shape[:2] == (scale * first.shape[0], scale * first.shape[1]):
            return
    names = ", ".join(type(each).__name__ for each in transforms if not isinstance(each, Nothing))
    described = " and ".join(
        f"{name} {sample[name].shape} {sample[name].dtype}" for name in IMAGE_KEYS if name in sample
    )
    raise DataError(
        f"{sample['key']}: the transforms ({names}) made {described}: both are (h, w, C), uint8 or uint16 as they came "
        f"(round and clip what was computed in floats), and GT {scale} times LQ"
    )


def map_images(sample: Sample, function: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Return `sample` with `function` applied to its images."""
    for name in IMAGE_KEYS:
        if name in sample:
            sample[name] = function(sample[name])
    return sample


def probability(owner: str, p: float, name: str = "p") -> float:
    """Return `p`, which a config names `name`. Raises ConfigError if it is not in [0, 1]."""
    if not 0 <= p <= 1:
        raise ConfigError(f"{owner}: {name} is a probability between 0 and 1, got {p!r}", key=name)
    return p
