"""Flips and the transpose: together all eight orientations of a square crop, as views."""

from __future__ import annotations

from srtoolbox.data.loading.rng import Rng
from srtoolbox.data.transforms.arguments import probability
from srtoolbox.data.transforms.base import Sample, Transform, map_images
from srtoolbox.registry import TRANSFORMS


@TRANSFORMS.register
class RandomHorizontalFlip(Transform):
    """Mirrors left and right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        return map_images(sample, lambda image: image[:, ::-1]) if rng.random() < self.p else sample


@TRANSFORMS.register
class RandomVerticalFlip(Transform):
    """Mirrors top and bottom with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        return map_images(sample, lambda image: image[::-1]) if rng.random() < self.p else sample


@TRANSFORMS.register
class RandomTranspose(Transform):
    """Swaps rows and columns with probability `p`; with both flips, all eight orientations."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        return map_images(sample, lambda image: image.swapaxes(0, 1)) if rng.random() < self.p else sample
