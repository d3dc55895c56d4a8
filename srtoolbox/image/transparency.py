"""Transparency: colours that nobody sees must not reach those that are seen, and alpha must stay what it is."""

from __future__ import annotations

import cv2
import numpy as np


def fill_hidden(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`colours` (HWC) with every fully transparent pixel's replaced by that of the nearest visible one.

    An upscaled pixel at the edge is made of pixels on both sides of it; what a program left under the transparent
    ones, often black or white, would show as a rim.
    """
    hidden = alpha[..., 0] == 0
    if not hidden.any() or hidden.all():
        return colours
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1, np.int64)  # label -> place of the visible pixel it stands for
    nearest[labels[~hidden]] = np.flatnonzero(~hidden)
    filled = colours.copy()
    filled[hidden] = colours.reshape(-1, colours.shape[2])[nearest[labels[hidden]]]
    return filled


class AlphaBounds:
    """Between what the alpha of an upscaled picture may lie: the least and the most of the 3 x 3 pixels around.

    Along a side that gets smaller it is all the pixels that the bicubic filter sees.

    Interpolation and networks overshoot at edges and are never exactly flat: an opaque picture would become
    transparent by a level here and there.

    Args:
        alpha: (H, W, 1) uint8 or uint16, of the small picture.
        size: (height, width) of the upscaled one.
    """

    def __init__(self, alpha: np.ndarray, size: tuple[int, int]) -> None:
        sides = zip(size, alpha.shape[:2], strict=True)
        around = np.ones([3 if new >= old else 2 * -(-2 * old // new) + 1 for new, old in sides], np.uint8)
        self._least = cv2.erode(alpha[..., 0], around)
        self._most = cv2.dilate(alpha[..., 0], around)
        self._rows, self._columns = (
            np.arange(long) * short // long for long, short in zip(size, alpha.shape[:2], strict=True)
        )

    def clip(self, band: np.ndarray, top: int) -> np.ndarray:
        """Rows `top` ... of the upscaled alpha (h, W, 1), brought between the bounds."""
        rows = self._rows[top : top + len(band)]
        least, most = (bound[rows][:, self._columns, None] for bound in (self._least, self._most))
        return np.clip(band, least, most)
