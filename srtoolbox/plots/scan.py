"""The progressive scan: how an upscaled picture appears tile by tile over bicubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.plots.animation import evenly
from srtoolbox.plots.grid import Cell, grid, same_size
from srtoolbox.resize import imresize

Area = tuple[slice, slice]
_MARK = np.array((220, 50, 47), np.uint8)


def tile_areas(size: tuple[int, int], tile: int, scale: int) -> list[Area]:
    """Tiles of an input of (height, width) pixels in reading order, as equal as possible: areas of the result."""
    borders = []
    for length in size:
        count = -(-length // tile)
        borders.append([length * number // count * scale for number in range(count + 1)])
    rows, columns = ([slice(*pair) for pair in pairwise(places)] for places in borders)
    return [(row, column) for row in rows for column in columns]


def scan_frames(
    lq: np.ndarray, result: np.ndarray, areas: Sequence[Area], *, most: int = 60, width: int = 900
) -> list[np.ndarray]:
    """Frames from bicubic to the whole result, the tile that came last outlined.

    Args:
        lq: the input, HWC uint8 or uint16.
        result: what the network made of it, of any larger size.
        areas: the tiles in the order they are worked on: rows and columns of `result`.
        most: at most so many frames, then several tiles come at a time.
        width: px the picture is wide at most; a larger one is shrunk, a small one shown in blocks of pixels.

    Returns:
        HWC uint8 RGB frames of one size.
    """
    result = expand_gray(to_uint8(result))
    canvas = np.ascontiguousarray(imresize(expand_gray(to_uint8(lq)), size=result.shape[:2]))
    line = max(1, round(result.shape[1] / width * 3))
    frames, done = [], 0
    for number in evenly(len(areas) + 1, most):
        for area in areas[done:number]:
            canvas[area] = result[area]
        done = number
        shown = canvas.copy()
        if 0 < number < len(areas):
            _outline(shown, areas[number - 1], line)
        title = f"tile {number} of {len(areas)}" if number else "bicubic"
        frames.append(grid([[Cell(shown)]], title=title, cell=width))
    return same_size(frames)


def _outline(image: np.ndarray, area: Area, line: int) -> None:
    """A frame inside an area, `line` px thick."""
    inside = image[area]
    inside[:line], inside[-line:], inside[:, :line], inside[:, -line:] = _MARK, _MARK, _MARK, _MARK
