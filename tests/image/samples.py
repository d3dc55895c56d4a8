"""Small images, and files of them in all formats."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import tifffile
from PIL import Image

RGB = np.random.default_rng(0).integers(0, 256, (11, 14, 3), dtype=np.uint8)
RGB16 = np.random.default_rng(1).integers(0, 65536, (11, 14, 3), dtype=np.uint16)
SMOOTH = np.linspace(0, 255, 48 * 40 * 3).reshape(48, 40, 3).astype(np.uint8)
LOSSLESS = {"WEBP": {"lossless": True, "exact": True}}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **{**LOSSLESS.get(kind, {}), **options})
    return buffer.getvalue()


def mode(name: str) -> Image.Image:
    """An image of each Pillow mode; where there is alpha it has both 0 and 255 and values between."""
    gray, alpha = Image.fromarray(RGB[..., 0]), Image.fromarray(np.where(RGB[..., 1] < 90, 0, RGB[..., 1]))
    colour = Image.fromarray(RGB)
    makers: dict[str, Callable[[], Image.Image]] = {
        "1": lambda: Image.fromarray(RGB[..., 0] > 127),
        "L": lambda: gray,
        "LA": lambda: Image.merge("LA", (gray, alpha)),
        "P": lambda: colour.quantize(40),
        "RGB": lambda: colour,
        "RGBA": lambda: Image.merge("RGBA", (*colour.split(), alpha)),
        "CMYK": lambda: colour.convert("CMYK"),
        "I;16": lambda: Image.fromarray(RGB16[..., 0]),
    }
    return makers[name]()


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def raw_png(array: np.ndarray, colour: int, depth: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand: big-endian rows with filter 0. `array` is (H, bytes or values per row)."""
    rows = array.astype(">u2") if depth == 16 else array.astype(np.uint8)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    bits_per_row = rows[0].nbytes * 8
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", bits_per_row // (depth * channels), len(rows), depth, colour, 0, 0, 0)
    return png_chunks((b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b""))


def containers() -> dict[str, bytes]:
    image = Image.fromarray(SMOOTH)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, RGB16, photometric="rgb")
    return {
        "png": saved(image, "PNG"),
        "palette.png": saved(image.quantize(30), "PNG"),
        "16.png": raw_png(RGB16.reshape(11, -1), 2, 16),
        "jpg": saved(image, "JPEG", quality=60),
        "progressive.jpg": saved(image, "JPEG", quality=60, progressive=True),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG", quality=60),
        "bmp": saved(Image.fromarray(RGB), "BMP"),
        "webp": saved(image, "WEBP"),
        "lossy.webp": saved(image, "WEBP", lossless=False),
        "tif": saved(Image.fromarray(RGB), "TIFF"),
        "deflated.tif": saved(image, "TIFF", compression="tiff_adobe_deflate"),
        "16.tif": buffer.getvalue(),
        "gif": saved(image.quantize(30), "GIF"),
        "avif": saved(image, "AVIF", quality=60),
    }
