"""The same crop degraded mildly to severely: of many draws those at equal steps of what is lost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from srtoolbox.apps.browse.feed import SeenSample
from srtoolbox.apps.browse.makers import Job
from srtoolbox.apps.browse.steps import Step
from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.resize import imresize

LEVELS = 11
"""Positions of the slider: the quantiles 0, 0.1 ... 1."""


class Level(NamedTuple):
    """A crop at one severity: LQ (HWC uint8), its PSNR in dB to the clean reduction, what was drawn."""

    lq: np.ndarray
    psnr: float
    steps: list[Step]


class Ladder(NamedTuple):
    """A crop from the mildest of its draws to the most severe; `clean` is GT reduced by bicubic alone."""

    sample: SeenSample
    clean: np.ndarray
    levels: list[Level]


def clean_reduction(gt: np.ndarray, lq: np.ndarray) -> np.ndarray:
    """Return GT at the size of LQ by MATLAB's bicubic, HWC uint8."""
    gt = to_uint8(gt)
    return gt if gt.shape[:2] == lq.shape[:2] else imresize(gt, size=(lq.shape[0], lq.shape[1]))


def psnr_to(clean: np.ndarray, lq: np.ndarray) -> float:
    """Return the PSNR in dB of two HWC images, gray or RGB; infinite where they are equal."""
    first, second = (expand_gray(to_uint8(image)).astype(np.float64) for image in (clean, lq))
    error = float(np.mean(np.square(first - second)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def anew(samples: Sequence[SeenSample], tries: int, together: int) -> list[Job]:
    """Return what makes each crop `tries` times, its degradations drawn anew, so many of them `together`."""
    numbers = [range(first, min(tries, first + together)) for first in range(0, tries, together)]
    return [Job([sample.draw] * len(each), each) for sample in samples for each in numbers]


def climb(samples: Sequence[SeenSample], made: Iterable[SeenSample], tries: int) -> list[Ladder]:
    """Return a ladder for each crop whose LQ changes with what is drawn.

    Args:
        samples: the crops.
        made: what came of the jobs of `anew`, in order.
        tries: draws for each crop.
    """
    ladders = []
    variants: Iterator[SeenSample] = iter(made)
    for sample in samples:
        clean = clean_reduction(sample.images["gt"], sample.lq)
        levels = [
            Level(to_uint8(variant.lq), psnr_to(clean, variant.lq), variant.steps)
            for variant in itertools.islice(variants, tries)
        ]
        levels.sort(key=lambda level: -level.psnr)
        if any(not np.array_equal(level.lq, levels[0].lq) for level in levels[1:]):
            places = np.linspace(0, tries - 1, min(LEVELS, tries)).round().astype(int).tolist()
            ladders.append(Ladder(sample, clean, [levels[place] for place in places]))
    return ladders
