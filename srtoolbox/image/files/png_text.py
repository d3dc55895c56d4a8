"""EXIF and XMP in a PNG: chunks of their own, or the text chunks ('raw profiles') of ImageMagick and older programs."""

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Iterable
from typing import NamedTuple

MAX_METADATA = 2**24
"""Bytes of one kind, unpacked: compressed metadata can claim any size."""
CHUNKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
"""The chunks that `blocks_in` wants to see."""
_MOST_BLOCKS = 8  # of which broken ones count: each may take the time of unpacking MAX_METADATA
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_PROFILE = b"Raw profile type "
_PROFILES = {b"exif": "exif", b"xmp": "xmp", b"APP1": "exif"}
_EXIF_HEAD, _XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"  # what an APP1 segment of JPEG begins with


class Blocks(NamedTuple):
    """The metadata of a PNG as blocks of bytes."""

    exif: bytes | None
    """From the byte order mark on."""
    xmp: bytes | None


def blocks_in(chunks: Iterable[tuple[bytes, bytes]]) -> Blocks:
    """EXIF and XMP among (kind, content) of a PNG's chunks: their own chunks first, else raw profiles. Broken ones are
    as good as none.
    """
    own: dict[str, bytes] = {}
    raw: dict[str, bytes] = {}
    candidates = ((kind, content) for kind, content in chunks if _is_metadata(kind, content))
    for kind, content in itertools.islice(candidates, _MOST_BLOCKS):
        with contextlib.suppress(ValueError, IndexError, zlib.error):
            if kind == b"eXIf":
                own.setdefault("exif", content.removeprefix(_EXIF_HEAD))
            elif content.startswith(_XMP_KEYWORD):
                own.setdefault("xmp", _text(kind, content))
            else:
                name, block = _raw_profile(kind, content)
                raw.setdefault(name, block)
    found = {name: block for name, block in (raw | own).items() if 0 < len(block) <= MAX_METADATA}
    return Blocks(found.get("exif"), found.get("xmp"))


def unpacked(data: bytes) -> bytes:
    """The content that zlib packed, if all of it is there and no more than MAX_METADATA; else nothing."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, MAX_METADATA)
    return content if unpacker.eof else b""


def _is_metadata(kind: bytes, content: bytes) -> bool:
    """True if the kind of a chunk and its keyword are those of EXIF or XMP."""
    keyword = content.partition(b"\0")[0]
    is_profile = keyword.startswith(_PROFILE) and keyword.removeprefix(_PROFILE) in _PROFILES
    return kind == b"eXIf" or (kind == b"iTXt" and keyword == _XMP_KEYWORD) or (kind in CHUNKS and is_profile)


def _raw_profile(kind: bytes, content: bytes) -> tuple[str, bytes]:
    """'exif' or 'xmp' and its block, of a text that holds name, length and hexadecimal digits. Raises ValueError."""
    name = content[len(_PROFILE) :].partition(b"\0")[0]
    _, length, *digits = _text(kind, content).split(maxsplit=2)
    block = bytes.fromhex(digits[0].decode("ascii"))
    if len(block) != int(length):
        raise ValueError("part of a profile")
    if block.startswith(_XMP_HEAD):
        return "xmp", block.removeprefix(_XMP_HEAD)
    return _PROFILES[name], block.removeprefix(_EXIF_HEAD)


def _text(kind: bytes, content: bytes) -> bytes:
    """The text of a chunk tEXt, zTXt or iTXt: after the keyword, and bytes that say how it is stored."""
    rest = content.partition(b"\0")[2]
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return unpacked(rest[1:])
    text = rest[2:].split(b"\0", 2)[2]  # after the language and the translated keyword
    return unpacked(text) if rest[0] else text
