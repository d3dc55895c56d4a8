"""Writing pictures with alpha and metadata, whole or in bands of rows; the suffix says the format.

PNG and TIFF are written as the rows come; the other formats need the whole picture in memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image.files import exif
from srtoolbox.image.files.file_types import TIFF_SUFFIXES
from srtoolbox.image.files.formats import Form, check_quality, converted, fitted
from srtoolbox.image.files.metadata import Metadata
from srtoolbox.image.files.picture import Picture
from srtoolbox.image.files.png import write_png
from srtoolbox.image.files.tiff import write_tiff
from srtoolbox.io import files

_STREAMED = {".png": write_png, **dict.fromkeys(TIFF_SUFFIXES, write_tiff)}
# method and quality are the effort: 1-3 % larger files than by Pillow's own, in a half to a seventh of the time
_WEBP_LOSSLESS = {"lossless": True, "exact": True, "method": 2, "quality": 20}
_WEBP_SHORTAGES = ("encoding error 1", "encoding error 2")  # libwebp's numbers for want of memory
_JPEG_SEGMENT = 65000  # bytes of EXIF or XMP that surely fit into a JPEG


def form_of(picture: Picture) -> Form:
    """The shape of a picture's pixels, alpha included."""
    height, width, channels = picture.pixels.shape
    return Form(height, width, channels + (picture.alpha is not None), 8 * picture.pixels.dtype.itemsize)


def write_picture(path: str | os.PathLike, picture: Picture, *, quality: int | None = None) -> list[str]:
    """Write a picture with its alpha and metadata in the format of the suffix, atomically.

    Args:
        path: `.png`, `.tif`/`.tiff` (8 or 16 bits), `.webp` (8 bits), `.jpg`/`.jpeg`, `.bmp` (8 bits, no alpha).
        picture: what to write. Of metadata BMP keeps the resolution, WebP all but that.
        quality: 1 ... 100 for JPEG (default 95, colour at full resolution) and WebP (default: lossless).

    Returns:
        A line for each thing the format cannot hold: of 16 bits the lower 8, transparency (laid over white).

    Raises:
        ImageError: a format, size or quality that does not exist; names the file.
        SrtoolboxError: the disk is full or the folder cannot be written.
    """
    whole = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha], axis=2)
    return write_bands(path, [whole], form_of(picture), picture.metadata, quality=quality)


def write_bands(
    path: str | os.PathLike,
    bands: Iterable[np.ndarray],
    form: Form,
    metadata: Metadata,
    *,
    quality: int | None = None,
) -> list[str]:
    """As `write_picture`, from bands of rows (h, W, C), top to bottom, alpha being the last channel."""
    suffix = Path(path).suffix
    try:
        lost = check_form(form, suffix, quality)
        files.atomic_write(path, lambda file: encode_bands(file, suffix, bands, form, metadata, quality=quality))
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error.__cause__
    return lost


def check_form(form: Form, suffix: str, quality: int | None = None) -> list[str]:
    """What gets lost in this format, known before any work. Raises ImageError where nothing can be written."""
    check_quality(quality, suffix)
    return fitted(form, suffix)[1]


def encode_bands(
    file: BinaryIO,
    suffix: str,
    bands: Iterable[np.ndarray],
    form: Form,
    metadata: Metadata,
    *,
    quality: int | None = None,
) -> None:
    """Write bands into an open, seekable file."""
    target, _ = fitted(form, suffix)
    fitting = (converted(band, target) for band in bands)
    stream = _STREAMED.get(suffix.lower())
    if stream is not None:
        stream(file, fitting, target, metadata)
    else:
        pixels = _gathered(fitting, target)
        with _encoder_faults(suffix.lower()):
            _write_by_pillow(file, suffix.lower(), pixels, target, metadata, quality)


def _gathered(bands: Iterable[np.ndarray], form: Form) -> np.ndarray:
    """The whole picture of its bands; the first one itself if it is all."""
    whole: np.ndarray | None = None
    filled = 0
    for band in bands:
        if len(band) == form.height:
            return band
        if whole is None:
            whole = np.empty((form.height, form.width, form.channels), form.dtype)
        whole[filled : filled + len(band)] = band
        filled += len(band)
    assert whole is not None and filled == form.height, "bands make up the picture"
    return whole


@contextlib.contextmanager
def _encoder_faults(suffix: str) -> Iterator[None]:
    """What Pillow's encoders fail with becomes an ImageError; what the file fails with (OSError) stays."""
    try:
        yield
    except (ValueError, RuntimeError, SystemError) as error:
        if str(error) in _WEBP_SHORTAGES:
            raise ImageError(f"memory does not suffice to encode {suffix}; .png and .tif take less") from error
        raise ImageError(f"cannot be encoded as {suffix} ({error}); use .png") from error


def _write_by_pillow(
    file: BinaryIO, suffix: str, pixels: np.ndarray, form: Form, metadata: Metadata, quality: int | None
) -> None:
    image = Image.fromarray(pixels[..., 0] if form.channels == 1 else pixels)
    dpi = {"dpi": metadata.dpi} if metadata.dpi else {}
    if suffix == ".bmp":
        image.save(file, "BMP", **dpi)
        return
    block = exif.resized(metadata.exif, form.height, form.width) if metadata.exif else b""
    blocks = {"icc_profile": metadata.icc_for(form.colours), "exif": block and b"Exif\0\0" + block, "xmp": metadata.xmp}
    kept = {name: value for name, value in blocks.items() if value}
    if suffix == ".webp":
        image.save(file, "WEBP", **(_WEBP_LOSSLESS if quality is None else {"quality": quality}), **kept)
    else:
        kept = {name: value for name, value in kept.items() if name == "icc_profile" or len(value) <= _JPEG_SEGMENT}
        image.save(file, "JPEG", quality=quality or 95, subsampling=0, **kept, **dpi)
