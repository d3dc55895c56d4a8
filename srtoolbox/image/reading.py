"""Reading images.

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
- 10 and 12 bits of AVIF and HEIC, and deep colour of JPEG XL, are read as 8 (`image_facts` says
  so).
- The orientation is applied, whether EXIF, XMP or the container tells it (`orientation`). Colour
  profiles and gamma are not: values are what the file holds.
- One image per file: animations and multi-page files are refused, but for what cameras add to a
  photograph (MPO, HEIC).
- A damaged or truncated file is refused, never half read; so is one that declares more than
  `MAX_PIXELS`.
"""

from __future__ import annotations

import io
import os
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image.files.headers import PNG_START, Header, read_header
from srtoolbox.image.files.opening import faults_name, open_by_pillow, open_picture
from srtoolbox.image.files.orientation import rotated


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image: HWC uint8 or uint16, C = 1 or 3 (RGB), by the rules of this module.

    Raises:
        ImageError: names the file, what is wrong with it and what to do.
    """
    with open_picture(path) as file:
        return decode_image(file.read(), os.fspath(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of a file, exactly as `read_image`; errors call it `name`."""
    with faults_name(name):
        header = read_header(io.BytesIO(data))
        image = decode_by_cv2(data, header)[0] if header.by_cv2 else _decode_by_pillow(data, header)
        check_size(image, header)
        return rotated(image, header.orientation)


class ImageFacts(NamedTuple):
    """The facts that the header of a file tells."""

    shape: tuple[int, int, int]
    """(H, W, C) of what `read_image` would return."""
    deep_bits: int
    """Bits per channel where they are read as 8; else 0."""


def image_facts(path: str | os.PathLike) -> ImageFacts:
    """Read the header of an image alone.

    Raises:
        ImageError: as `read_image`, except for damage that only decoding shows.
    """
    with open_picture(path) as file, faults_name(os.fspath(path)):
        header = read_header(file)
        return ImageFacts(header.shape, header.deep_bits)


def image_shape(path: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of what `read_image` would return; errors as of `image_facts`."""
    return image_facts(path).shape


def decoded_shape(data: bytes, name: str) -> tuple[int, int, int]:
    """(H, W, C) of what `decode_image` would return, from the header alone."""
    with faults_name(name):
        return read_header(io.BytesIO(data)).shape


def check_size(image: np.ndarray, header: Header) -> None:
    """Raise ImageError unless a decoded image is what its header promised."""
    if image.shape != (header.height, header.width, header.channels):
        raise ImageError(f"damaged: decoded to {image.shape}, its header promises {header[:3]}")


def decode_by_cv2(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode colour and alpha (HW1 or None) of PNG, for cv2 is fastest, and 16-bit TIFF; unrotated."""
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


def _decode_by_pillow(data: bytes, header: Header) -> np.ndarray:
    with open_by_pillow(io.BytesIO(data)) as image:
        image.load()
        return colours_of(image, header.channels)


def colours_of(image: Image.Image, channels: int) -> np.ndarray:
    """Return an image decoded by Pillow as HWC, uint8 but for deep gray of JPEG XL, without alpha."""
    if image.mode == "I;16":
        deep = np.array(image)[..., None]
        return deep if image.format == "JXL" else (deep >> 8).astype(np.uint8)
    if channels == 1:
        gray = image.getchannel(0) if image.mode in ("LA", "La") else image.convert("L")
        return np.array(gray)[..., None]
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
