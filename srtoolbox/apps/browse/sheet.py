"""Samples as one image: LQ in blocks and by bicubic, GT, the other targets, and what was drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from srtoolbox.apps.browse.feed import SeenSample
from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.plots.grid import SheetSizeError, grid
from srtoolbox.plots.panels import Cell
from srtoolbox.plots.sheet import size_of
from srtoolbox.resize import imresize

CELL = 256  # px: about the width of an image
MOST = 16
"""Samples on a sheet: viewers open no image of any height."""


def draw_sheet(samples: Sequence[SeenSample]) -> np.ndarray:
    """Return a row for each of the first samples, as many as a sheet holds: HWC uint8 RGB.

    A single one that is too high is narrower.
    """
    others = list(dict.fromkeys(name for sample in samples for name in sample.images if name not in ("lq", "gt")))
    rows = [_row(sample, others) for sample in samples[:MOST]]
    cell = CELL
    while True:
        try:
            return grid(rows, heads=["LQ", "LQ, bicubic", "GT", *others], cell=cell)
        except SheetSizeError:
            if len(rows) > 1:
                rows = rows[: len(rows) * 3 // 4]
            elif cell > 1:
                cell //= 2
            else:
                raise


def _row(sample: SeenSample, others: Sequence[str]) -> list[Cell]:
    """Return the images of a sample; the steps stand below all but the first, from left to right."""
    lq, gt = to_uint8(sample.lq), to_uint8(sample.images["gt"])
    enlarged = imresize(lq, size=(gt.shape[0], gt.shape[1])) if lq.shape[:2] != gt.shape[:2] else lq
    images = [enlarged, gt, *(to_uint8(sample.images[name]) for name in others if name in sample.images)]
    steps = [f"{step.name}: {step.text()}" if step.values else step.name for step in sample.steps]
    each = math.ceil(len(steps) / len(images))
    texts = ["\n".join(steps[place * each : (place + 1) * each]) for place in range(len(images))]
    first = Cell(_enlarged(lq, gt), "\n".join(captions(sample)))
    return [first, *map(Cell, images, texts)]


def _enlarged(lq: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Return LQ with its pixels as blocks, as large as GT."""
    rows, columns = (np.arange(gt.shape[axis]) * lq.shape[axis] // gt.shape[axis] for axis in (0, 1))
    return expand_gray(lq)[rows[:, None], columns]


def captions(sample: SeenSample) -> list[str]:
    """Return the lines that say which sample it is: key, draw, sizes, place."""
    sizes = [f"{name.upper()} {size_of(sample.images[name])}" for name in ("lq", "gt")]
    lines = [sample.key, f"draw {sample.draw.number:,}", *sizes]
    if sample.place is not None:
        top, left, height, width = sample.place
        lines.append(f"crop {width} x {height} at {left}, {top}")
    return lines
