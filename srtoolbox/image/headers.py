"""The headers of image files, read without decoding: size, channels, orientation.

The orientation is that of EXIF, else of XMP, wherever a format keeps them. EXIF goes first, as in
Pillow and libvips: cameras and viewers keep it right, XMP is often a copy that was left behind.
AVIF, HEIC and JPEG XL tell the orientation in the container itself, and what EXIF or XMP say there
does not count: it would turn the image twice.

EXIF and XMP have chunks of their own in a PNG; ImageMagick and older programs store them in text
chunks ('raw profiles').
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import struct
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image.opening import MAX_METADATA, PHOTOMETRIC, check_pixels, open_by_pillow, read_jxl_header, tiff_tags

PNG_START = b"\x89PNG\r\n\x1a\n"
METADATA_CHUNKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
"""The chunks that `blocks_in` wants to see."""
_MOST_BLOCKS = 8  # of which broken ones count: each may take the time of unpacking MAX_METADATA
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_PROFILE = b"Raw profile type "
_PROFILES = {b"exif": "exif", b"xmp": "xmp", b"APP1": "exif"}
_EXIF_HEAD, _XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"  # starts of JPEG's APP1
_GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
_NAMESPACE = re.compile(rb"xmlns:([\w.-]{1,64})\s*=\s*[\"']http://ns\.adobe\.com/tiff/1\.0/[\"']")
_MOST_PREFIXES = 8  # more are no real packet's, and each is looked for everywhere
ORIENTATION = 0x0112  # tag of EXIF and TIFF
XMP_TAG, EXTRA_SAMPLES = 700, 338  # of TIFF, as the following
_WIDTH, _HEIGHT, _BITS_PER_SAMPLE, _PLANAR, _SAMPLE_FORMAT = 256, 257, 258, 284, 339


class Header(NamedTuple):
    """The header of a file, as its decoder gives it: before it is turned upright."""

    height: int
    width: int
    channels: int
    orientation: int
    """The one that remains to be undone: 1 where the decoder turns the image itself."""
    by_cv2: bool  # else by Pillow: strict with JPEG, right about palettes, CMYK and 8-bit TIFF
    deep_bits: int = 0
    """Bits per channel of the file where they are read as 8; else 0."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the upright image."""
        sides = (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)
        return (*sides, self.channels)


def read_header(file: BinaryIO) -> Header:
    """The header of a file that stands at its start. Raises anything: `reading` names the file."""
    start = file.read(len(PNG_START))
    file.seek(0)
    if not start:
        raise ImageError("is empty (0 bytes); replace or remove it")
    header = _png_header(file) if start.startswith(PNG_START) else _other_header(file)
    if header.height < 1 or header.width < 1:
        raise ImageError(f"damaged: its header says {header.width}x{header.height} pixels")
    check_pixels(header.height, header.width)
    return header


def png_chunks(file: BinaryIO, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, content) of a PNG's chunks up to its end; only those `wanted` have content."""
    kind = b""
    file.seek(len(PNG_START))
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise ImageError("truncated: the end of the PNG is missing; replace it")
        length, kind = struct.unpack(">I4s", head)
        content = b""
        if kind in wanted or kind == b"IEND":
            content = file.read(length)
            if len(file.read(4)) < 4:  # its checksum, which decoders compare
                raise ImageError("truncated: the end of the PNG is missing; replace it")
        else:
            file.seek(length + 4, os.SEEK_CUR)
        yield kind, content


def _png_header(file: BinaryIO) -> Header:
    """Walk the chunks: the only way to know of an orientation or a missing end without decoding."""
    chunks = [*png_chunks(file, (b"IHDR", b"acTL", *METADATA_CHUNKS))]
    by_kind = dict(chunks)
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", by_kind[b"IHDR"])
    frames = struct.unpack(">I", by_kind[b"acTL"][:4])[0] if b"acTL" in by_kind else 1
    if frames > 1:
        raise _animation(frames)
    plain = depth == 16 or (depth == 8 and colour != 3 and b"tRNS" not in by_kind)
    return Header(height, width, 1 if colour in (0, 4) else 3, stored_orientation(*blocks_in(chunks)), plain)


def _animation(frames: int) -> ImageError:
    advice = "`upscale_video` takes it; or save the frame you want as an image of its own"
    return ImageError(f"is an animation of {frames} frames: {advice}")


def _other_header(file: BinaryIO) -> Header:
    with open_by_pillow(file) as image:
        frames = getattr(image, "n_frames", 1)  # MPO's and HEIC's are previews, bursts ...
        if frames > 1 and image.format in ("AVIF", "GIF", "WEBP"):
            raise _animation(frames)
        if frames > 1 and image.format == "TIFF":
            raise ImageError(f"holds {frames} images; save the one you want as a file of its own")
        if image.mode not in _GRAY_MODES | _COLOUR_MODES:
            raise ImageError(f"its values are of kind {image.mode!r} (32-bit or float); save it with 8 or 16 bits")
        orientation = orientation_of(image)
        channels = 1 if image.mode in _GRAY_MODES else 3
        if image.format != "TIFF":
            return Header(image.height, image.width, channels, orientation, False, _deep_bits(image, file))
        tags = tiff_tags(image)
        height, width = tags[_HEIGHT], tags[_WIDTH]
        deep = _is_deep_tiff(image)
        # both decoders turn by themselves: cv2 as the tag says, Pillow also by some XMP
        applied = tags.get(ORIENTATION, 1) if deep else _applied_by_pillow(image)
        if applied in range(5, 9):
            height, width = width, height
        return Header(height, width, channels, orientation if applied in (0, 1) else 1, deep)


def _deep_bits(image: Image.Image, file: BinaryIO) -> int:
    """Bits per channel where they are more than Pillow's 8, else 0."""
    if image.format == "HEIF":
        bits = image.info.get("bit_depth", 8)
    elif image.format in ("AVIF", "JXL"):
        file.seek(0)
        data = file.read()
        bits = avif_bits(data) if image.format == "AVIF" else read_jxl_header(data).bits
    else:
        return 0
    keeps_all = image.format == "JXL" and image.mode == "I;16"
    return bits if bits > 8 and not keeps_all else 0


def avif_bits(data: bytes) -> int:
    """Return the most bits per channel in the boxes `av1C` of an AVIF: 8, 10 or 12."""
    bits, at = 8, data.find(b"av1C")
    while at >= 0 and at + 7 <= len(data):
        is_high, is_twelve = data[at + 6] >> 6 & 1, data[at + 6] >> 5 & 1
        bits = max(bits, 8 + 2 * is_high * (1 + is_twelve))
        at = data.find(b"av1C", at + 4)
    return bits


def _is_deep_tiff(image: Image.Image) -> bool:
    """True if a TIFF has 16 bits per value, of which Pillow would keep 8 in colour images."""
    tags = tiff_tags(image)
    bits = set(np.atleast_1d(tags.get(_BITS_PER_SAMPLE, 1)).tolist())
    if set(np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1)).tolist()) - {1, 4}:
        raise ImageError("its values are signed or float; save it with 8 or 16 bits per channel, unsigned")
    if len(bits) != 1 or not bits <= {1, 2, 4, 8, 16}:
        raise ImageError(f"{sorted(bits)} bits per channel; save it with 8 or 16")
    premultiplied = 1 in np.atleast_1d(tags.get(EXTRA_SAMPLES, 0))
    if bits == {16} and (tags.get(PHOTOMETRIC) not in (1, 2) or tags.get(_PLANAR, 1) != 1 or premultiplied):
        raise ImageError("a 16-bit TIFF of this layout is not read right everywhere; save it as PNG")
    return bits == {16}


# ---- EXIF and XMP in a PNG


def blocks_in(chunks: Iterable[tuple[bytes, bytes]]) -> tuple[bytes | None, bytes | None]:
    """Return EXIF, from its byte order mark on, and XMP of a PNG's chunks (kind, content).

    Their own chunks go before raw profiles; broken ones are as good as none.
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
    return found.get("exif"), found.get("xmp")


def unpacked(data: bytes) -> bytes:
    """Return the content that zlib packed; nothing if incomplete or above MAX_METADATA."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, MAX_METADATA)
    return content if unpacker.eof else b""


def _is_metadata(kind: bytes, content: bytes) -> bool:
    """True if the kind of a chunk and its keyword are those of EXIF or XMP."""
    keyword = content.partition(b"\0")[0]
    is_profile = keyword.startswith(_PROFILE) and keyword.removeprefix(_PROFILE) in _PROFILES
    return kind == b"eXIf" or (kind == b"iTXt" and keyword == _XMP_KEYWORD) or (kind in METADATA_CHUNKS and is_profile)


def _raw_profile(kind: bytes, content: bytes) -> tuple[str, bytes]:
    """Return 'exif' or 'xmp' and its block, of a text of name, length and hexadecimal digits."""
    name = content[len(_PROFILE) :].partition(b"\0")[0]
    _, length, *digits = _text(kind, content).split(maxsplit=2)
    block = bytes.fromhex(digits[0].decode("ascii"))
    if len(block) != int(length):
        raise ValueError("part of a profile")
    if block.startswith(_XMP_HEAD):
        return "xmp", block.removeprefix(_XMP_HEAD)
    return _PROFILES[name], block.removeprefix(_EXIF_HEAD)


def _text(kind: bytes, content: bytes) -> bytes:
    """Return the text of a chunk tEXt, zTXt or iTXt, which follows the keyword."""
    rest = content.partition(b"\0")[2]
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return unpacked(rest[1:])
    text = rest[2:].split(b"\0", 2)[2]  # after the language and the translated keyword
    return unpacked(text) if rest[0] else text


# ---- orientation


def orientation_of(image: Image.Image) -> int:
    """The orientation 1 ... 8 of an image that Pillow has opened and not decoded yet."""
    info = image.info
    if image.format == "AVIF":
        return _exif_orientation(info.get("exif")) or 1  # Pillow puts the container's there
    if image.format == "HEIF" or (image.format == "JXL" and not getattr(image, "jpeg", False)):
        return 1  # applied by the decoder
    if image.format == "TIFF":
        tags = tiff_tags(image)
        return _valid(tags.get(ORIENTATION)) or xmp_orientation(tags.get(XMP_TAG)) or 1
    return stored_orientation(info.get("exif"), info.get("xmp"))


def stored_orientation(exif: bytes | None, xmp: bytes | str | None) -> int:
    """The orientation that an EXIF block, else an XMP packet, tells; 1 where neither does."""
    return _exif_orientation(exif) or xmp_orientation(xmp) or 1


def _applied_by_pillow(image: Image.Image) -> int:
    """The orientation that Pillow itself undoes when it decodes a TIFF."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return _valid(image.getexif().get(ORIENTATION)) or 1
    return 1


def xmp_orientation(packet: object) -> int | None:
    """The orientation that an XMP packet, bytes or text, tells as attribute or element, or None."""
    packet = packet.encode() if isinstance(packet, str) else packet
    if not isinstance(packet, bytes) or len(packet) > MAX_METADATA:
        return None
    match = _xmp_pattern(packet).search(packet)
    return int(match[2]) if match else None


def upright_xmp(packet: bytes) -> bytes:
    """The packet with orientation 1, where it tells one."""
    return _xmp_pattern(packet).sub(rb"\g<1>1", packet)


def _xmp_pattern(packet: bytes) -> re.Pattern[bytes]:
    """A pattern of the value, whatever prefix the packet gives the namespace of TIFF."""
    # packets may be hostile: nothing in it is of any length, so time grows as the packet does
    names = itertools.islice((match[1] for match in _NAMESPACE.finditer(packet)), _MOST_PREFIXES)
    prefixes = b"|".join(re.escape(prefix) for prefix in {b"tiff", *names})
    return re.compile(
        rb"(\b(?:" + prefixes + rb"):Orientation(?:\s{0,99}=\s{0,99}[\"']|(?:\s[^<>]{0,200})?>)\s{0,99})"
        rb"([1-8])(?=\s{0,99}[\"'<])"
    )


def _exif_orientation(block: bytes | None) -> int | None:
    """The orientation of an EXIF block, with or without 'Exif' before it; None of a broken one."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        if block:
            exif = Image.Exif()
            exif.load(_EXIF_HEAD + block.removeprefix(_EXIF_HEAD))
            return _valid(exif.get(ORIENTATION))
    return None


def _valid(value: object) -> int | None:
    return value if isinstance(value, int) and value in range(1, 9) else None
