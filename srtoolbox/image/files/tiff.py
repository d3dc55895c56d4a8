"""A TIFF written strip by strip, so that an image need not fit into memory; BigTIFF from 4 GiB.

Adobe: TIFF 6.0 (1992), with horizontal differencing and Deflate (TIFF Technical Note 2).
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from srtoolbox.image.files.formats import Form, blocks
from srtoolbox.image.files.metadata import Metadata, descriptive_tags, resized_exif

_STRIP = 2**18  # bytes before packing
_LEVEL = 6  # of zlib
_CLASSIC = 2**32 - 2**26  # bytes of pixels that a classic TIFF surely has room for
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _LONG8 = 1, 2, 3, 4, 5, 7, 16
_CODES = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}


Tags = dict[int, tuple[int, bytes | float | list[int]]]
"""The type and the values of each tag, by its number."""


def write_tiff(file: BinaryIO, bands: Iterable[np.ndarray], form: Form, metadata: Metadata) -> None:
    """Write bands of rows (h, W, C) as a TIFF; `file` must be seekable."""
    row = form.width * form.channels * form.bits // 8
    big = row * form.height > _CLASSIC
    file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
    rows, offsets, counts = max(1, _STRIP // row), [], []
    for block in blocks(bands, rows):
        strip = zlib.compress(_differences(block).data, _LEVEL)
        offsets.append(file.tell())
        counts.append(len(strip))
        file.write(strip)
    file.write(bytes(file.tell() % 2))  # a directory starts at an even place
    place, wide = file.tell(), _LONG8 if big else _LONG
    tags = _tags(form, metadata)
    tags |= {273: (wide, offsets), 278: (_LONG, [rows]), 279: (wide, counts)}
    file.write(_whole_directory(tags, form, metadata, place, big))
    file.seek(8 if big else 4)
    file.write(struct.pack("<Q" if big else "<I", place))


def _whole_directory(tags: Tags, form: Form, metadata: Metadata, place: int, big: bool) -> bytes:
    """Return the directory with the EXIF tags, but for those that cannot be written again."""
    if metadata.exif:
        with contextlib.suppress(Exception):
            described = descriptive_tags(resized_exif(metadata.exif, form.height, form.width))
            return _directory(tags, described, place, big)
    return _directory(tags, {}, place, big)


def _differences(block: np.ndarray) -> np.ndarray:
    """Each value less that of the pixel to its left, little-endian."""
    result = block.astype(block.dtype.newbyteorder("<"))
    result[:, 1:] -= block[:, :-1]
    return result


def _tags(form: Form, metadata: Metadata) -> Tags:
    """Tags by number: (type, values)."""
    tags: Tags = {
        256: (_LONG, [form.width]),
        257: (_LONG, [form.height]),
        258: (_SHORT, [form.bits] * form.channels),
        259: (_SHORT, [8]),  # Deflate
        262: (_SHORT, [1 if form.colours == 1 else 2]),
        274: (_SHORT, [1]),
        277: (_SHORT, [form.channels]),
        284: (_SHORT, [1]),
        317: (_SHORT, [2]),  # differences
    }
    if form.has_alpha:
        tags[338] = (_SHORT, [2])
    if metadata.dpi:
        tags |= {tag: (_RATIONAL, value) for tag, value in zip((282, 283), metadata.dpi, strict=True)}
        tags[296] = (_SHORT, [2])  # per inch
    if metadata.xmp:
        tags[700] = (_BYTE, metadata.xmp)
    icc = metadata.icc_for(form.colours)
    return tags | ({34675: (_UNDEFINED, icc)} if icc else {})


def _directory(tags: Tags, described: dict[int, object], place: int, big: bool) -> bytes:
    """Return the directory at `place` of the file, and the values too long for an entry."""
    directories = {tag: value for tag, value in described.items() if isinstance(value, dict)}
    texts = {tag: value for tag, value in described.items() if isinstance(value, str)}
    entries = {tag: (kind, *_packed(kind, values)) for tag, (kind, values) in tags.items()}
    entries |= {tag: (_ASCII, len(text) + 1, text + b"\0") for tag, text in _encoded(texts).items()}
    count, inline, pointer = len(entries) + len(directories), *((8, "Q") if big else (4, "I"))
    after = place + struct.calcsize("<Q" if big else "<H") + count * (20 if big else 12) + inline
    far = b""
    for tag, directory in directories.items():
        position = after + len(far)
        far += _padded(_sub_directory(tag, directory, position, big))
        entries[tag] = (_LONG8 if big else _LONG, 1, struct.pack("<" + pointer, position))
    result = struct.pack("<Q" if big else "<H", count)
    for tag, (kind, number, content) in sorted(entries.items()):
        if len(content) > inline:
            position, far = after + len(far), far + _padded(content)
            content = struct.pack("<" + pointer, position)
        result += struct.pack("<HH" + pointer, tag, kind, number) + content.ljust(inline, b"\0")
    return result + bytes(inline) + far


def _packed(kind: int, values: bytes | float | list[int]) -> tuple[int, bytes]:
    """(count, bytes) of a tag's values."""
    if isinstance(values, bytes):
        return len(values), values
    if isinstance(values, int | float):
        return 1, struct.pack("<II", *_ratio(values))
    return len(values), struct.pack(f"<{len(values)}{_CODES[kind]}", *values)


def _ratio(value: float) -> tuple[int, int]:
    ratio = Fraction(value).limit_denominator(2**12)
    return ratio.numerator, ratio.denominator


def _encoded(texts: dict[int, str]) -> dict[int, bytes]:
    return {tag: text.rstrip("\0").encode("utf-8", "replace") for tag, text in texts.items()}


def _sub_directory(tag: int, entries: dict[int, object], position: int, big: bool) -> bytes:
    """The EXIF or GPS directory, at home at `position`."""
    start = b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II*\0" + bytes(4)
    directory = TiffImagePlugin.ImageFileDirectory_v2(start, group=tag)
    for entry, value in entries.items():
        directory[entry] = value
    return directory.tobytes(position)


def _padded(content: bytes) -> bytes:
    return content + bytes(len(content) % 2)
