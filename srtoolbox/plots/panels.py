"""Images side by side, without text or matplotlib: error maps, the panels of a training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.image.pixels import inferno

PEAK = 32
"""Levels of error that are brightest; fixed, so that maps of several times and networks compare."""
PANEL_TITLE = f"LQ, SR, GT, error 0-{PEAK} levels"


class Cell(NamedTuple):
    """An image of a grid, HWC uint8 or uint16, gray or RGB, and the lines of text below it."""

    image: np.ndarray
    text: str = ""


def error_map(result: np.ndarray, truth: np.ndarray, *, peak: int = PEAK) -> np.ndarray:
    """Return the mean absolute error of every pixel as a colour: black (0) to yellow (`peak`).

    Args:
        result, truth: HWC uint8 of one size, gray or RGB.
        peak: error in levels from which on it is brightest.

    Returns:
        HWC uint8 RGB.
    """
    first, second = (expand_gray(image).astype(np.int16) for image in (result, truth))
    levels = np.abs(first - second).mean(axis=2) * (255 / peak)
    return inferno(np.minimum(levels, 255).round().astype(np.uint8))


def panel(lq: np.ndarray, sr: np.ndarray, gt: np.ndarray | None) -> np.ndarray:
    """Return LQ in blocks, SR, and where there is a truth GT and error map, in a row.

    Args:
        lq: HWC uint8 or uint16, gray or RGB.
        sr: HWC uint8 of a whole multiple of LQ's size.
        gt: HWC uint8 or uint16 of SR's size, or None.

    Returns:
        HWC uint8 RGB.
    """
    height, width = sr.shape[:2]
    factor = height // lq.shape[0]
    blocks = to_uint8(lq).repeat(factor, axis=0).repeat(factor, axis=1)
    images = [blocks[:height, :width], sr]
    if gt is not None:
        images += [to_uint8(gt), error_map(sr, to_uint8(gt))]
    return np.concatenate([expand_gray(image) for image in images], axis=1)
