"""A PNG written row by row, so that an image need not fit into memory (ISO/IEC 15948, W3C PNG)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from srtoolbox.image.files.formats import Form, blocks
from srtoolbox.image.files.metadata import Metadata, resized_exif

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> what PNG calls them
_BLOCK = 2**20  # bytes filtered and packed at a time
_LEVEL = 4  # of zlib: filtered photographs hardly get smaller above it
_METRE = 1 / 0.0254


def write_png(file: BinaryIO, bands: Iterable[np.ndarray], form: Form, metadata: Metadata) -> None:
    """Write bands of rows (h, W, C) as a PNG; `file` need not be seekable."""
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(
        file,
        b"IHDR",
        struct.pack(">IIBBBBB", form.width, form.height, form.bits, _COLOUR_TYPES[form.channels], 0, 0, 0),
    )
    _write_metadata(file, form, metadata)
    packer = zlib.compressobj(_LEVEL)
    pixel = form.channels * form.bits // 8
    above = np.zeros(form.width * pixel, np.uint8)
    for block in blocks(bands, max(1, _BLOCK // len(above))):
        rows = block.astype(">u2") if form.bits == 16 else np.ascontiguousarray(block)
        rows = rows.view(np.uint8).reshape(len(block), -1)
        _chunk(file, b"IDAT", packer.compress(_filtered(rows, above, pixel).data))
        above = rows[-1]
    _chunk(file, b"IDAT", packer.flush())
    _chunk(file, b"IEND", b"")


def _write_metadata(file: BinaryIO, form: Form, metadata: Metadata) -> None:
    icc = metadata.icc_for(form.colours)
    if icc:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if metadata.dpi:
        _chunk(file, b"pHYs", struct.pack(">IIB", *(round(value * _METRE) for value in metadata.dpi), 1))
    if metadata.xmp:
        _chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.exif:
        _chunk(file, b"eXIf", resized_exif(metadata.exif, form.height, form.width))


def _filtered(rows: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    """Each row (n, bytes) by the filter that leaves the smallest differences, behind the byte that names it."""
    up = np.vstack([above[None], rows[:-1]])
    left = np.zeros_like(rows)
    left[:, pixel:] = rows[:, :-pixel]
    mean = (left & up) + ((left ^ up) >> 1)  # floor((left + up) / 2) without a carry
    candidates = [rows, rows - left, rows - up, rows - mean]
    costs = [np.minimum(each, 0 - each).sum(axis=1, dtype=np.int64) for each in candidates]
    best = np.argmin(costs, axis=0)
    result = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    result[:, 0] = best
    for number, candidate in enumerate(candidates):
        chosen = best == number
        result[chosen, 1:] = candidate[chosen]
    return result


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    if content or kind != b"IDAT":
        file.write(struct.pack(">I", len(content)) + kind)
        file.write(content)
        file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
