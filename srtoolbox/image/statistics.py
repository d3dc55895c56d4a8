"""Statistics of an image without truth beside it: how sharp, detailed, noisy and blocky it is.

They compare sets of images with each other, crops of one size best: made degradations with
photographs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import cv2
import numpy as np

BLOCK = 8
"""Side of the blocks of JPEG and most video codecs, in px."""
_SMALLEST = 3 * BLOCK  # px: of fewer borders none stands out
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
_NORMAL_MEDIAN = 0.6745  # of |x|, x in N(0, 1)
_AROUND = np.ones((9, 9), np.uint8)
_STEEPEST = 0.05


def sharpness(image: np.ndarray) -> float:
    """Return how steep edges are: the share of its height that an edge climbs within one pixel.

    At the steepest 5 % of the pixels, the slope over the difference of the brightest and the
    darkest of 9 x 9 pixels around, the median of that: an inverse of the width of edges by which
    Marziliano, Dufaux, Winkler and Ebrahimi 2002 ("A no-reference perceptual blur metric", ICIP)
    measure blur. A weak Gaussian (0.8 px) goes before, so that noise counts little; contrast counts
    nothing.

    Args:
        image: HWC uint8 or uint16, gray or RGB.

    Returns:
        About 0.3 for a sharp photograph, 0.2 blurred by 1.5 px, 0.14 by 3 px; NaN for a flat image.
    """
    luma = cv2.GaussianBlur(_luma(image), (0, 0), 0.8, borderType=cv2.BORDER_REFLECT)
    slope = np.hypot(cv2.Sobel(luma, -1, 1, 0, scale=1 / 8), cv2.Sobel(luma, -1, 0, 1, scale=1 / 8))
    height = cv2.dilate(luma, _AROUND) - cv2.erode(luma, _AROUND)
    steep = slope >= max(np.quantile(slope, 1 - _STEEPEST), 1e-3)
    return float(np.median(slope[steep] / height[steep])) if steep.any() else math.nan


def detail(image: np.ndarray) -> float:
    """Return the standard deviation of the Laplacian of luma, in levels of 8 bits.

    Noise counts, too.

    Pech-Pacheco, Cristobal, Chamorro-Martinez and Fernandez-Valdivia 2000, "Diatom autofocusing in
    brightfield microscopy: a comparative study" (ICPR), whose LAPV is its square.

    Args:
        image: HWC uint8 or uint16, gray or RGB; NaN where a side is below 3 px.
    """
    return float(_inside(_luma(image), _LAPLACIAN).std()) if min(image.shape[:2]) > 2 else math.nan


def noise_level(image: np.ndarray) -> float:
    """Return the standard deviation of noise in levels of 8 bits, the mean over the channels.

    Second differences in both directions, which a smooth image has none of (Immerkaer 1996, "Fast
    noise variance estimation", CVIU 64); of their absolutes the median, as Donoho and Johnstone
    1994 take it of wavelets ("Ideal spatial adaptation by wavelet shrinkage", Biometrika 81), so
    that edges count little. Fine texture over half of the image looks like noise.

    Args:
        image: HWC uint8 or uint16, gray or RGB; NaN where a side is below 3 px.
    """
    if min(image.shape[:2]) < 3:
        return math.nan
    channels = np.moveaxis(_levels(image), 2, 0)
    medians = [np.median(np.abs(_inside(np.ascontiguousarray(each), _SECOND_DIFFERENCES))) for each in channels]
    return float(np.mean(medians)) / (_NORMAL_MEDIAN * float(np.linalg.norm(_SECOND_DIFFERENCES)))


def blockiness(image: np.ndarray) -> float:
    """Return the ratio of steps at the borders of blocks of 8 x 8 px to those elsewhere.

    A step is the difference of two neighbours, less the mean of the differences beside it, as in
    Wang, Bovik and Evans 2000, "Blind measurement of blocking artifacts in images" (ICIP). Where
    the borders lie is not known of a crop: of the eight possible places the one with the largest
    ratio is taken, for rows and for columns, and the mean of the two.

    Args:
        image: HWC uint8 or uint16, gray or RGB.

    Returns:
        1.1 or so without blocks, 2 for a photograph as JPEG of quality 40; NaN where a side is
        below 24 px or nothing has steps.
    """
    if min(image.shape[:2]) < _SMALLEST:
        return math.nan
    luma = _luma(image)
    return (_largest_ratio(luma) + _largest_ratio(luma.T)) / 2


def _largest_ratio(luma: np.ndarray) -> float:
    """Return the mean step at a grid's columns over that at others, the largest of all grids."""
    differences = np.diff(luma, axis=1)
    steps = np.abs(differences[:, 1:-1] - (differences[:, :-2] + differences[:, 2:]) / 2).mean(0)
    total, count = float(steps.sum()), len(steps)
    best = math.nan
    for first in range(BLOCK):
        borders = steps[first::BLOCK]
        others = (total - float(borders.sum())) / (count - len(borders))
        if others > 1e-6 * max(1.0, total):
            best = np.nanmax([best, float(borders.mean()) / others])
    return float(best)


def _levels(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) as float32 in levels of 8 bits."""
    return image.astype(np.float32) if image.dtype == np.uint8 else image.astype(np.float32) / 257


def _luma(image: np.ndarray) -> np.ndarray:
    """Return brightness (H, W) float32 in levels of 8 bits."""
    levels = _levels(image)
    return cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY) if levels.shape[2] == 3 else levels[..., 0].copy()


def _inside(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a plane filtered by a 3 x 3 mask, without its edge."""
    return cv2.filter2D(plane, -1, mask)[1:-1, 1:-1]


STATISTICS: Mapping[str, Callable[[np.ndarray], float]] = {
    "sharpness": sharpness,
    "detail": detail,
    "noise": noise_level,
    "blockiness": blockiness,
}
"""All, by name."""
