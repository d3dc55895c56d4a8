"""What a picture file says about itself, known without decoding it; and the errors that name a bad file."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
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
from srtoolbox.image.jpeg_xl import read_jxl_header
from srtoolbox.image.orientation import ORIENTATION, applied_by_pillow, orientation_of, stored_orientation
from srtoolbox.image.png_text import CHUNKS, blocks_in

MAX_PIXELS = 2**27  # 134 million: above any camera's picture, 400 MB decoded
MAX_BYTES = 2**30
PNG_START = b"\x89PNG\r\n\x1a\n"
# Importing a plugin is what makes Pillow know its format; no other (EPS, PSD ...) is ever tried on a user's file.
_PLUGINS = (AvifImagePlugin, BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin,
            WebPImagePlugin)  # fmt: skip
_FORMATS = tuple(plugin.__name__.rpartition(".")[2].removesuffix("ImagePlugin").upper() for plugin in _PLUGINS)
_PILLOW_NAMES = {AVIF: "AVIF", HEIC: "HEIF", JXL: "JXL", "GIF": "GIF"}
_ANIMATED = ("AVIF", "GIF", "WEBP")
_GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 284, 338, 339  # TIFF tags
_SUBFILE_TYPE, _COMPRESSION, _SUB_IFDS, _DNG_VERSION = 254, 259, 330, 50706
_RAW_PHOTOMETRICS, _RAW_COMPRESSIONS = {32803, 34892}, {32767, 32769, 32770, 34713, 65000, 65535}  # of cameras' makers


class Header(NamedTuple):
    """What a file says about itself, as its decoder gives it: before it is turned upright."""

    height: int
    width: int
    channels: int
    orientation: int
    """What remains to be undone: 1 where the decoder turns the image itself."""
    by_cv2: bool  # else by Pillow, which is strict with JPEG, and right about palettes, CMYK and 8-bit TIFF
    deep_bits: int = 0
    """Bits per channel of the file where they are read as 8; else 0."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the upright image."""
        sides = (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)
        return (*sides, self.channels)


@contextlib.contextmanager
def open_picture(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A regular file of a size that a picture may have, opened; whatever is wrong is an ImageError with its name."""
    path = Path(path)
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for ever
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise ImageError(f"{path}: is {kind}, not a picture")
        if info.st_size > MAX_BYTES:
            raise ImageError(f"{path}: {info.st_size} bytes, more than a picture may have ({MAX_BYTES})")
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise ImageError(f"{path}: broken link to {os.readlink(path)}") from error
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def faults_name(name: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a bad file into an ImageError with the file's name."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error.__cause__
    except MemoryError as error:
        raise ImageError(f"{name}: memory does not suffice to decode it, or it is damaged; make it smaller") from error
    except Exception as error:
        # Damaged files make the decoders raise nearly anything (struct.error, SyntaxError, cv2.error ...).
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ImageError(f"{name}: damaged or truncated; replace or remove it ({reason})") from error


def read_header(file: BinaryIO) -> Header:
    """The header of a file that stands at its start. Raises anything: see `faults_name`."""
    start = file.read(len(PNG_START))
    file.seek(0)
    if not start:
        raise ImageError("is empty (0 bytes); replace or remove it")
    header = _png_header(file) if start.startswith(PNG_START) else _other_header(file)
    if header.height < 1 or header.width < 1:
        raise ImageError(f"damaged: its header says {header.width}x{header.height} pixels")
    if header.height * header.width > MAX_PIXELS:
        raise _too_large(header.height, header.width)
    return header


def png_chunks(file: BinaryIO, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of a PNG's chunks up to its end; the content only of those `wanted`, else empty."""
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
    chunks = [*png_chunks(file, (b"IHDR", b"acTL", *CHUNKS))]
    by_kind = dict(chunks)
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", by_kind[b"IHDR"])
    frames = struct.unpack(">I", by_kind[b"acTL"][:4])[0] if b"acTL" in by_kind else 1
    if frames > 1:
        raise _animation(frames)
    plain = depth == 16 or (depth == 8 and colour != 3 and b"tRNS" not in by_kind)
    return Header(height, width, 1 if colour in (0, 4) else 3, stored_orientation(*blocks_in(chunks)), plain)


def _animation(frames: int | None) -> ImageError:
    moving = "an animation" if frames is None else f"an animation of {frames} frames"
    return ImageError(f"is {moving}: `upscale_video` takes it; or save the frame you want as an image of its own")


def _other_header(file: BinaryIO) -> Header:
    with open_by_pillow(file) as image:
        frames = getattr(image, "n_frames", 1)  # the further ones of MPO and HEIC are previews, bursts and the like
        if frames > 1 and image.format in _ANIMATED:
            raise _animation(frames)
        if frames > 1 and image.format == "TIFF":
            raise ImageError(f"holds {frames} pictures; save the one you want as a file of its own")
        if image.mode not in _GRAY_MODES | _COLOUR_MODES:
            raise ImageError(f"its values are of kind {image.mode!r} (32-bit or float); save it with 8 or 16 bits")
        orientation = orientation_of(image)
        channels = 1 if image.mode in _GRAY_MODES else 3
        if image.format != "TIFF":
            return Header(image.height, image.width, channels, orientation, False, _deep_bits(image, file))
        height, width = image.tag_v2[_TIFF_HEIGHT], image.tag_v2[_TIFF_WIDTH]
        deep = _is_deep_tiff(image)
        # Both decoders turn by themselves: cv2 as the tag says, Pillow also by some ways XMP tells it.
        applied = image.tag_v2.get(ORIENTATION, 1) if deep else applied_by_pillow(image)
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
    """The most bits per channel that the decoder configurations (boxes `av1C`) of an AVIF tell: 8, 10 or 12."""
    bits, at = 8, data.find(b"av1C")
    while at >= 0 and at + 7 <= len(data):
        is_high, is_twelve = data[at + 6] >> 6 & 1, data[at + 6] >> 5 & 1
        bits = max(bits, 8 + 2 * is_high * (1 + is_twelve))
        at = data.find(b"av1C", at + 4)
    return bits


@contextlib.contextmanager
def open_by_pillow(file: BinaryIO | io.BytesIO) -> Iterator[Image.Image]:
    """A file as one of the formats that are read. Raises ImageError where it is none, or too large."""
    formats = _formats_of(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAX_PIXELS is our limit; broken metadata is not worth a line per file
        try:
            image = Image.open(file, formats=formats)
        except Image.UnidentifiedImageError:
            if len(formats) == 1:
                raise ImageError("damaged or truncated; replace or remove it") from None
            raise ImageError(
                f"damaged, or not a picture that can be read ({', '.join(_FORMATS)} with 8 or 16 bits per channel, "
                + "unsigned); replace it, or save it as PNG"
            ) from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"more than the {MAX_PIXELS} pixels allowed; split it ({error})") from error
        with image:
            yield image


def _formats_of(file: BinaryIO | io.BytesIO) -> tuple[str, ...]:
    """What Pillow calls the formats that a file's beginning may be of; whoever reads them is imported.

    Raises:
        ImageError: the file is sound as far as that tells, but of a kind that is not read.
    """
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

        _check_jxl(file)
    return (_PILLOW_NAMES[kind],)


def _check_jxl(file: BinaryIO | io.BytesIO) -> None:
    """What must be known before the library decodes, which it does at once."""
    header = read_jxl_header(file.read())
    file.seek(0)
    if header.is_animated:
        raise ImageError("is an animation; save the frame you want as an image of its own")
    if header.height * header.width > MAX_PIXELS:
        raise _too_large(header.height, header.width)


def _too_large(height: int, width: int) -> ImageError:
    return ImageError(f"{width}x{height} pixels, more than the {MAX_PIXELS} allowed; split it")


def _is_camera_raw(file: BinaryIO | io.BytesIO) -> bool:
    """True for what cameras store in the form of a TIFF: read as one it would be its small preview, if anything."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # what is broken is told when it is opened
        warnings.simplefilter("ignore")
        start = file.read(8)
        start += file.read(8) if start[2] == 43 else b""
        tags = TiffImagePlugin.ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        is_preview = _SUB_IFDS in tags and tags.get(_SUBFILE_TYPE, 0) & 1
        is_sensor = tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS
        file.seek(0)
        return bool(_DNG_VERSION in tags or is_preview or is_sensor)
    file.seek(0)
    return False


def _is_deep_tiff(image: Image.Image) -> bool:
    """Whether a TIFF has 16 bits per value, of which Pillow would keep 8 in colour pictures."""
    tags = image.tag_v2
    bits = set(np.atleast_1d(tags.get(_BITS_PER_SAMPLE, 1)).tolist())
    if set(np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1)).tolist()) - {1, 4}:
        raise ImageError("its values are signed or float; save it with 8 or 16 bits per channel, unsigned")
    if len(bits) != 1 or not bits <= {1, 2, 4, 8, 16}:
        raise ImageError(f"{sorted(bits)} bits per channel; save it with 8 or 16")
    premultiplied = 1 in np.atleast_1d(tags.get(_EXTRA_SAMPLES, 0))
    if bits == {16} and (tags.get(_PHOTOMETRIC) not in (1, 2) or tags.get(_PLANAR, 1) != 1 or premultiplied):
        raise ImageError("a 16-bit TIFF of this layout is not read right everywhere; save it as PNG")
    return bits == {16}
