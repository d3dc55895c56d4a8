"""Flips and the transpose, as views, together all eight orientations; and any rotation."""

from __future__ import annotations

import math

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.transforms.base import Sample, Transform, map_images, probability
from srtoolbox.errors import ConfigError
from srtoolbox.image.pixels import Filling, rotate
from srtoolbox.registry import TRANSFORMS

_KERNEL = 2  # px: how far the bicubic kernel reaches


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


@TRANSFORMS.register
class RandomRotation(Transform):
    """Turns the image about the middle of the crop by an angle in [-degrees, degrees), bicubic.

    The corners of the crop come from the image around it; outside the image they are filled.

    Args:
        degrees: the largest angle, in (0, 180].
        filling: "reflect" (the image mirrored at its edge) or "zero" (black).
    """

    stage = "gt"

    def __init__(self, degrees: float, filling: Filling = "reflect") -> None:
        if not 0 < degrees <= 180:
            raise ConfigError(f"RandomRotation: degrees is above 0 and at most 180, got {degrees}", key="degrees")
        if filling not in ("reflect", "zero"):
            raise ConfigError(f"RandomRotation: filling is 'reflect' or 'zero', got {filling!r}", key="filling")
        self.degrees, self.filling = degrees, filling

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        gt = sample["gt"]
        middle = ((gt.shape[0] - 1) / 2, (gt.shape[1] - 1) / 2)
        angle = rng.uniform(-self.degrees, self.degrees)
        sample["gt"] = rotate(gt, angle, sample.get("centre", middle), self.filling)
        return sample

    def margin(self, gt_size: int) -> int:
        angle = math.radians(min(self.degrees, 45))  # where a square's corner reaches farthest
        return math.ceil(gt_size / 2 * (math.cos(angle) + math.sin(angle) - 1)) + _KERNEL
