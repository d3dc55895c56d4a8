"""Regions of an image that are worth a look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Region(NamedTuple):
    """A rectangle, in pixels of the largest image."""

    top: int
    left: int
    height: int
    width: int


def choose_regions(images: Sequence[np.ndarray], count: int = 2) -> list[Region]:
    """Choose square regions, apart from each other, where images of the largest size differ most.

    The last image (the truth) is left out where two others remain: what all versions miss alike
    tells nothing. Where nothing differs, detail decides. A side is a quarter of the image's shorter
    one, a multiple of 12 from 24 to 96; all of a tiny image.
    """
    height, width = max((image.shape[:2] for image in images), key=math.prod)
    largest = [image for image in images if image.shape[:2] == (height, width)]
    full = [image.astype(np.float32).mean(axis=2) for image in largest]
    versions = full[:-1] if len(full) > 2 else full
    spread = np.max(versions, axis=0) - np.min(versions, axis=0)
    shorter = min(height, width)
    detail = np.hypot(*np.gradient(full[-1])) if shorter > 1 else np.zeros((height, width))
    side = min(max(round(shorter / 4 / 12) * 12, 24), 96, shorter)
    score = window_means(spread + 1e-3 * detail, side)
    regions: list[Region] = []
    while len(regions) < count and score.size and score.max() >= 0:
        top, left = (int(place) for place in np.unravel_index(score.argmax(), score.shape))
        regions.append(Region(top, left, side, side))
        score[max(0, top - side) : top + side + 1, max(0, left - side) : left + side + 1] = -1
    return regions


def window_means(values: np.ndarray, side: int) -> np.ndarray:
    """Return the mean over every side x side window, (H - side + 1, W - side + 1)."""
    sums = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    lower, upper = sums[side:], sums[:-side]
    return (lower[:, side:] - upper[:, side:] - lower[:, :-side] + upper[:, :-side]) / side**2
