"""What a picture file says about itself, known without decoding it; and the errors that name a bad file."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from srtoolbox.errors import ImageError

MAX_PIXELS = 2**27  # 134 million: above any camera's picture, 400 MB decoded
MAX_BYTES = 2**30
PNG_START = b"\x89PNG\r\n\x1a\n"
# Importing a plugin is what makes Pillow know its format; no other (EPS, PSD ...) is ever tried on a user's file.
_PLUGINS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
_FORMATS = tuple(plugin.__name__.rpartition(".")[2].removesuffix("ImagePlugin").upper() for plugin in _PLUGINS)
_GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
_ORIENTATION = 0x0112  # EXIF and TIFF tag
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 284, 338, 339  # TIFF tags


class Header(NamedTuple):
    """What a file says about itself, as it is stored: before the EXIF rotation."""

    height: int
    width: int
    channels: int
    orientation: int
    by_cv2: bool  # else by Pillow, which is strict with JPEG, and right about palettes, CMYK and 8-bit TIFF

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) after the rotation."""
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
    start = file.read(32)
    file.seek(0)
    if not start:
        raise ImageError("is empty (0 bytes); replace or remove it")
    header = _png_header(file) if start.startswith(PNG_START) else _other_header(file)
    if header.height < 1 or header.width < 1:
        raise ImageError(f"damaged: its header says {header.width}x{header.height} pixels")
    if header.height * header.width > MAX_PIXELS:
        raise ImageError(f"{header.width}x{header.height} pixels, more than the {MAX_PIXELS} allowed; split it")
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
    chunks = dict(png_chunks(file, (b"IHDR", b"eXIf", b"acTL")))
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if b"acTL" in chunks and struct.unpack(">I", chunks[b"acTL"][:4])[0] > 1:
        raise ImageError("is an animated PNG; save the frame you want as a picture of its own")
    plain = depth == 16 or (depth == 8 and colour != 3 and b"tRNS" not in chunks)
    orientation = _orientation(lambda: _parsed_exif(chunks[b"eXIf"])) if b"eXIf" in chunks else 1
    return Header(height, width, 1 if colour in (0, 4) else 3, orientation, plain)


def _parsed_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(b"Exif\x00\x00" + data)
    return exif


def _other_header(file: BinaryIO) -> Header:
    with open_by_pillow(file) as image:
        if image.format not in ("JPEG", "MPO") and getattr(image, "n_frames", 1) > 1:
            raise ImageError(f"holds {image.n_frames} pictures; save the one you want as a file of its own")
        if image.mode not in _GRAY_MODES | _COLOUR_MODES:
            raise ImageError(f"its values are of kind {image.mode!r} (32-bit or float); save it with 8 or 16 bits")
        orientation = _orientation(image.getexif)
        channels = 1 if image.mode in _GRAY_MODES else 3
        if image.format != "TIFF":
            return Header(image.height, image.width, channels, orientation, by_cv2=False)
        sides = image.tag_v2[_TIFF_HEIGHT], image.tag_v2[_TIFF_WIDTH]
        # Of TIFF, both decoders rotate by themselves.
        return Header(*(sides[::-1] if orientation >= 5 else sides), channels, 1, by_cv2=_is_deep_tiff(image))


@contextlib.contextmanager
def open_by_pillow(file: BinaryIO | io.BytesIO) -> Iterator[Image.Image]:
    """A file as one of the formats that are read. Raises ImageError where it is none, or too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAX_PIXELS is our limit; broken metadata is not worth a line per file
        try:
            image = Image.open(file, formats=_FORMATS)
        except Image.UnidentifiedImageError:
            raise ImageError(
                f"damaged, or not a picture that can be read ({', '.join(_FORMATS)} with 8 or 16 bits per channel, "
                + "unsigned); replace it, or save it as PNG"
            ) from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"more than the {MAX_PIXELS} pixels allowed; split it ({error})") from error
        with image:
            yield image


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


def _orientation(load: Callable[[], Image.Exif]) -> int:
    """The EXIF orientation, or 1: missing and broken metadata do not make a bad picture."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        value = load().get(_ORIENTATION)
        if isinstance(value, int) and 1 <= value <= 8:
            return value
    return 1
