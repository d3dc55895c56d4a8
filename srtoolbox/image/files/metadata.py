"""What a picture file holds beside its pixels: colour profile, EXIF, XMP, resolution. Broken metadata count as none."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from srtoolbox.image.files import exif
from srtoolbox.image.files.headers import png_chunks
from srtoolbox.image.files.opening import tiff_tags
from srtoolbox.image.files.orientation import XMP_TAG, orientation_of, upright_xmp
from srtoolbox.image.files.png_text import CHUNKS, MAX_METADATA, blocks_in, unpacked

T = TypeVar("T")
_ICC_TAG = 34675  # of TIFF
_X_RESOLUTION = 282  # of TIFF; where it is not told, Pillow says 1 pixel per inch
_INCH = 0.0254  # metres


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file beside its pixels. The orientation is applied to the pixels, so here it is 1."""

    icc: bytes | None = None
    """The ICC profile of the colours."""
    exif: bytes | None = None
    """The EXIF block, from its byte order mark on, without the small preview."""
    xmp: bytes | None = None
    """The XMP packet."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""

    def icc_for(self, channels: int) -> bytes | None:
        """The profile, where it is one for pictures with this many colour channels."""
        return self.icc if self.icc and profile_space(self.icc) == (b"GRAY" if channels == 1 else b"RGB ") else None


def profile_space(icc: bytes) -> bytes:
    """The colour space of an ICC profile, as b'RGB ', b'GRAY', b'CMYK' ...; b'' of what is no profile."""
    return icc[16:20] if len(icc) >= 128 and icc[36:40] == b"acsp" else b""


def metadata_of_png(data: bytes, orientation: int) -> Metadata:
    """The metadata of a PNG file, from its chunks; `orientation` is the one it tells."""
    chunks = [*png_chunks(io.BytesIO(data), (b"iCCP", b"pHYs", *CHUNKS))]
    found: dict[bytes, bytes] = {}
    for kind, content in chunks:
        found.setdefault(kind, content)
    blocks = blocks_in(chunks)
    return Metadata(
        icc=_attempt(lambda: unpacked(found[b"iCCP"].partition(b"\0")[2][1:])),
        exif=_attempt(lambda: exif.upright(blocks.exif or b"")),
        xmp=_attempt(lambda: upright_xmp(blocks.xmp or b"")),
        dpi=_attempt(lambda: _turned(_phys(found[b"pHYs"]), orientation)),
    )


def metadata_of(image: Image.Image) -> Metadata:
    """The metadata of a file of another format that Pillow has opened, and not decoded yet."""
    info, orientation = image.info, orientation_of(image)
    if image.format == "TIFF":
        tags = tiff_tags(image)
        return Metadata(
            icc=_attempt(lambda: bytes(tags[_ICC_TAG])),
            exif=_attempt(lambda: exif.from_tiff(image)),
            xmp=_attempt(lambda: upright_xmp(_bytes(tags[XMP_TAG]))),
            dpi=_attempt(lambda: _turned(info["dpi"] if _X_RESOLUTION in tags else None, orientation)),
        )
    return Metadata(
        icc=_attempt(lambda: bytes(info["icc_profile"])),
        exif=_attempt(lambda: exif.upright(info["exif"].removeprefix(b"Exif\0\0"))),
        xmp=_attempt(lambda: upright_xmp(_bytes(info["xmp"]).rstrip(b"\0"))),
        dpi=_attempt(lambda: _turned(info["dpi"], orientation)),
    )


def _attempt(read: Callable[[], T | None]) -> T | None:
    """Return the result of `read`, or None: what is absent, broken or too large does not make a bad picture."""
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
