"""Reading pictures.

A picture is an array HWC, uint8 or uint16, C = 1 (gray) or 3 (RGB). A file becomes one by these rules, the same from a
folder and an LMDB; `image_shape` knows the result without decoding:

- The content decides, not the suffix: PNG, JPEG, BMP, TIFF or WebP. Anything else is refused.
- 8 and 16 bits per channel stay what they are. Gray of 1, 2 or 4 bits is spread over 0 ... 255. Float, 32-bit, signed
  and other depths are refused: they have no white level of their own.
- Gray, with or without alpha, is C = 1. Palette, CMYK, YCbCr and Lab become RGB (WebP has no gray: always RGB).
- Alpha (also a palette's or a transparent colour) is dropped, the colours under it are left as stored; those a TIFF
  stores multiplied with alpha are divided by it.
- The EXIF orientation is applied. Colour profiles and gamma are not: values are what the file holds.
- One picture per file: animations and multi-page files are refused, but for the previews that cameras append (MPO).
- A damaged or truncated file is refused, never half read; so is one that declares more than `MAX_PIXELS`.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image.headers import Header, faults_name, open_by_pillow, open_picture, read_header

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def read_image(path: str | os.PathLike) -> np.ndarray:
    """The picture in a file: HWC uint8 or uint16, C = 1 or 3 (RGB), by the rules of this module.

    Raises:
        ImageError: names the file, what is wrong with it and what to do.
    """
    with open_picture(path) as file:
        return decode_image(file.read(), os.fspath(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """The picture in the bytes of a file, exactly as `read_image` gives it; `name` is what errors call it."""
    with faults_name(name):
        header = read_header(io.BytesIO(data))
        image = decode_by_cv2(data, header)[0] if header.by_cv2 else _decode_by_pillow(data, header)
        check_size(image, header)
        return rotated(image, header.orientation)


def image_shape(path: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of what `read_image` would return, from the file's header alone.

    Raises:
        ImageError: as `read_image`, except for damage that only decoding shows.
    """
    with open_picture(path) as file, faults_name(os.fspath(path)):
        return read_header(file).shape


def decoded_shape(data: bytes, name: str) -> tuple[int, int, int]:
    """(H, W, C) of what `decode_image` would return, from the header alone."""
    with faults_name(name):
        return read_header(io.BytesIO(data)).shape


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Paths of all pictures (by suffix, in any case) in a folder and its sub-folders, relative to it, sorted.

    Hidden files and folders are skipped. Links to folders are followed, each real folder once, so loops end.

    Raises:
        ImageError: `folder` is no folder, or one in it cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"{root}: not a folder" if root.exists() else f"{root}: no such folder")
    found: list[Path] = []
    pending, seen = [root], {root.resolve()}
    while pending:
        current = pending.pop()
        try:
            entries = sorted(current.iterdir())
        except OSError as error:
            raise ImageError(f"{current}: cannot be listed ({error.strerror})") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.resolve() not in seen:
                    seen.add(entry.resolve())
                    pending.append(entry)
            elif entry.suffix.lower() in IMAGE_SUFFIXES:
                found.append(entry.relative_to(root))
    return sorted(found, key=lambda path: path.as_posix())


def check_size(image: np.ndarray, header: Header) -> None:
    """Raises ImageError unless a decoded picture is what its header promised."""
    if image.shape != (header.height, header.width, header.channels):
        raise ImageError(f"damaged: decoded to {image.shape}, its header promises {header[:3]}")


def decode_by_cv2(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour and alpha (HW1, where the file has any) of PNG, which cv2 decodes fastest, and 16-bit TIFF. Unrotated."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError("damaged or truncated; replace or remove it")
    alpha = image[..., 3:] if image.ndim == 3 and image.shape[2] == 4 else None
    if header.channels == 1:
        return np.ascontiguousarray(image[..., None] if image.ndim == 2 else image[..., :1]), alpha
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if alpha is None else cv2.COLOR_BGRA2RGB), alpha


def _decode_by_pillow(data: bytes, header: Header) -> np.ndarray:
    with open_by_pillow(io.BytesIO(data)) as image:
        image.load()
        return colours_of(image, header.channels)


def colours_of(image: Image.Image, channels: int) -> np.ndarray:
    """A picture decoded by Pillow as HWC uint8; alpha is dropped."""
    if channels == 1:
        gray = image.getchannel(0) if image.mode in ("LA", "La") else image.convert("L")
        return np.array(gray)[..., None]
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def rotated(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what EXIF orientation 1 ... 8 says was done to the picture."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
