"""The metadata of an image file: colour profile, EXIF, XMP, resolution; broken ones count as none.

EXIF blocks are kept byte for byte but where they must change: makers' notes hold offsets into the
block.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from PIL import Image

from srtoolbox.image.headers import (
    METADATA_CHUNKS,
    ORIENTATION,
    XMP_TAG,
    blocks_in,
    orientation_of,
    png_chunks,
    unpacked,
    upright_xmp,
)
from srtoolbox.image.opening import MAX_METADATA, tiff_tags
from srtoolbox.image.provenance import KEYWORD, merged_xmp, normal, split_xmp

T = TypeVar("T")
_ICC_TAG = 34675  # of TIFF
_X_RESOLUTION = 282  # of TIFF; where it is not told, Pillow says 1 pixel per inch
_INCH = 0.0254  # metres
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_WIDTH, _HEIGHT = 0xA002, 0xA003
_SHORT, _LONG = 3, 4
# What a TIFF says beside how it is stored: description, maker, model, software, date, artist, host,
# copyright. The other tags of its first directory describe pixels that are no longer these.
_DESCRIPTIVE = frozenset({269, 270, 271, 272, 305, 306, 315, 316, 33432, _EXIF_IFD, _GPS_IFD})
_INTEROPERABILITY = 0xA005


@dataclass(frozen=True)
class Metadata:
    """All that is kept of a file beside its pixels; its orientation is 1, for they are upright."""

    icc: bytes | None = None
    """The ICC profile of the colours."""
    exif: bytes | None = None
    """The EXIF block, from its byte order mark on, without the small preview."""
    xmp: bytes | None = None
    """The XMP packet."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    provenance: str | None = None
    """Where the image comes from, if it is a result of this toolbox: a text of `image.provenance`."""

    def xmp_with_provenance(self, limit: int | None = None) -> bytes | None:
        """Return the XMP packet with the provenance in it, for formats that keep it there.

        What is longer than `limit` bytes is left out: of both the provenance.
        """
        own = None if self.xmp is None or (limit and len(self.xmp) > limit) else self.xmp
        whole = merged_xmp(own, self.provenance) if self.provenance else own
        return own if whole is None or (limit and len(whole) > limit) else whole

    def icc_for(self, channels: int) -> bytes | None:
        """Return the profile, where it is one for images with this many colour channels."""
        return self.icc if self.icc and profile_space(self.icc) == (b"GRAY" if channels == 1 else b"RGB ") else None


def profile_space(icc: bytes) -> bytes:
    """The colour space of an ICC profile, b'RGB ', b'GRAY', b'CMYK' ...; b'' of no profile."""
    return icc[16:20] if len(icc) >= 128 and icc[36:40] == b"acsp" else b""


def metadata_of_png(data: bytes, orientation: int) -> Metadata:
    """The metadata of a PNG file, from its chunks; `orientation` is the one it tells."""
    chunks = [*png_chunks(io.BytesIO(data), (b"iCCP", b"pHYs", *METADATA_CHUNKS))]
    found: dict[bytes, bytes] = {}
    for kind, content in chunks:
        found.setdefault(kind, content)
    exif, xmp = blocks_in(chunks)
    texts = (content.partition(b"\0") for kind, content in chunks if kind == b"tEXt")
    text = next((text.decode("latin-1") for keyword, _, text in texts if keyword == KEYWORD), None)
    metadata = Metadata(
        icc=_attempt(lambda: unpacked(found[b"iCCP"].partition(b"\0")[2][1:])) if b"iCCP" in found else None,
        exif=_attempt(lambda: upright_exif(exif)) if exif else None,
        xmp=_attempt(lambda: upright_xmp(xmp)) if xmp else None,
        dpi=_attempt(lambda: _turned(_phys(found[b"pHYs"]), orientation)),
        provenance=normal(text),
    )
    return _with_provenance_of_xmp(metadata)


def metadata_of(image: Image.Image) -> Metadata:
    """The metadata of a file of another format that Pillow has opened, and not decoded yet."""
    info, orientation = image.info, orientation_of(image)
    if image.format == "TIFF":
        tags = tiff_tags(image)
        metadata = Metadata(
            icc=_attempt(lambda: bytes(tags[_ICC_TAG])),
            exif=_attempt(lambda: _exif_of_tiff(image)),
            xmp=_attempt(lambda: upright_xmp(_bytes(tags[XMP_TAG]))),
            dpi=_attempt(lambda: _turned(info["dpi"] if _X_RESOLUTION in tags else None, orientation)),
        )
        return _with_provenance_of_xmp(metadata)
    metadata = Metadata(
        icc=_attempt(lambda: bytes(info["icc_profile"])),
        exif=_attempt(lambda: upright_exif(info["exif"].removeprefix(b"Exif\0\0"))),
        xmp=_attempt(lambda: upright_xmp(_bytes(info["xmp"]).rstrip(b"\0"))),
        dpi=_attempt(lambda: _turned(info["dpi"], orientation)),
    )
    return _with_provenance_of_xmp(metadata)


def _with_provenance_of_xmp(metadata: Metadata) -> Metadata:
    """Return metadata with the provenance taken out of the XMP packet."""
    if metadata.xmp is None:
        return metadata
    xmp, text = split_xmp(metadata.xmp)
    return replace(metadata, xmp=xmp, provenance=metadata.provenance or text)


def _attempt(read: Callable[[], T | None]) -> T | None:
    """Return the result of `read`; None of metadata that are absent, broken or too large."""
    with contextlib.suppress(Exception):
        found = read()
        if not isinstance(found, bytes) or 0 < len(found) <= MAX_METADATA:
            return found
    return None


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _phys(content: bytes) -> tuple[float, float] | None:
    across, down, unit = struct.unpack(">IIB", content)
    return (across * _INCH, down * _INCH) if unit == 1 and across and down else None


def _turned(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    if dpi is None or not all(0 < float(value) < 1e6 for value in dpi):
        return None
    across, down = map(float, dpi)
    return (down, across) if orientation >= 5 else (across, down)


# ---- EXIF


def upright_exif(block: bytes) -> bytes:
    """Return the block with orientation 1 and no preview; raise on a broken one."""
    data = bytearray(block)
    end = _patch(data, {ORIENTATION: 1})
    data[end : end + 4] = bytes(4)
    return bytes(data)


def resized_exif(block: bytes, height: int, width: int) -> bytes:
    """Return the block with the image's size corrected, where it tells one."""
    data = bytearray(block)
    _patch(data, {_WIDTH: width, _HEIGHT: height})
    return bytes(data)


def _exif_of_tiff(image: Image.Image) -> bytes:
    """A block of what a TIFF's tags say about the image; empty if there are none."""
    exif, source = Image.Exif(), image.getexif()
    for tag in _DESCRIPTIVE & set(source):
        exif[tag] = _plain(source.get_ifd(tag)) if tag in (_EXIF_IFD, _GPS_IFD) else source[tag]
    return exif.tobytes()[6:] if len(exif) else b""


def descriptive_tags(block: bytes) -> dict[int, object]:
    """Return the tags of a block that a TIFF can take over; sub-directories as mappings."""
    source = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken metadata are not worth a line per file
        source.load(b"Exif\0\0" + block)
        found = {tag: source[tag] for tag in _DESCRIPTIVE & set(source) - {_EXIF_IFD, _GPS_IFD}}
        directories = {tag: _plain(source.get_ifd(tag)) for tag in (_EXIF_IFD, _GPS_IFD) if tag in source}
    return found | {tag: entries for tag, entries in directories.items() if entries}


def _plain(directory: Mapping[int, object]) -> dict[int, object]:
    """Without directories in the directory, whose offsets would be those of another file."""
    return {tag: value for tag, value in directory.items() if tag != _INTEROPERABILITY}


def _patch(data: bytearray, values: Mapping[int, int]) -> int:
    """Set the values of tags that the block has; return where its first directory ends."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise ValueError("no EXIF block")
    first = struct.unpack_from(order + "I", data, 4)[0]
    entries = _entries(data, first, order)
    end = first + 2 + 12 * len(entries)
    for pointer in [value for _, tag, _, value in entries if tag == _EXIF_IFD]:
        entries += _entries(data, pointer, order)
    for position, tag, kind, _ in entries:
        if tag in values and kind == _SHORT and values[tag] < 2**16:
            struct.pack_into(order + "HHIHH", data, position, tag, _SHORT, 1, values[tag], 0)
        elif tag in values and kind in (_SHORT, _LONG):
            struct.pack_into(order + "HHII", data, position, tag, _LONG, 1, values[tag])
    return end


def _entries(data: bytearray, place: int, order: str) -> list[tuple[int, int, int, int]]:
    """Return (position, tag, type, value) of each entry of a directory."""
    count = struct.unpack_from(order + "H", data, place)[0]
    positions = range(place + 2, place + 2 + 12 * count, 12)
    unpacked_entries = ((at, *struct.unpack_from(order + "HHII", data, at)) for at in positions)
    return [(at, tag, kind, value) for at, tag, kind, _, value in unpacked_entries]
