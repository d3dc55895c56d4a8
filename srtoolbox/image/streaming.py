"""PNG and TIFF written as the rows come, so that an image need not fit into memory.

PNG: ISO/IEC 15948 (W3C). TIFF: Adobe, TIFF 6.0 (1992), with horizontal differencing and Deflate
(TIFF Technical Note 2); BigTIFF from 4 GiB.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import TiffImagePlugin

from srtoolbox.image.headers import PNG_START
from srtoolbox.image.metadata import Metadata, descriptive_tags, resized_exif
from srtoolbox.image.provenance import KEYWORD

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> what PNG calls them
_BLOCK, _STRIP = 2**20, 2**18  # bytes packed at a time, of PNG and of TIFF
_PNG_LEVEL, _TIFF_LEVEL = 4, 6  # of zlib: filtered photographs hardly get smaller above 4
# bytes that choose how a PNG is packed, and the share from which smaller is worth its time
_SAMPLE, _GAIN = 2**12, 0.9
_METRE = 1 / 0.0254
_CLASSIC = 2**32 - 2**26  # bytes of pixels that a classic TIFF surely has room for
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _LONG8 = 1, 2, 3, 4, 5, 7, 16
_CODES = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}


class Form(NamedTuple):
    """The shape of an image's pixels."""

    height: int
    width: int
    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha."""
    bits: int  # 8 or 16

    @property
    def colours(self) -> int:
        """Channels without alpha."""
        return self.channels - self.has_alpha

    @property
    def has_alpha(self) -> bool:
        """True if the last channel is alpha."""
        return self.channels in (2, 4)


def blocks(bands: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The rows of all bands again, `rows` at a time (the last block has what is left)."""
    pending: list[np.ndarray] = []
    count = 0
    for band in bands:
        while len(band):
            part, band = band[: rows - count], band[rows - count :]
            pending.append(part)
            count += len(part)
            if count == rows:
                yield pending[0] if len(pending) == 1 else np.concatenate(pending)
                pending, count = [], 0
    if pending:
        yield pending[0] if len(pending) == 1 else np.concatenate(pending)


# ---- PNG


def write_png(file: BinaryIO, bands: Iterable[np.ndarray], form: Form, metadata: Metadata) -> None:
    """Write bands of rows (h, W, C) as a PNG; `file` need not be seekable."""
    file.write(PNG_START)
    colour = _COLOUR_TYPES[form.channels]
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", form.width, form.height, form.bits, colour, 0, 0, 0))
    _write_metadata(file, form, metadata)
    packer = None
    pixel = form.channels * form.bits // 8
    above = np.zeros(form.width * pixel, np.uint8)
    for block in blocks(bands, max(1, _BLOCK // len(above))):
        rows = block.astype(">u2") if form.bits == 16 else np.ascontiguousarray(block)
        rows = rows.view(np.uint8).reshape(len(block), -1)
        filtered = _filtered(rows, above, pixel).reshape(-1)
        packer = packer or zlib.compressobj(_PNG_LEVEL, strategy=_strategy_for(filtered))
        _chunk(file, b"IDAT", packer.compress(filtered.data))
        above = rows[-1]
    assert packer is not None, "an image has rows"
    _chunk(file, b"IDAT", packer.flush())
    _chunk(file, b"IEND", b"")


def _strategy_for(filtered: np.ndarray) -> int:
    """Return how zlib packs bytes like these: in filtered photographs little but runs repeats.

    Looking for runs alone takes a third of the time. Text, drawings and gray in three equal
    channels get much smaller where all that repeats is looked for.
    """
    middle = max(0, len(filtered) - _SAMPLE) // 2
    sample = filtered[middle : middle + _SAMPLE].data
    packers = [zlib.compressobj(_PNG_LEVEL, strategy=each) for each in (zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY)]
    runs, repeats = (len(packer.compress(sample) + packer.flush()) for packer in packers)
    return zlib.Z_DEFAULT_STRATEGY if repeats < _GAIN * runs else zlib.Z_RLE


def _write_metadata(file: BinaryIO, form: Form, metadata: Metadata) -> None:
    icc = metadata.icc_for(form.colours)
    if icc:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if metadata.dpi:
        _chunk(file, b"pHYs", struct.pack(">IIB", *(round(value * _METRE) for value in metadata.dpi), 1))
    if metadata.provenance:
        _chunk(file, b"tEXt", KEYWORD + b"\0" + metadata.provenance.encode("ascii"))
    if metadata.xmp:
        _chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.exif:
        _chunk(file, b"eXIf", resized_exif(metadata.exif, form.height, form.width))


def _filtered(rows: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    """Each row (n, bytes) by the filter of the smallest differences, behind that one's byte."""
    up = np.vstack([above[None], rows[:-1]])
    left = np.zeros_like(rows)
    left[:, pixel:] = rows[:, :-pixel]
    mean = (left & up) + ((left ^ up) >> 1)  # floor((left + up) / 2) without a carry
    candidates = [rows, rows - left, rows - up, rows - mean]
    best = np.argmin([_distances(each) for each in candidates], axis=0)
    result = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    result[:, 0] = best
    for number, candidate in enumerate(candidates):
        chosen = best == number
        result[chosen, 1:] = candidate[chosen]
    return result


def _distances(rows: np.ndarray) -> np.ndarray:
    """The sum of each row's bytes, as signed ones without their sign; rows are below 2^24 bytes.

    Longer ones might overflow, and have a worse filter chosen for them: they are valid all the
    same.
    """
    sizes = np.abs(rows.view(np.int8)).view(np.uint8)  # of -128 it is 128, as a byte
    return cv2.reduce(sizes, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    if content or kind != b"IDAT":
        file.write(struct.pack(">I", len(content)) + kind)
        file.write(content)
        file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


# ---- TIFF

Tags = dict[int, tuple[int, bytes | float | list[int]]]
"""The type and the values of each tag, by its number."""


def write_tiff(file: BinaryIO, bands: Iterable[np.ndarray], form: Form, metadata: Metadata) -> None:
    """Write bands of rows (h, W, C) as a TIFF; `file` must be seekable."""
    row = form.width * form.channels * form.bits // 8
    big = row * form.height > _CLASSIC
    file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
    rows, offsets, counts = max(1, _STRIP // row), [], []
    for block in blocks(bands, rows):
        strip = zlib.compress(_differences(block).data, _TIFF_LEVEL)
        offsets.append(file.tell())
        counts.append(len(strip))
        file.write(strip)
    file.write(bytes(file.tell() % 2))  # a directory starts at an even place
    place, wide = file.tell(), _LONG8 if big else _LONG
    tags = _tags(form, metadata) | {273: (wide, offsets), 278: (_LONG, [rows]), 279: (wide, counts)}
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
    xmp = metadata.xmp_with_provenance()
    if xmp:
        tags[700] = (_BYTE, xmp)
    icc = metadata.icc_for(form.colours)
    return tags | ({34675: (_UNDEFINED, icc)} if icc else {})


def _directory(tags: Tags, described: dict[int, object], place: int, big: bool) -> bytes:
    """Return the directory at `place` of the file, and the values too long for an entry."""
    directories = {tag: value for tag, value in described.items() if isinstance(value, dict)}
    entries = {tag: (kind, *_packed(kind, values)) for tag, (kind, values) in tags.items()}
    for tag, value in described.items():
        if isinstance(value, str):
            text = value.rstrip("\0").encode("utf-8", "replace") + b"\0"
            entries[tag] = _ASCII, len(text), text
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
        return 1, struct.pack("<II", *Fraction(values).limit_denominator(2**12).as_integer_ratio())
    return len(values), struct.pack(f"<{len(values)}{_CODES[kind]}", *values)


def _sub_directory(tag: int, entries: dict[int, object], position: int, big: bool) -> bytes:
    """The EXIF or GPS directory, at home at `position`."""
    start = b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II*\0" + bytes(4)
    directory = TiffImagePlugin.ImageFileDirectory_v2(start, group=tag)
    for entry, value in entries.items():
        directory[entry] = value
    return directory.tobytes(position)


def _padded(content: bytes) -> bytes:
    return content + bytes(len(content) % 2)
