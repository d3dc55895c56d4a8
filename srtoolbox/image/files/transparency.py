"""Transparency: hidden colours must not reach visible ones, and alpha must stay what it is."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def fill_hidden(colours: np.ndarray, alpha: np.ndarray, wraps: tuple[bool, bool] = (False, False)) -> np.ndarray:
    """Replace the colour of each fully transparent pixel by that of the nearest visible one.

    An upscaled pixel at the edge is made of pixels on both sides of it; what a program left under
    the transparent ones, often black or white, would show as a rim.

    Args:
        colours: (H, W, C).
        alpha: (H, W, 1).
        wraps: whether rows, and columns, go on with the opposite side, where the nearest one may
            lie.
    """
    hidden = alpha[..., 0] == 0
    if not hidden.any() or hidden.all():
        return colours
    halves = [length // 2 for length in hidden.shape]  # nothing is farther away where an axis wraps
    rows, columns = _around(hidden.shape, halves, wraps)
    padded = hidden[rows, columns] if any(wraps) else hidden
    _, labels = cv2.distanceTransformWithLabels(
        padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1, np.int64)  # label -> place of the visible pixel it stands for
    nearest[labels[~padded]] = np.flatnonzero(~padded)
    labels = labels[_inner(hidden.shape, halves, wraps)]
    row, column = np.divmod(nearest[labels[hidden]], padded.shape[1])
    filled = colours.copy()
    filled[hidden] = colours[rows[row, 0], columns[0, column]]
    return filled


def _around(shape: Sequence[int], margins: Sequence[int], wraps: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of an image with margins, in which wrapped axes go on at the other side."""
    rows, columns = np.ix_(
        *(
            np.arange(-margin, length + margin) % length if is_wrapped else np.arange(length)
            for length, margin, is_wrapped in zip(shape, margins, wraps, strict=True)
        )
    )
    return rows, columns


def _inner(shape: Sequence[int], margins: Sequence[int], wraps: Sequence[bool]) -> tuple[slice, ...]:
    """Return the slices of the image within that of `_around`."""
    sides = zip(shape, margins, wraps, strict=True)
    return tuple(
        slice(margin, margin + length) if is_wrapped else slice(length) for length, margin, is_wrapped in sides
    )


class AlphaBounds:
    """The bounds of the alpha of an upscaled image: the least and the most of the 3 x 3 pixels
    around.

    Along a side that gets smaller it is all the pixels that the bicubic filter sees.

    Interpolation and networks overshoot at edges and are never exactly flat: an opaque image would
    become transparent by a level here and there.

    Args:
        alpha: (H, W, 1) uint8 or uint16, of the small image.
        size: (height, width) of the upscaled one.
        wraps: whether rows, and columns, go on with the opposite side.
    """

    def __init__(self, alpha: np.ndarray, size: tuple[int, int], wraps: tuple[bool, bool] = (False, False)) -> None:
        sides = zip(size, alpha.shape[:2], strict=True)
        reach = [1 if new >= old else -(-2 * old // new) for new, old in sides]
        around = np.ones([2 * far + 1 for far in reach], np.uint8)
        inner = _inner(alpha.shape[:2], reach, wraps)
        padded = alpha[..., 0][_around(alpha.shape[:2], reach, wraps)]
        self._least = cv2.erode(padded, around)[inner]
        self._most = cv2.dilate(padded, around)[inner]
        self._rows, self._columns = (
            np.arange(long) * short // long for long, short in zip(size, alpha.shape[:2], strict=True)
        )

    def clip(self, band: np.ndarray, top: int) -> np.ndarray:
        """Rows `top` ... of the upscaled alpha (h, W, 1), brought between the bounds."""
        rows = self._rows[top : top + len(band)]
        least, most = (bound[rows][:, self._columns, None] for bound in (self._least, self._most))
        return np.clip(band, least, most)
