"""What a picture file holds beside its pixels: colour profile, EXIF, XMP, resolution. Broken metadata count as none."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from srtoolbox.image import exif
from srtoolbox.image.headers import png_chunks

MAX_METADATA = 2**24  # bytes of one kind, unpacked: compressed metadata can claim any size
_XMP_TAG, _ICC_TAG = 700, 34675  # of TIFF
_X_RESOLUTION = 282  # of TIFF; where it is not told, Pillow says 1 pixel per inch
_INCH = 0.0254  # metres
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[2-8](?=\s*[\"'<])")


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file beside its pixels. The EXIF orientation is applied to the pixels, so here it is 1."""

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
    """The metadata of a PNG file, from its chunks; `orientation` is that of its EXIF."""
    found: dict[bytes, bytes] = {}
    for kind, content in png_chunks(io.BytesIO(data), (b"iCCP", b"eXIf", b"iTXt", b"pHYs")):
        if kind != b"iTXt" or content.startswith(_XMP_KEYWORD + b"\0"):
            found.setdefault(kind, content)
    return Metadata(
        icc=_attempt(lambda: _unpacked(found[b"iCCP"].partition(b"\0")[2][1:])),
        exif=_attempt(lambda: exif.upright(found[b"eXIf"])),
        xmp=_attempt(lambda: _upright_xmp(_itxt(found[b"iTXt"]))),
        dpi=_attempt(lambda: _turned(_phys(found[b"pHYs"]), orientation)),
    )


def metadata_of(image: Image.Image, orientation: int) -> Metadata:
    """The metadata of a JPEG, WebP, BMP or TIFF that Pillow has opened."""
    info = image.info
    if image.format == "TIFF":
        tags = image.tag_v2
        orientation = tags.get(exif.ORIENTATION, 1)  # not the header's, which is 1 where decoders rotate by themselves
        return Metadata(
            icc=_attempt(lambda: bytes(tags[_ICC_TAG])),
            exif=_attempt(lambda: exif.from_tiff(image)),
            xmp=_attempt(lambda: _upright_xmp(_bytes(tags[_XMP_TAG]))),
            dpi=_attempt(lambda: _turned(info["dpi"] if _X_RESOLUTION in tags else None, orientation)),
        )
    return Metadata(
        icc=_attempt(lambda: bytes(info["icc_profile"])),
        exif=_attempt(lambda: exif.upright(info["exif"].removeprefix(b"Exif\0\0"))),
        xmp=_attempt(lambda: _upright_xmp(_bytes(info["xmp"]))),
        dpi=_attempt(lambda: _turned(info["dpi"], orientation)),
    )


def _attempt(read: Callable[[], object]) -> object:
    """What `read` finds, or None: what is absent, broken or too large does not make a bad picture."""
    with contextlib.suppress(Exception):
        found = read()
        if not isinstance(found, bytes) or 0 < len(found) <= MAX_METADATA:
            return found
    return None


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, MAX_METADATA)
    return content if unpacker.eof else b""


def _itxt(content: bytes) -> bytes:
    """The text of an iTXt chunk: keyword, two bytes about compression, language, translated keyword, text."""
    packed, _, rest = content[len(_XMP_KEYWORD) + 1], content[len(_XMP_KEYWORD) + 2], content[len(_XMP_KEYWORD) + 3 :]
    text = rest.split(b"\0", 2)[2]
    return _unpacked(text) if packed else text


def _upright_xmp(packet: bytes) -> bytes:
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _phys(content: bytes) -> tuple[float, float] | None:
    across, down, unit = struct.unpack(">IIB", content)
    return (across * _INCH, down * _INCH) if unit == 1 and across and down else None


def _turned(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    if dpi is None or not all(0 < float(value) < 1e6 for value in dpi):
        return None
    across, down = map(float, dpi)
    return (down, across) if orientation >= 5 else (across, down)
