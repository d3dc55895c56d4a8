"""Writing images, plain or with alpha and metadata, whole or in bands; the suffix says the format.

Of bands PNG and TIFF are written as the rows come; the other formats need the whole in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image.file_types import (
    DEEP_SUFFIXES,
    JPEG_SUFFIXES,
    MAX_SIDES,
    QUALITY_SUFFIXES,
    TIFF_SUFFIXES,
    WRITE_SUFFIXES,
    listed,
)
from srtoolbox.image.metadata import Metadata, resized_exif
from srtoolbox.image.provenance import split_xmp
from srtoolbox.image.reading import Picture
from srtoolbox.image.streaming import Form, write_png, write_tiff
from srtoolbox.image.tensors import expand_gray, to_uint8
from srtoolbox.io import files

_STREAMED = {".png": write_png, **dict.fromkeys(TIFF_SUFFIXES, write_tiff)}
# method and quality are the effort: files 1-3 % larger than Pillow's own, made 2-7 times as fast
_WEBP_LOSSLESS = {"lossless": True, "exact": True, "method": 2, "quality": 20}
_JPEG_SEGMENT = 65000  # bytes of EXIF or XMP that surely fit into a JPEG


def write_image(path: str | os.PathLike, image: np.ndarray, *, quality: int | None = None) -> None:
    """Write HWC (or HW) uint8 or uint16, C = 1 or 3 (RGB), in the format of the suffix, atomically.

    Args:
        path: `.png`, `.tif`/`.tiff` (8 or 16 bits), `.bmp`, `.webp`, `.jpg`/`.jpeg` (8 bits).
            Folders are made.
        image: the image. WebP has no gray: it comes back with three equal channels.
        quality: 1 ... 100 for JPEG (default 95, colour at full size) and WebP (default: lossless).

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
        raise ImageError(f"an image of {image.shape} cannot be encoded")
    return data.tobytes()


def _check_writable(image: np.ndarray, kind: str, quality: int | None) -> None:
    if kind not in WRITE_SUFFIXES:
        raise ImageError(f"no format for suffix {kind!r}; use one of {listed()}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3) or 0 in image.shape:
        raise ImageError(f"an image is HWC with C = 1 or 3, got an array of {image.shape}")
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"an image is uint8 or uint16, got {image.dtype}; `to_image` makes one of a tensor")
    if image.dtype == np.uint16 and kind not in DEEP_SUFFIXES:
        raise ImageError(f"{kind} holds 8 bits per channel, the image has 16; use .png or .tif")
    limit = MAX_SIDES.get(kind)
    if limit is not None and max(image.shape[:2]) > limit:
        raise ImageError(f"{kind} holds at most {limit} pixels a side, the image has {image.shape[:2]}; use .png")
    _check_quality(quality, kind)


def _check_quality(quality: int | None, suffix: str) -> None:
    """Raise ImageError for a quality no format has, or that this one does not know."""
    if quality is not None and (suffix.lower() not in QUALITY_SUFFIXES or not 1 <= quality <= 100):
        raise ImageError(f"quality is 1 ... 100, for .jpg and .webp only, got {quality!r} for {suffix}")


# ---- with alpha and metadata


def form_of(picture: Picture) -> Form:
    """The shape of an image's pixels, alpha included."""
    height, width, channels = picture.pixels.shape
    return Form(height, width, channels + (picture.alpha is not None), 8 * picture.pixels.dtype.itemsize)


def write_picture(path: str | os.PathLike, picture: Picture, *, quality: int | None = None) -> list[str]:
    """Write an image with its alpha and metadata in the format of the suffix, atomically.

    Args:
        path: `.png`, `.tif`/`.tiff` (8 or 16 bits), `.webp` (8 bits), `.jpg`/`.jpeg`, `.bmp` (8
            bits, no alpha).
        picture: what to write. Of metadata BMP keeps the resolution, WebP all but that.
        quality: as of `write_image`.

    Returns:
        A line for each thing lost: of 16 bits the lower 8, transparency (laid over white).

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
    """Write like `write_picture`, from bands of rows (h, W, C), top to bottom, alpha last."""
    suffix = Path(path).suffix
    try:
        lost = [*check_form(form, suffix, quality), *provenance_lost(metadata, suffix)]
        files.atomic_write(path, lambda file: encode_bands(file, suffix, bands, form, metadata, quality=quality))
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error.__cause__
    return lost


def check_form(form: Form, suffix: str, quality: int | None = None) -> list[str]:
    """Return what gets lost in this format; raise ImageError where nothing can be written."""
    _check_quality(quality, suffix)
    return _fitted(form, suffix)[1]


def provenance_lost(metadata: Metadata, suffix: str) -> list[str]:
    """Return a line where a result cannot say where it comes from, though its format can."""
    suffix = suffix.lower()
    if metadata.provenance is None or suffix in (".png", ".bmp"):
        return []
    xmp = metadata.xmp_with_provenance(_JPEG_SEGMENT if suffix in JPEG_SUFFIXES else None)
    if xmp and split_xmp(xmp)[1]:
        return []
    return ["does not say where it comes from: the XMP of the input, which is kept, has no room for it"]


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
    target, _ = _fitted(form, suffix)
    fitting = (_converted(band, target) for band in bands)
    stream = _STREAMED.get(suffix.lower())
    if stream is not None:
        stream(file, fitting, target, metadata)
    else:
        pixels = _gathered(fitting, target)
        suffix = suffix.lower()
        try:
            _write_by_pillow(file, suffix, pixels, target, metadata, quality)
        except (ValueError, RuntimeError, SystemError) as error:  # an OSError is the file's
            # libwebp's for want of memory
            if str(error) in ("encoding error 1", "encoding error 2"):
                raise ImageError(f"memory does not suffice to encode {suffix}; .png and .tif take less") from error
            raise ImageError(f"cannot be encoded as {suffix} ({error}); use .png") from error


def _gathered(bands: Iterable[np.ndarray], form: Form) -> np.ndarray:
    """The whole image of its bands; the first one itself if it is all."""
    whole: np.ndarray | None = None
    filled = 0
    for band in bands:
        if len(band) == form.height:
            return band
        if whole is None:
            whole = np.empty((form.height, form.width, form.channels), band.dtype)
        whole[filled : filled + len(band)] = band
        filled += len(band)
    assert whole is not None and filled == form.height, "bands make up the image"
    return whole


def _write_by_pillow(
    file: BinaryIO, suffix: str, pixels: np.ndarray, form: Form, metadata: Metadata, quality: int | None
) -> None:
    image = Image.fromarray(pixels[..., 0] if form.channels == 1 else pixels)
    dpi = {"dpi": metadata.dpi} if metadata.dpi else {}
    if suffix == ".bmp":
        image.save(file, "BMP", **dpi)
        return
    block = resized_exif(metadata.exif, form.height, form.width) if metadata.exif else b""
    xmp = metadata.xmp_with_provenance(None if suffix == ".webp" else _JPEG_SEGMENT)
    blocks = {"icc_profile": metadata.icc_for(form.colours), "exif": block and b"Exif\0\0" + block, "xmp": xmp}
    kept = {name: value for name, value in blocks.items() if value}
    if suffix == ".webp":
        image.save(file, "WEBP", **(_WEBP_LOSSLESS if quality is None else {"quality": quality}), **kept)
    else:
        kept = {name: value for name, value in kept.items() if name == "icc_profile" or len(value) <= _JPEG_SEGMENT}
        image.save(file, "JPEG", quality=quality or 95, subsampling=0, **kept, **dpi)


def _fitted(form: Form, suffix: str) -> tuple[Form, list[str]]:
    """The form an image takes in the format of a suffix, and a line for each thing that gets lost.

    Raises:
        ImageError: no format has this suffix, or a side is longer than the format can tell.
    """
    suffix = suffix.lower()
    if suffix not in WRITE_SUFFIXES:
        raise ImageError(f"no format for suffix {suffix!r}; use one of {listed()}")
    if max(form.height, form.width) > MAX_SIDES.get(suffix, 2**31 - 1):
        size = f"{form.width} x {form.height}"
        raise ImageError(f"{suffix} holds at most {MAX_SIDES[suffix]} pixels a side, this image has {size}; use .png")
    lost, channels, bits = [], form.channels, form.bits
    if bits == 16 and suffix not in DEEP_SUFFIXES:
        bits = 8
        lost.append(f"16 bits became 8, which is what {suffix} holds (.png and .tif hold 16)")
    if form.has_alpha and suffix not in (*DEEP_SUFFIXES, ".webp"):
        channels = form.colours
        lost.append(f"transparency became white, {suffix} holds none (.png, .webp and .tif do)")
    # three equal channels: WebP has no gray, and few programs read a TIFF of 16-bit gray and alpha
    if suffix == ".webp" and form.colours == 1:
        channels = 4 if form.has_alpha else 3
    elif suffix in TIFF_SUFFIXES and (form.channels, form.bits) == (2, 16):
        channels = 4
    return Form(form.height, form.width, channels, bits), lost


def _converted(band: np.ndarray, form: Form) -> np.ndarray:
    """Convert rows (h, W, C): alpha laid over white, 16 bits rounded to 8, gray as RGB."""
    has_alpha = band.shape[2] in (2, 4)
    colours, alpha = (band[..., :-1], band[..., -1:]) if has_alpha else (band, None)
    if alpha is not None and not form.has_alpha:
        peak = np.iinfo(colours.dtype).max
        share = alpha.astype(np.float32) / peak
        colours, alpha = np.rint(colours * share + peak * (1 - share)).astype(colours.dtype), None
    if form.colours == 3:
        colours = expand_gray(colours)
    band = colours if alpha is None else np.concatenate([colours, alpha], axis=2)
    return np.ascontiguousarray(to_uint8(band) if form.bits == 8 else band)
