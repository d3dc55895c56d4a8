"""Opening image files by Pillow: only formats that are read, and none that is too large."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from srtoolbox.errors import ImageError
from srtoolbox.image.file_types import AVIF, HEIC, JXL, RAW, START_BYTES, VIDEO, WEB_PAGE, advice, is_readable, kind_of

MAX_PIXELS = 2**27  # 134 million: above any camera's image, 400 MB decoded
MAX_BYTES = 2**30
MAX_METADATA = 2**24
"""Bytes of one kind of metadata, unpacked: compressed ones can claim any size."""
# Importing a plugin is what makes Pillow know its format; no other (EPS, PSD ...) is ever tried.
_PLUGINS = (AvifImagePlugin, BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin,
            WebPImagePlugin)  # fmt: skip
_FORMATS = tuple(plugin.__name__.rpartition(".")[2].removesuffix("ImagePlugin").upper() for plugin in _PLUGINS)
_PILLOW_NAMES = {AVIF: "AVIF", HEIC: "HEIF", JXL: "JXL", "GIF": "GIF"}
PHOTOMETRIC = 262
"""TIFF's tag of what its values mean."""
_SUBFILE_TYPE, _COMPRESSION, _SUB_IFDS, _DNG_VERSION = 254, 259, 330, 50706  # TIFF tags
# of cameras' makers
_RAW_PHOTOMETRICS, _RAW_COMPRESSIONS = {32803, 34892}, {32767, 32769, 32770, 34713, 65000, 65535}


@contextlib.contextmanager
def open_by_pillow(file: BinaryIO | io.BytesIO) -> Iterator[Image.Image]:
    """Open a file of a format that is read. Raises ImageError where it is none, or too large."""
    formats = _formats_of(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAX_PIXELS is our limit; broken metadata is no matter
        try:
            image = Image.open(file, formats=formats)
        except Image.UnidentifiedImageError:
            if len(formats) == 1:
                raise ImageError("damaged or truncated; replace or remove it") from None
            raise ImageError(
                f"damaged, or not an image that can be read ({', '.join(_FORMATS)} with 8 or 16 bits per channel, "
                + "unsigned); replace it, or save it as PNG"
            ) from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"more than the {MAX_PIXELS} pixels allowed; split it ({error})") from error
        with image:
            yield image


def _formats_of(file: BinaryIO | io.BytesIO) -> tuple[str, ...]:
    """Pillow's names of the formats a file may be of; raises ImageError for one not read here."""
    start = file.read(START_BYTES)
    file.seek(0)
    kind = kind_of(start)
    if kind is None and start[:2] in (b"II", b"MM") and _is_camera_raw(file):
        kind = RAW
    if kind is None:
        return _FORMATS
    if not is_readable(kind):
        is_named = kind in (RAW, VIDEO, WEB_PAGE)
        raise ImageError(f"is {kind if is_named else 'of the format ' + kind}, which is not read here: {advice(kind)}")
    if kind == HEIC:
        from pillow_heif import HeifImagePlugin  # noqa: F401 - an extra; importing it is what makes Pillow know HEIC
    elif kind == JXL:
        import pillow_jxl  # noqa: F401 - likewise

        header = read_jxl_header(file.read())  # first: the library decodes at once
        file.seek(0)
        if header.is_animated:
            raise ImageError("is an animation; save the frame you want as an image of its own")
        check_pixels(header.height, header.width)
    return (_PILLOW_NAMES[kind],)


def tiff_tags(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return the tags of a file that Pillow has opened as a TIFF."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return image.tag_v2


def check_pixels(height: int, width: int) -> None:
    """Raise ImageError for an image of more than MAX_PIXELS."""
    if height * width > MAX_PIXELS:
        raise ImageError(f"{width}x{height} pixels, more than the {MAX_PIXELS} allowed; split it")


def _is_camera_raw(file: BinaryIO | io.BytesIO) -> bool:
    """True for camera raw in the form of a TIFF, of which Pillow would read the small preview."""
    # opening it says what is broken
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        start = file.read(8)
        start += file.read(8) if start[2] == 43 else b""
        tags = TiffImagePlugin.ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        is_preview = _SUB_IFDS in tags and tags.get(_SUBFILE_TYPE, 0) & 1
        is_sensor = tags.get(PHOTOMETRIC) in _RAW_PHOTOMETRICS or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS
        file.seek(0)
        return bool(_DNG_VERSION in tags or is_preview or is_sensor)
    file.seek(0)
    return False


# ---- the header of JPEG XL (ISO 18181-1, annex D), whose library would decode at once

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, from 1
_CONTAINER = b"\0\0\0\x0cJXL "


class JXLHeader(NamedTuple):
    """The beginning of a codestream. Sides are as stored, before it is turned."""

    height: int
    width: int
    is_animated: bool
    bits: int  # per channel


def read_jxl_header(data: bytes) -> JXLHeader:
    """Read the header of a whole file, a bare codestream or one in boxes; raises ImageError."""
    bits = _Bits(_codestream(data)[2:])
    height, width = _size(bits)
    is_animated, depth = False, 8
    if not bits.take(1):  # not everything is as usual
        if bits.take(1):  # orientation, intrinsic size, preview, animation
            bits.take(3)
            if bits.take(1):
                _size(bits)
            if bits.take(1):
                return JXLHeader(height, width, False, 8)  # a preview: seek no more
            is_animated = bool(bits.take(1))
        if not is_animated:
            depth = 32 if bits.take(1) else bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    return JXLHeader(height, width, is_animated, depth)


class _Bits:
    """Bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data[:64], "little")

    def take(self, count: int) -> int:
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def choice(self, *cases: tuple[int, int]) -> int:
        """Two bits choose among (offset, number of bits)."""
        offset, count = cases[self.take(2)]
        return offset + self.take(count)


def _size(bits: _Bits) -> tuple[int, int]:
    in_eights = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if in_eights else bits.choice((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return height, side()
    across, down = _RATIOS[ratio - 1]
    return height, height * across // down


def _codestream(data: bytes) -> bytes:
    """The file from the beginning of its codestream on."""
    if not data.startswith(_CONTAINER):
        return data
    at = 0
    while at + 8 <= len(data):
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:  # a length of 64 bits follows
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            return data[at + head + (4 if kind == b"jxlp" else 0) :]
        if length < head:
            break
        at += length
    raise ImageError("damaged or truncated; replace or remove it (no codestream)")
