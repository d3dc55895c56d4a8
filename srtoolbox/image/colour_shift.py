"""The shift of colours from an image to its result: a difference of their low frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from srtoolbox.image.low_frequencies import cell_edges, means_of, smoothed

VISIBLE_LEVELS = 1.0
VISIBLE_DELTA_E = 1.0
"""About what an observer just notices between two patches side by side."""
KEEP_COLOUR = "--keep-colour"
"""The option of `upscale` that takes a shift out."""
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_NEAR_BLACK = (6 / 29) ** 3
_25_TO_THE_7 = 25.0**7


class ColourShift(NamedTuple):
    """The difference between the low frequencies of a result and of its image."""

    levels: tuple[float, ...]
    """Of each channel the mean difference in 8-bit levels: above 0 the result is brighter."""
    delta_e: float
    """The mean colour difference, CIEDE2000; values are taken as sRGB."""

    @property
    def is_visible(self) -> bool:
        """True for more than 1/255 in the mean of a channel, or a mean colour difference over 1."""
        return max(map(abs, self.levels)) > VISIBLE_LEVELS or self.delta_e > VISIBLE_DELTA_E

    def __str__(self) -> str:
        """Return the figures in words."""
        names = ("red", "green", "blue") if len(self.levels) == 3 else ("brightness",)
        each = ", ".join(f"{name} {level:+.1f}" for name, level in zip(names, self.levels, strict=True))
        return f"{each} of 255 in the mean, dE (CIEDE2000) {self.delta_e:.1f}"

    def note(self, *, is_kept: bool) -> str:
        """Return a sentence on a shift that can be seen: the figures, and what to do; else ''.

        `is_kept` says that colours were kept already: what is left then was clipped.
        """
        if not self.is_visible:
            return ""
        advice = "black and white cannot get darker and brighter" if is_kept else f"{KEEP_COLOUR} takes it out"
        return f"its colours differ visibly from the input's ({self}): {advice}"


def colour_shift(image: np.ndarray, result: np.ndarray) -> ColourShift:
    """Measure how the colours of a result differ from those of its image, apart from all detail.

    Args:
        image: uint8 or uint16, (H, W, 3) RGB, (H, W, 1) or (H, W) gray.
        result: of any other size, the same type and channels.

    Raises:
        ValueError: arrays of different types or channels.
    """
    if image.dtype != result.dtype or image.ndim not in (2, 3) or image.shape[2:] != result.shape[2:]:
        raise ValueError(
            "image and result are of one type and of as many channels, got "
            f"{image.dtype} {image.shape} and {result.dtype} {result.shape}"
        )
    image, result = np.atleast_3d(image), np.atleast_3d(result)
    scales = [after / before for before, after in zip(image.shape[:2], result.shape[:2], strict=True)]
    edges = [cell_edges(length, scale) for length, scale in zip(image.shape[:2], scales, strict=True)]
    of_result = means_of(result, *(each * scale for each, scale in zip(edges, scales, strict=True)))
    return shift_of_means(means_of(image, *edges), of_result, 8 * image.itemsize)


def shift_of_means(before: np.ndarray, after: np.ndarray, bits: int) -> ColourShift:
    """Return the shift between means over cells, (rows, columns, C) in levels of `bits` bits."""
    peak = 2**bits - 1
    low, high = smoothed(before) / peak, smoothed(after) / peak
    levels = tuple(255 * float(level) for level in (high - low).mean(axis=(0, 1)))
    return ColourShift(levels, float(delta_e(_lab(low), _lab(high)).mean()))


def mean_shift(shifts: Sequence[ColourShift]) -> ColourShift:
    """Return the mean over images, all gray or all RGB."""
    levels = np.mean([shift.levels for shift in shifts], axis=0)
    return ColourShift(tuple(map(float, levels)), float(np.mean([shift.delta_e for shift in shifts])))


def _lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB, or gray, in [0, 1] to CIE L*a*b* of D65: (..., 3)."""
    rgb = np.broadcast_to(rgb, (*rgb.shape[:-1], 3)).clip(0, 1)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    x, y, z = np.moveaxis(np.where(xyz > _NEAR_BLACK, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def delta_e(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the colour difference CIEDE2000 of L*a*b* values (..., 3): (...).

    Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula: implementation notes,
    supplementary test data, and mathematical observations", equations 2-22.
    """
    (light1, a1, b1), (light2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(two, -1, 0)
    stretch = 1.5 - 0.5 * _saturation((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    chroma1, chroma2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    hue1, hue2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    is_gray = chroma1 * chroma2 == 0
    turn = np.where(is_gray, 0, (hue2 - hue1 + 180) % 360 - 180)
    hue_step = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.radians(turn) / 2)
    light, chroma = (light1 + light2) / 2, (chroma1 + chroma2) / 2
    hue = np.where(is_gray, hue1 + hue2, (hue1 + turn / 2) % 360)
    far = (light - 50) ** 2
    light_weight = 1 + 0.015 * far / np.sqrt(20 + far)
    chroma_weight = 1 + 0.045 * chroma
    hue_weight = 1 + 0.015 * chroma * _hue_factor(hue)
    rotation = -2 * _saturation(chroma) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    by_light, by_chroma = (light2 - light1) / light_weight, (chroma2 - chroma1) / chroma_weight
    by_hue = hue_step / hue_weight
    return np.sqrt(np.maximum(by_light**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue, 0))


def _saturation(chroma: np.ndarray) -> np.ndarray:
    return np.sqrt(chroma**7 / (chroma**7 + _25_TO_THE_7))


def _hue_factor(hue: np.ndarray) -> np.ndarray:
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    return 1 + sum(height * np.cos(np.radians(times * hue + shift)) for height, times, shift in waves)
