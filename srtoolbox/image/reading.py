"""Reading images: plain ones, as stores hold them, and `Picture`s, which are upscaled.

An image is an array HWC, uint8 or uint16, C = 1 (gray) or 3 (RGB). A file becomes one by these
rules, the same from a folder and an LMDB; `image_shape` knows the result without decoding:

- The content decides, not the suffix: PNG, JPEG, BMP, TIFF, WebP, GIF or AVIF, with the extra
  `formats` also HEIC and JPEG XL. Anything else is refused by its name.
- 8 and 16 bits per channel stay what they are. Gray of 1, 2 or 4 bits is spread over 0 ... 255.
  Float, 32-bit, signed and other depths are refused: they have no white level of their own.
- Gray, with or without alpha, is C = 1. Palette, CMYK, YCbCr and Lab become RGB (WebP has no gray:
  always RGB).
- Alpha (also a palette's or a transparent colour) is dropped, the colours under it are left as
  stored; those a TIFF stores multiplied with alpha are divided by it.
- 10 and 12 bits of AVIF and HEIC, and deep colour of JPEG XL, are read as 8 (see `image_facts`).
- The orientation is applied, whether EXIF, XMP or the container tells it (`headers`). Colour
  profiles and gamma are not: values are what the file holds.
- One image per file: animations and multi-page files are refused, but for what cameras add to a
  photograph (MPO, HEIC).
- A damaged or truncated file is refused, never half read; so is one that declares more than
  `MAX_PIXELS`.

A `Picture` differs:

- Alpha is kept, whichever way a file tells it: a channel, a palette's transparency, a transparent
  colour.
- CMYK with an ICC profile becomes sRGB through it (relative colorimetric, black point compensated);
  the result has no profile, which means sRGB. Without a profile, or with a broken one, the plain
  formula serves, as in stores.
- Colour profile, EXIF, XMP and resolution are kept; the orientation is applied, so it is 1 in them.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageCms

from srtoolbox.errors import ImageError
from srtoolbox.image.file_types import AVIF, START_BYTES, kind_of
from srtoolbox.image.headers import EXTRA_SAMPLES, PNG_START, Header, png_chunks, read_header
from srtoolbox.image.metadata import Metadata, metadata_of, metadata_of_png, profile_space
from srtoolbox.image.opening import MAX_BYTES, check_pixels, open_by_pillow, tiff_tags

_UNASSOCIATED = 2  # TIFF's fourth channel: alpha that the colours are not multiplied with
_ALPHA_MODES = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_DURATION = 100  # ms, where a file tells none, as browsers take it


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image: HWC uint8 or uint16, C = 1 or 3 (RGB), by the rules of this module.

    Raises:
        ImageError: names the file, what is wrong with it and what to do.
    """
    with _open_image(path) as file:
        return decode_image(file.read(), os.fspath(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of a file, exactly as `read_image`; errors call it `name`."""
    with _faults_name(name):
        header = read_header(io.BytesIO(data))
        if header.by_cv2:
            image, _ = _decode_by_cv2(data, header)
        else:
            with open_by_pillow(io.BytesIO(data)) as opened:
                opened.load()
                image = _colours_of(opened, header.channels)
        _check_size(image, header)
        return _rotated(image, header.orientation)


def image_facts(path: str | os.PathLike) -> tuple[tuple[int, int, int], int]:
    """Read the header of an image alone.

    Returns:
        (H, W, C) of what `read_image` returns; bits per channel where they are read as 8, else 0.

    Raises:
        ImageError: as `read_image`, except for damage that only decoding shows.
    """
    with _open_image(path) as file, _faults_name(os.fspath(path)):
        header = read_header(file)
        return header.shape, header.deep_bits


def image_shape(path: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of what `read_image` would return; errors as of `image_facts`."""
    return image_facts(path)[0]


def decoded_shape(data: bytes, name: str) -> tuple[int, int, int]:
    """(H, W, C) of what `decode_image` would return, from the header alone."""
    with _faults_name(name):
        return read_header(io.BytesIO(data)).shape


def _check_size(image: np.ndarray, header: Header) -> None:
    """Raise ImageError unless a decoded image is what its header promised."""
    if image.shape != (header.height, header.width, header.channels):
        raise ImageError(f"damaged: decoded to {image.shape}, its header promises {header[:3]}")


def _decode_by_cv2(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode colour and alpha (HW1 or None) of PNG (cv2 is fastest) and 16-bit TIFF; unrotated."""
    if data.startswith(PNG_START):
        data = _without_metadata(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError("damaged or truncated; replace or remove it")
    alpha = image[..., 3:] if image.ndim == 3 and image.shape[2] == 4 else None
    if header.channels == 1:
        return np.ascontiguousarray(image[..., None] if image.ndim == 2 else image[..., :1]), alpha
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if alpha is None else cv2.COLOR_BGRA2RGB), alpha


def _without_metadata(data: bytes) -> bytes:
    """Return a PNG without its metadata, which libpng would unpack, however large, and warn of."""
    parts, at, kind = [data[: len(PNG_START)]], len(PNG_START), b""
    while kind != b"IEND" and at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length  # a checksum comes last
        if kind == b"tRNS" or kind[:1].isupper():  # a capital: it cannot be left out
            parts.append(data[at:end])
        at = end
    return b"".join(parts)


def _colours_of(image: Image.Image, channels: int) -> np.ndarray:
    """Return an image decoded by Pillow: HWC, uint8 but for deep gray of JPEG XL, no alpha."""
    if image.mode == "I;16":
        deep = np.array(image)[..., None]
        return deep if image.format == "JXL" else (deep >> 8).astype(np.uint8)
    if channels == 1:
        gray = image.getchannel(0) if image.mode in ("LA", "La") else image.convert("L")
        return np.array(gray)[..., None]
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _rotated(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what orientation 1 ... 8 says was done to the image (HWC)."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


@contextlib.contextmanager
def _open_image(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a regular file of a size that an image may have; an ImageError names a bad one."""
    path = Path(path)
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for ever
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise ImageError(f"{path}: is {kind}, not an image")
        if info.st_size > MAX_BYTES:
            raise ImageError(f"{path}: {info.st_size} bytes, more than an image may have ({MAX_BYTES})")
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise ImageError(f"{path}: broken link to {os.readlink(path)}") from error
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def _faults_name(name: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a bad file into an ImageError with the file's name."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error.__cause__
    except MemoryError as error:
        raise ImageError(f"{name}: memory does not suffice to decode it, or it is damaged; make it smaller") from error
    except Exception as error:
        # damaged files make the decoders raise nearly anything (struct.error, SyntaxError ...)
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        # sound, as far as one can tell: a codec, a feature or a part of an extra is missing
        if isinstance(error, ImportError) or reason.lower().startswith("unsupported"):
            raise ImageError(f"{name}: cannot be decoded here ({reason}); save it as PNG") from error
        raise ImageError(f"{name}: damaged or truncated; replace or remove it ({reason})") from error


# ---- with alpha and metadata


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, its transparency, and the metadata of its file."""

    pixels: np.ndarray
    """(H, W, C) uint8 or uint16, C = 1 (gray) or 3 (RGB)."""
    alpha: np.ndarray | None = None
    """(H, W, 1) of the pixels' type, 0 where nothing is seen; None without transparency."""
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    """A line for each thing of the file that was not read."""


def read_picture(path: str | os.PathLike) -> Picture:
    """Read an image with alpha and metadata, by the rules of this module; raises ImageError."""
    with _open_image(path) as file:
        return decode_picture(file.read(), os.fspath(path))


def decode_picture(data: bytes, name: str) -> Picture:
    """Decode the bytes of a file, exactly as `read_picture`; errors call it `name`."""
    with _faults_name(name):
        header = read_header(io.BytesIO(data))
        decode = _decode_png if data.startswith(PNG_START) else _decode_other
        colours, alpha, metadata = decode(data, header)
        _check_size(colours, header)
        alpha = None if alpha is None else _rotated(alpha, header.orientation)
        notes = (f"{header.deep_bits} bits per channel are read as 8",) if header.deep_bits else ()
        return Picture(_rotated(colours, header.orientation), alpha, metadata, notes)


Parts = tuple[np.ndarray, np.ndarray | None, Metadata]
"""Colours and alpha as a file stores them, not turned upright, and its metadata."""


def _decode_png(data: bytes, header: Header) -> Parts:
    metadata = metadata_of_png(data, header.orientation)
    if header.by_cv2:
        colours, alpha = _decode_by_cv2(data, header)
    else:
        with open_by_pillow(io.BytesIO(data)) as image:
            image.load()
            colours, alpha = _colours_of(image, header.channels), _alpha_of(image)
    return colours, _key_alpha(data, colours) if alpha is None else alpha, metadata


def _key_alpha(data: bytes, colours: np.ndarray) -> np.ndarray | None:
    """Alpha of a gray or RGB PNG with a transparent colour."""
    chunks = dict(png_chunks(io.BytesIO(data), (b"IHDR", b"tRNS")))
    depth, colour = chunks[b"IHDR"][8:10]
    if b"tRNS" not in chunks or colour not in (0, 2):
        return None
    peak = colours.dtype.type(np.iinfo(colours.dtype).max)
    spread = peak // (2**depth - 1)  # gray and key are spread over 0 ... 255
    key = np.frombuffer(chunks[b"tRNS"], ">u2").astype(np.int64) * spread
    return np.where((colours == key).all(axis=2, keepdims=True), 0 * peak, peak)


def _decode_other(data: bytes, header: Header) -> Parts:
    with open_by_pillow(io.BytesIO(data)) as image:
        metadata = metadata_of(image)
        if header.by_cv2:
            colours, alpha = _decode_by_cv2(data, header)
            is_alpha = _UNASSOCIATED in np.atleast_1d(tiff_tags(image).get(EXTRA_SAMPLES, 0))
            return colours, alpha if is_alpha else None, metadata
        image.load()
        if image.mode == "CMYK":
            return _through_profile(image, metadata.icc), None, replace(metadata, icc=None)
        return _colours_of(image, header.channels), _alpha_of(image), metadata


def _alpha_of(image: Image.Image) -> np.ndarray | None:
    """The alpha channel, or a palette's, of an image decoded by Pillow."""
    if image.mode in _ALPHA_MODES:
        plain = image.convert(_ALPHA_MODES[image.mode])
    elif image.mode == "P" and "transparency" in image.info:
        plain = image.convert("RGBA")
    elif image.format == "GIF" and "transparency" in image.info:  # a gray palette; PNG: `_key_alpha`
        plain = image.convert("LA")
    else:
        return None
    return np.array(plain.getchannel("A"))[..., None]


def _through_profile(image: Image.Image, icc: bytes | None) -> np.ndarray:
    """A CMYK image as sRGB, HWC uint8."""
    if icc and profile_space(icc) == b"CMYK":
        # a broken profile is as good as none
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            return np.array(converted)
    return np.array(image.convert("RGB"))


# ---- animations, of which FFmpeg does not decode WebP and AVIF in full


def is_moving_image(path: str | os.PathLike) -> bool:
    """True for an animated WebP or AVIF file, by its first bytes."""
    try:
        with open(path, "rb") as file:  # of any size: videos are asked, too
            start = file.read(START_BYTES)
    except OSError:
        return False  # whoever opens it says why
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X":
        return bool(int.from_bytes(start[20:21]) & 2)  # the flag 'animation'
    return kind_of(start) == AVIF and b"avis" in start[8:]


def moving_frames(path: str | os.PathLike) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the frames of an animation, (H, W, 3) uint8 RGB without alpha, and their milliseconds.

    Raises ImageError as `read_image`.
    """
    with _open_image(path) as file, _faults_name(os.fspath(path)), open_by_pillow(file) as image:
        check_pixels(image.height, image.width)
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            yield np.array(image.convert("RGB")), int(image.info.get("duration", 0)) or _DURATION
