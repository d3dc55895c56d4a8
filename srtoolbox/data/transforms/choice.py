"""Transforms made of transforms: one of several, or some of the time."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from srtoolbox.data.loading.rng import Rng
from srtoolbox.data.transforms.arguments import probability
from srtoolbox.data.transforms.base import (
    Compose,
    Sample,
    Stage,
    Transform,
    build_transforms,
    parts_at_stage,
    replace_attributes,
)
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS


@TRANSFORMS.register
class OneOf(Transform):
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

    def at_stage(self, stages: Collection[Stage]) -> OneOf | None:
        parts = parts_at_stage(self.transforms, stages)
        return None if parts is None else replace_attributes(self, transforms=parts)


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

    def margin(self, gt_size: int) -> int:
        return self.inner.margin(gt_size)

    def at_stage(self, stages: Collection[Stage]) -> RandomApply | None:
        inner = self.inner.at_stage(stages)
        return None if inner is None else replace_attributes(self, inner=inner)
