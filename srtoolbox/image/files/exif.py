"""EXIF blocks, changed where they must be and else kept byte for byte: makers' notes hold offsets into the block."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from PIL import Image

from srtoolbox.image.files.orientation import ORIENTATION

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
_WIDTH, _HEIGHT = 0xA002, 0xA003
_SHORT, _LONG = 3, 4
# What a TIFF says about the picture beside how it is stored: description, maker, model, software, date, artist,
# host, copyright. The other tags of its first directory describe pixels that are no longer these.
DESCRIPTIVE = frozenset({269, 270, 271, 272, 305, 306, 315, 316, 33432, EXIF_IFD, GPS_IFD})
_INTEROPERABILITY = 0xA005


class _Entry(NamedTuple):
    tag: int
    kind: int
    position: int
    value: int


def upright(block: bytes) -> bytes:
    """The block with orientation 1 and no preview, which would show the picture as it was. Raises on a broken one."""
    data = bytearray(block)
    _patch(data, {ORIENTATION: 1})
    end = _first(data) + 2 + 12 * _count(data, _first(data))
    data[end : end + 4] = bytes(4)
    return bytes(data)


def resized(block: bytes, height: int, width: int) -> bytes:
    """The block with the picture's size corrected, where it tells one."""
    data = bytearray(block)
    _patch(data, {_WIDTH: width, _HEIGHT: height})
    return bytes(data)


def from_tiff(image: Image.Image) -> bytes:
    """A block of what a TIFF's tags say about the picture; empty if there are none."""
    exif, source = Image.Exif(), image.getexif()
    for tag in DESCRIPTIVE & set(source):
        exif[tag] = _plain(source.get_ifd(tag)) if tag in (EXIF_IFD, GPS_IFD) else source[tag]
    return exif.tobytes()[6:] if len(exif) else b""


def tags_of(block: bytes) -> dict[int, object]:
    """The descriptive tags of a block, by number; sub-directories as mappings. What a TIFF can take over."""
    source = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken metadata are not worth a line per file
        source.load(b"Exif\0\0" + block)
        found = {tag: source[tag] for tag in DESCRIPTIVE & set(source) - {EXIF_IFD, GPS_IFD}}
        directories = {tag: _plain(source.get_ifd(tag)) for tag in (EXIF_IFD, GPS_IFD) if tag in source}
    return found | {tag: entries for tag, entries in directories.items() if entries}


def _plain(directory: Mapping[int, object]) -> dict[int, object]:
    """Without directories in the directory, whose offsets would be those of another file."""
    return {tag: value for tag, value in directory.items() if tag != _INTEROPERABILITY}


def _patch(data: bytearray, values: Mapping[int, int]) -> None:
    order = _order(data)
    entries = list(_entries(data, _first(data)))
    for pointer in [entry for entry in entries if entry.tag == EXIF_IFD]:
        entries += _entries(data, pointer.value)
    for entry in entries:
        if entry.tag in values and entry.kind in (_SHORT, _LONG):
            value = values[entry.tag]
            short = entry.kind == _SHORT and value < 2**16
            packed = struct.pack(
                order + ("HHIHH" if short else "HHII"),
                entry.tag,
                _SHORT if short else _LONG,
                1,
                value,
                *([0] if short else []),
            )
            data[entry.position : entry.position + 12] = packed


def _order(data: bytearray) -> str:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise ValueError("no EXIF block")
    return order


def _first(data: bytearray) -> int:
    return struct.unpack_from(_order(data) + "I", data, 4)[0]


def _count(data: bytearray, place: int) -> int:
    return struct.unpack_from(_order(data) + "H", data, place)[0]


def _entries(data: bytearray, place: int) -> Iterator[_Entry]:
    for number in range(_count(data, place)):
        position = place + 2 + 12 * number
        tag, kind, _, value = struct.unpack_from(_order(data) + "HHII", data, position)
        yield _Entry(tag, kind, position, value)
