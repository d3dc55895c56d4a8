"""Writing pictures: the suffix says the format."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from srtoolbox.errors import ImageError
from srtoolbox.image.files.file_types import DEEP_SUFFIXES, JPEG_SUFFIXES, MAX_SIDES, WRITE_SUFFIXES, listed
from srtoolbox.image.files.formats import check_quality
from srtoolbox.io import files


def write_image(path: str | os.PathLike, image: np.ndarray, *, quality: int | None = None) -> None:
    """Write HWC (or HW) uint8 or uint16, C = 1 or 3 (RGB), in the format of the suffix, atomically.

    Args:
        path: `.png`, `.tif`/`.tiff` (8 or 16 bits), `.bmp`, `.webp`, `.jpg`/`.jpeg` (8 bits). Folders are made.
        image: the picture. WebP has no gray: it comes back with three equal channels.
        quality: 1 ... 100 for JPEG (default 95, colour at full resolution) and WebP (default: lossless).

    Raises:
        ImageError: an array, or a format that cannot hold it; names the file.
        SrtoolboxError: the disk is full or the folder cannot be written.
    """
    try:
        data = encode_image(image, Path(path).suffix, quality=quality)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error.__cause__
    files.write_bytes(path, data)


def encode_image(image: np.ndarray, suffix: str = ".png", *, quality: int | None = None) -> bytes:
    """The bytes `write_image` would write to a file with this suffix."""
    kind = suffix.lower()
    _check_writable(image, kind, quality)
    options = []
    if kind in JPEG_SUFFIXES:
        kind = ".jpg"  # cv2 does not know them all
        full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, quality or 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    elif kind == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, quality or 101]  # above 100 is lossless
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 and image.shape[2] == 3 else image
    try:
        done, data = cv2.imencode(kind, np.ascontiguousarray(stored), options)
    except cv2.error as error:
        raise ImageError(f"cannot be encoded ({error.err or error})") from error
    if not done:
        raise ImageError(f"a picture of {image.shape} cannot be encoded")
    return data.tobytes()


def _check_writable(image: np.ndarray, kind: str, quality: int | None) -> None:
    if kind not in WRITE_SUFFIXES:
        raise ImageError(f"no format for suffix {kind!r}; use one of {listed()}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3) or 0 in image.shape:
        raise ImageError(f"a picture is HWC with C = 1 or 3, got an array of {image.shape}")
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"a picture is uint8 or uint16, got {image.dtype}; `to_image` makes one of a tensor")
    if image.dtype == np.uint16 and kind not in DEEP_SUFFIXES:
        raise ImageError(f"{kind} holds 8 bits per channel, the picture has 16; use .png or .tif")
    limit = MAX_SIDES.get(kind)
    if limit is not None and max(image.shape[:2]) > limit:
        raise ImageError(f"{kind} holds at most {limit} pixels a side, the picture has {image.shape[:2]}; use .png")
    check_quality(quality, kind)
