"""Work on pixels by cv2: copies, thumbnails, sums of metrics, augmentation, codecs, alpha."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from PIL import Image, features

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image.tensors import expand_gray, to_uint8

Filling = Literal["reflect", "zero"]
_BORDERS = {"reflect": cv2.BORDER_REFLECT, "zero": cv2.BORDER_CONSTANT}  # REFLECT repeats the edge

_SAMPLING_FACTORS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def copy_view(target: np.ndarray, view: np.ndarray) -> None:
    """`target[...] = view` for contiguous `target` and any mirrored or transposed HWC `view`.

    numpy copies such views pixel by pixel; cv2 is up to 20 times as fast.
    """
    pixel = view.shape[2] * view.itemsize
    transposed = abs(view.strides[1]) != pixel and abs(view.strides[0]) == pixel
    plain = view.swapaxes(0, 1) if transposed else view
    mirrored = (plain.strides[0] < 0, plain.strides[1] < 0)
    if plain.strides[2] != view.itemsize or abs(plain.strides[1]) != pixel or not (transposed or mirrored[1]):
        target[...] = view  # rows in one piece, or gray expanded to three channels
        return
    stored = plain[:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]
    if transposed:
        stored = cv2.transpose(stored, target if not any(mirrored) else None)
        mirrored = mirrored[::-1]
    if any(mirrored):
        cv2.flip(stored, -1 if all(mirrored) else int(mirrored[1]), target)


def transposed(plane: np.ndarray) -> np.ndarray:
    """Return a plane (H, W) as (W, H) in one piece: several times as fast as numpy."""
    return cv2.transpose(plane).reshape(plane.shape[::-1])


def inferno(levels: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (H, W, 3) uint8 RGB: matplotlib's colours, black (0) to yellow (255)."""
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W, C) -> (side, side) float32: means of luma over equal areas, in levels of 8 bits."""
    level = np.float32(1 if image.dtype == np.uint8 else 1 / 257)
    height, width = image.shape[:2]
    if min(height, width) > 4 * side:  # colours are mixed after a first reduction: the same, faster
        image = cv2.resize(image, (4 * side, 4 * side), interpolation=cv2.INTER_AREA)
    image = image if image.ndim == 3 else image[..., None]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    return cv2.resize(gray.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) * level


# ---- sums over pixels, for the metrics: several times as fast as in PyTorch on a CPU


def window_means(planes: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """(K, H, W) float -> Gaussian means of all windows inside: (K, H - size + 1, W - size + 1)."""
    count, height, width = planes.shape
    taps = cv2.getGaussianKernel(size, sigma).astype(planes.dtype)
    blurred = cv2.sepFilter2D(planes.reshape(count * height, width), -1, taps, taps).reshape(planes.shape)
    border = size // 2  # one filtering for all planes: what mixes neighbours is cut off
    return blurred[:, border : height - border, border : width - border]


def squared_distance(first: np.ndarray, second: np.ndarray, weights: Sequence[float] | None = None) -> float:
    """Sum over all pixels of the squared difference of two uint8 images (C, H, W), exact.

    With `weights` (C,), that of the channels' weighted sums instead, exact to float64.
    """
    if weights is None:
        return sum(cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in zip(first, second, strict=True))
    channels = list(zip(first, second, weights, strict=True))
    total = sum(weight * weight * _squared(a, b) for a, b, weight in channels)
    # twice the product of two channels' differences is this sum of squares: of whole numbers, and fast
    for (a, b, weight), (c, d, other) in itertools.combinations(channels, 2):
        total += weight * other * (_squared(a, d) + _squared(b, c) - _squared(a, c) - _squared(b, d))
    return max(total, 0.0)  # of colours that differ and have one luma it is 0, but for rounding


def _squared(a: np.ndarray, b: np.ndarray) -> int:
    return round(cv2.norm(a, b, cv2.NORM_L2SQR))  # it may be the square of a root


# ---- augmentation: HWC uint8 or uint16 in, a new image of the same kind out


def rotate(image: np.ndarray, degrees: float, centre: tuple[float, float], filling: Filling) -> np.ndarray:
    """Turn an image counter-clockwise, by bicubic interpolation (Keys' kernel, a = -0.75).

    Args:
        image: the image; the result has its size.
        degrees: the angle.
        centre: (row, column) of the point to turn about, pixel centres being whole numbers.
        filling: what lies outside of the image: the image mirrored at its edge, or black.
    """
    matrix = cv2.getRotationMatrix2D(centre[::-1], degrees, 1.0)
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=_BORDERS[filling]).reshape(image.shape)


def gaussian_blur(image: np.ndarray, sigma: float, kernel: int | None = None) -> np.ndarray:
    """Filter with a Gaussian of `sigma` px, mirrored at the edge.

    `kernel` is its side (odd); None: 3 sigma each way.
    """
    side = 2 * int(np.ceil(3 * sigma)) + 1 if kernel is None else kernel
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT).reshape(image.shape)


def compress_jpeg(image: np.ndarray, quality: int, subsampling: str = "4:2:0") -> np.ndarray:
    """Return the image as a JPEG of this quality (1 ... 100) holds it: in 8 bits.

    `subsampling` of chroma is '4:4:4', '4:2:2', '4:4:0' or '4:2:0'.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.shape[2] == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING_FACTORS[subsampling]]
    return _coded(image, ".jpg", options)


def compress_webp(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the image as a lossy WebP of this quality (1 ... 100) holds it: in 8 bits, 4:2:0."""
    return _coded(image, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])


def require_avif() -> None:
    """Raise a SrtoolboxError where Pillow cannot write AVIF."""
    if not features.check("avif"):
        raise SrtoolboxError("this build of Pillow has no AVIF codec: pip install --force-reinstall pillow")


def compress_avif(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the image as an AVIF of this quality (1 ... 100) holds it: in 8 bits, 4:2:0."""
    file, stored = io.BytesIO(), to_uint8(image)
    Image.fromarray(expand_gray(stored)).save(file, "AVIF", quality=quality, speed=10, max_threads=1)
    result = np.array(Image.open(file).convert("RGB" if image.shape[2] == 3 else "L")).reshape(image.shape)
    return result if image.dtype == np.uint8 else result.astype(np.uint16) * 257


def _coded(image: np.ndarray, suffix: str, options: Sequence[int]) -> np.ndarray:
    stored = to_uint8(image)
    colour = image.shape[2] == 3
    stored = cv2.cvtColor(stored, cv2.COLOR_RGB2BGR) if colour else np.ascontiguousarray(stored)
    _, data = cv2.imencode(suffix, stored, options)
    result = cv2.imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    assert result is not None, "cv2 reads the file it wrote"
    result = cv2.cvtColor(result, cv2.COLOR_BGR2RGB) if colour else result[..., None]
    return result if image.dtype == np.uint8 else result.astype(np.uint16) * 257


def mix_channels(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Weigh and add the channels for each new one, plus a constant: `matrix` (C, C + 1), in levels.

    The result is clipped and rounded (to within one level).
    """
    return cv2.transform(image, matrix).reshape(image.shape)


def channel_means(image: np.ndarray) -> np.ndarray:
    """Mean level of each channel, float64 (C,)."""
    return np.array(cv2.mean(image)[: image.shape[2]])


# ---- transparency


def fill_hidden(colours: np.ndarray, alpha: np.ndarray, wraps: tuple[bool, bool] = (False, False)) -> np.ndarray:
    """Replace the colour of each fully transparent pixel by that of the nearest visible one.

    What a program left under transparent pixels, often black or white, would show as a rim: an
    upscaled pixel at the edge is made of pixels on both sides of it.

    Args:
        colours: (H, W, C).
        alpha: (H, W, 1).
        wraps: True for each of rows and columns if they go on with the opposite side.
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
    nearest = np.zeros(labels.max() + 1, np.int64)  # label -> its visible pixel's place
    nearest[labels[~padded]] = np.flatnonzero(~padded)
    labels = labels[_inner(hidden.shape, halves, wraps)]
    row, column = np.divmod(nearest[labels[hidden]], padded.shape[1])
    filled = colours.copy()
    filled[hidden] = colours[rows[row, 0], columns[0, column]]
    return filled


def _around(shape: Sequence[int], margins: Sequence[int], wraps: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of an image with margins; wrapped axes go on at the other side."""
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
    """The bounds of the alpha of an upscaled image: the least and most of the 3 x 3 pixels around.

    Along a side that gets smaller it is all the pixels that the bicubic filter sees. Interpolation
    and networks overshoot and are never exactly flat: an opaque image would not stay opaque.

    Args:
        alpha: (H, W, 1) uint8 or uint16, of the small image.
        size: (height, width) of the upscaled one.
        wraps: True for each of rows and columns if they go on with the opposite side.
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
