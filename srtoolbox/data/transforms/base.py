"""What a transform of one sample is, and how several are chained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from srtoolbox.data.rng import Rng
from srtoolbox.registry import TRANSFORMS

Sample = dict[str, Any]
"""'lq' and 'gt': arrays (h, w, C) and (scale*h, scale*w, C), uint8 or uint16, read-only views of a store; 'key': the
picture's name.
"""

PICTURES = ("lq", "gt")


class Transform(ABC):
    """Changes `lq` and `gt` of a sample alike. Works on views (it never writes into an array) and draws all its
    randomness from `rng`.
    """

    @abstractmethod
    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        """The changed sample; `sample` itself may be altered."""

    def margin(self, gt_size: int) -> int:
        """GT pixels this transform needs around a crop of `gt_size`; the dataset reads them and cuts them off
        afterwards.
        """
        return 0


class Compose(Transform):
    """One transform after another. Each has a random stream of its own, so adding draws to one does not change the
    others.

    Args:
        transforms: configs or transforms, a list or a map by name (so that a config can override one entry; None
            removes it).
    """

    def __init__(self, transforms: Sequence[Any] | Mapping[str, Any] = ()) -> None:
        self.transforms = build_transforms(transforms)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        for position, transform in enumerate(self.transforms):
            sample = transform(sample, rng.at(position))
        return sample

    def margin(self, gt_size: int) -> int:
        total = 0
        for transform in reversed(self.transforms):  # the last one needs its pixels out of what the one before delivers
            total += transform.margin(gt_size + 2 * total)
        return total


def build_transforms(transforms: Sequence[Any] | Mapping[str, Any]) -> list[Transform]:
    """Transforms from configs: a list or a named map of dicts with `type` (or of transforms already built)."""
    entries = transforms.values() if isinstance(transforms, Mapping) else transforms
    return [TRANSFORMS.build(entry) if isinstance(entry, Mapping) else entry for entry in entries if entry is not None]


def map_pictures(sample: Sample, function: Any) -> Sample:  # noqa: ANN401 - array -> array
    """`sample` with `function` applied to its pictures."""
    for name in PICTURES:
        if name in sample:
            sample[name] = function(sample[name])
    return sample
