"""Small copies of pictures to compare pictures by."""

from __future__ import annotations

import cv2
import numpy as np


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """The luma of a picture (H, W, C) uint8 or uint16 as means over `side` x `side` equal areas: (side, side) float32,
    in levels of 8 bit. A picture's size and proportions do not matter to it.
    """
    level = np.float32(1 if image.dtype == np.uint8 else 1 / 257)
    height, width = image.shape[:2]
    if min(height, width) > 4 * side:  # colours are mixed after a first reduction: the same, faster
        image = cv2.resize(image, (4 * side, 4 * side), interpolation=cv2.INTER_AREA)
    image = image if image.ndim == 3 else image[..., None]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    return cv2.resize(gray.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) * level
