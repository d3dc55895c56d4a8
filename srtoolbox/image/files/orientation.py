"""The orientation of an image: by EXIF, else by XMP, wherever its format keeps them.

EXIF goes before XMP where both tell, as in Pillow and libvips: cameras and viewers keep EXIF right,
XMP is often a copy that was left behind. AVIF, HEIC and JPEG XL tell the orientation in the
container itself, and what EXIF or XMP say there does not count: it would turn the image twice.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings

import numpy as np
from PIL import Image

from srtoolbox.image.files.opening import MAX_METADATA, tiff_tags

ORIENTATION = 0x0112  # tag of EXIF and TIFF
XMP_TAG = 700  # of TIFF
_NAMESPACE = re.compile(rb"xmlns:([\w.-]{1,64})\s*=\s*[\"']http://ns\.adobe\.com/tiff/1\.0/[\"']")
_MOST_PREFIXES = 8  # more are no real packet's, and each is looked for everywhere
_UPRIGHT = range(1, 9)


def rotated(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what orientation 1 ... 8 says was done to the image (HWC)."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def orientation_of(image: Image.Image) -> int:
    """The orientation 1 ... 8 of an image that Pillow has opened and not decoded yet."""
    info = image.info
    if image.format == "AVIF":
        return _valid(_exif_value(info.get("exif"))) or 1  # Pillow puts the container's there
    if image.format == "HEIF" or (image.format == "JXL" and not getattr(image, "jpeg", False)):
        return 1  # applied by the decoder
    if image.format == "TIFF":
        tags = tiff_tags(image)
        return _valid(tags.get(ORIENTATION)) or xmp_orientation(tags.get(XMP_TAG)) or 1
    return stored_orientation(info.get("exif"), info.get("xmp"))


def stored_orientation(exif: bytes | None, xmp: bytes | str | None) -> int:
    """The orientation that an EXIF block, else an XMP packet, tells; 1 where neither does."""
    return _valid(_exif_value(exif)) or xmp_orientation(xmp) or 1


def applied_by_pillow(image: Image.Image) -> int:
    """The orientation that Pillow itself undoes when it decodes a TIFF."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return _valid(image.getexif().get(ORIENTATION)) or 1
    return 1


def xmp_orientation(packet: bytes | str | None) -> int | None:
    """The orientation that an XMP packet tells, as attribute or element, or None."""
    packet = _as_bytes(packet)
    match = _xmp_pattern(packet).search(packet) if len(packet) <= MAX_METADATA else None
    return int(match[2]) if match else None


def upright_xmp(packet: bytes) -> bytes:
    """The packet with orientation 1, where it tells one."""
    return _xmp_pattern(packet).sub(rb"\g<1>1", packet)


def _as_bytes(packet: bytes | str | tuple | None) -> bytes:
    if isinstance(packet, str):
        return packet.encode()
    return packet if isinstance(packet, bytes) else b""


def _xmp_pattern(packet: bytes) -> re.Pattern[bytes]:
    """A pattern of the value, whatever prefix the packet gives the namespace of TIFF.

    Packets may be hostile: nothing in it is of any length, so that the time grows as the packet
    does.
    """
    names = itertools.islice((match[1] for match in _NAMESPACE.finditer(packet)), _MOST_PREFIXES)
    prefixes = b"|".join(re.escape(prefix) for prefix in {b"tiff", *names})
    return re.compile(
        rb"(\b(?:" + prefixes + rb"):Orientation(?:\s{0,99}=\s{0,99}[\"']|(?:\s[^<>]{0,200})?>)\s{0,99})"
        rb"([1-8])(?=\s{0,99}[\"'<])"
    )


def _exif_value(block: bytes | None) -> object:
    """Return the value in an EXIF block, with or without 'Exif' before it; None of a broken one."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        if block:
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + block.removeprefix(b"Exif\0\0"))
            return exif.get(ORIENTATION)
    return None


def _valid(value: object) -> int | None:
    return value if isinstance(value, int) and value in _UPRIGHT else None
