"""Plain work on pixels that cv2 does several times as fast as numpy or, on a CPU, PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_BAND = 1 << 16  # pixels summed at a time: they stay in the cache


def copy_view(target: np.ndarray, view: np.ndarray) -> None:
    """`target[...] = view` for contiguous `target` and any mirrored or transposed HWC `view` of an
    image.

    numpy copies such views pixel by pixel; cv2 knows the few orientations there are and is up to 20
    times as fast.
    """
    pixel = view.shape[2] * view.itemsize
    transposed = abs(view.strides[1]) != pixel and abs(view.strides[0]) == pixel
    plain = view.swapaxes(0, 1) if transposed else view
    mirrored = (plain.strides[0] < 0, plain.strides[1] < 0)
    if plain.strides[2] != view.itemsize or abs(plain.strides[1]) != pixel or not (transposed or mirrored[1]):
        target[...] = view  # rows in one piece, or a view of another kind (gray expanded to three channels)
        return
    stored = plain[:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]
    if transposed:
        stored = cv2.transpose(stored, target if not any(mirrored) else None)
        mirrored = mirrored[::-1]
    if any(mirrored):
        cv2.flip(stored, -1 if all(mirrored) else int(mirrored[1]), target)


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """Return the luma of an image as means over `side` x `side` equal areas, to compare images by.

    (H, W, C) uint8 or uint16 -> (side, side) float32, in levels of 8 bits, whatever the size and
    the proportions of the image.
    """
    level = np.float32(1 if image.dtype == np.uint8 else 1 / 257)
    height, width = image.shape[:2]
    if min(height, width) > 4 * side:  # colours are mixed after a first reduction: the same, faster
        image = cv2.resize(image, (4 * side, 4 * side), interpolation=cv2.INTER_AREA)
    image = image if image.ndim == 3 else image[..., None]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    return cv2.resize(gray.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) * level


# ---- sums over pixels, for the metrics: several times as fast here as in PyTorch on a CPU


def window_means(planes: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """Gaussian-weighted means of all size x size windows inside: (K, H, W) float -> (K, H - size + 1, W - size + 1)."""
    count, height, width = planes.shape
    taps = cv2.getGaussianKernel(size, sigma).astype(planes.dtype)
    blurred = cv2.sepFilter2D(planes.reshape(count * height, width), -1, taps, taps).reshape(planes.shape)
    border = size // 2  # one filtering for all planes: what mixes neighbouring planes or leaves the image is cut off
    return blurred[:, border : height - border, border : width - border]


def squared_distance(first: np.ndarray, second: np.ndarray, weights: Sequence[float] | None = None) -> float:
    """Sum over all pixels of the squared difference of two uint8 images (C, H, W), exact.

    With `weights` (C,), that of the channels' weighted sums instead, exact to float32.
    """
    if weights is None:
        return sum(cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in zip(first, second, strict=True))
    total, rows = 0.0, max(1, _BAND // first.shape[2])
    for top in range(0, first.shape[1], rows):
        pairs = zip(first[:, top : top + rows], second[:, top : top + rows], strict=True)
        differences = [cv2.subtract(a, b, dtype=cv2.CV_32F) for a, b in pairs]
        mixed = differences[0] * np.float32(weights[0])
        for difference, weight in zip(differences[1:], weights[1:], strict=True):
            mixed = cv2.scaleAdd(difference, weight, mixed)
        total += cv2.norm(mixed, cv2.NORM_L2SQR)
    return total
