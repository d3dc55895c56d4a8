"""Error maps, and the panels of a training: input, result, truth and error side by side."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np

from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.plots.grid import blocks

PEAK = 32
"""Levels of error that are brightest; fixed, so that maps of several times and networks compare."""
PANEL_TITLE = f"LQ, SR, GT, error 0-{PEAK} levels"
_COLOURS = (mpl.colormaps["inferno"](range(256))[:, :3] * 255).round().astype(np.uint8)


def error_map(result: np.ndarray, truth: np.ndarray, *, peak: int = PEAK) -> np.ndarray:
    """Return the mean absolute error over the channels at every pixel, as colours.

    They go from black (0) to light yellow (`peak`).

    Args:
        result, truth: HWC uint8 of one size, gray or RGB.
        peak: error in levels from which on it is brightest.

    Returns:
        HWC uint8 RGB.
    """
    first, second = (expand_gray(image).astype(np.int16) for image in (result, truth))
    levels = np.abs(first - second).mean(axis=2) * (255 / peak)
    return _COLOURS[np.minimum(levels, 255).round().astype(np.uint8)]


def panel(lq: np.ndarray, sr: np.ndarray, gt: np.ndarray | None) -> np.ndarray:
    """Return LQ (each pixel a block), SR, and where there is a truth GT and error map, in a row.

    Args:
        lq: HWC uint8 or uint16, gray or RGB.
        sr: HWC uint8 of a whole multiple of LQ's size.
        gt: HWC uint8 or uint16 of SR's size, or None.

    Returns:
        HWC uint8 RGB.
    """
    height, width = sr.shape[:2]
    images = [blocks(to_uint8(lq), height // lq.shape[0])[:height, :width], sr]
    if gt is not None:
        images += [to_uint8(gt), error_map(sr, to_uint8(gt))]
    return np.concatenate([expand_gray(image) for image in images], axis=1)
