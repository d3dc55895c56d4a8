"""Changes of images by augmentation: HWC uint8 or uint16 in, a new image of the same kind out."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from srtoolbox.image.tensors import to_uint8

Filling = Literal["reflect", "zero"]
_BORDERS = {"reflect": cv2.BORDER_REFLECT, "zero": cv2.BORDER_CONSTANT}  # cv2's REFLECT repeats the edge pixel


def rotate(image: np.ndarray, degrees: float, centre: tuple[float, float], filling: Filling) -> np.ndarray:
    """`image` turned about a point, counter-clockwise, with bicubic interpolation (Keys' kernel,
    a = -0.75).

    Args:
        image: the image; the result has its size.
        degrees: the angle.
        centre: (row, column) of the point, pixel centres being whole numbers.
        filling: what lies outside of the image: the image mirrored at its edge, or black.
    """
    matrix = cv2.getRotationMatrix2D(centre[::-1], degrees, 1.0)
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=_BORDERS[filling]).reshape(image.shape)


def gaussian_blur(image: np.ndarray, sigma: float, kernel: int | None = None) -> np.ndarray:
    """`image` filtered with a Gaussian of `sigma` px, mirrored at the edge; `kernel` is its side
    (odd), or None for as many px as it takes (3 sigma each way).
    """
    side = 2 * int(np.ceil(3 * sigma)) + 1 if kernel is None else kernel
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT).reshape(image.shape)


def compress_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """`image` as a JPEG file of this quality (1 ... 100) would hold it, colour at half resolution
    (4:2:0) as in most.

    JPEG has 8 bits: of a uint16 image the lower ones are lost.
    """
    stored = to_uint8(image)
    colour = image.shape[2] == 3
    stored = cv2.cvtColor(stored, cv2.COLOR_RGB2BGR) if colour else np.ascontiguousarray(stored)
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    result = cv2.imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    assert result is not None, "cv2 reads the JPEG it wrote"
    result = cv2.cvtColor(result, cv2.COLOR_BGR2RGB) if colour else result[..., None]
    return result if image.dtype == np.uint8 else result.astype(np.uint16) * 257


def mix_channels(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Each channel of the result a weighted sum of all, plus a constant in levels: `matrix`
    (C, C + 1); clipped and rounded (to within one level).
    """
    return cv2.transform(image, matrix).reshape(image.shape)


def channel_means(image: np.ndarray) -> np.ndarray:
    """Mean level of each channel, float64 (C,)."""
    return np.array(cv2.mean(image)[: image.shape[2]])
