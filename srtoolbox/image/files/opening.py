"""Opening image files, as one of the formats that are read, with errors that name a bad file."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
from srtoolbox.image.files.file_types import (
    AVIF,
    HEIC,
    JXL,
    RAW,
    START_BYTES,
    VIDEO,
    WEB_PAGE,
    advice,
    is_readable,
    kind_of,
)
from srtoolbox.image.files.jpeg_xl import read_jxl_header

MAX_PIXELS = 2**27  # 134 million: above any camera's image, 400 MB decoded
MAX_BYTES = 2**30
MAX_METADATA = 2**24
"""Bytes of one kind of metadata, unpacked: compressed ones can claim any size."""
# Importing a plugin is what makes Pillow know its format; no other (EPS, PSD ...) is ever tried on
# a user's file.
_PLUGINS = (AvifImagePlugin, BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin,
            WebPImagePlugin)  # fmt: skip
_FORMATS = tuple(plugin.__name__.rpartition(".")[2].removesuffix("ImagePlugin").upper() for plugin in _PLUGINS)
_PILLOW_NAMES = {AVIF: "AVIF", HEIC: "HEIF", JXL: "JXL", "GIF": "GIF"}
PHOTOMETRIC = 262
"""TIFF's tag of what its values mean."""
_SUBFILE_TYPE, _COMPRESSION, _SUB_IFDS, _DNG_VERSION = 254, 259, 330, 50706  # TIFF tags
_RAW_PHOTOMETRICS, _RAW_COMPRESSIONS = {32803, 34892}, {32767, 32769, 32770, 34713, 65000, 65535}  # of cameras' makers


@contextlib.contextmanager
def open_picture(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a regular file of a size that an image may have; an ImageError names a bad one."""
    path = Path(path)
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for ever
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise ImageError(f"{path}: is {kind}, not an image")
        if info.st_size > MAX_BYTES:
            raise ImageError(f"{path}: {info.st_size} bytes, more than an image may have ({MAX_BYTES})")
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
        # Damaged files make the decoders raise nearly anything (struct.error, SyntaxError,
        # cv2.error ...).
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        # sound, as far as one can tell: a codec, a feature or a part of an extra is missing
        if isinstance(error, ImportError) or reason.lower().startswith("unsupported"):
            raise ImageError(f"{name}: cannot be decoded here ({reason}); save it as PNG") from error
        raise ImageError(f"{name}: damaged or truncated; replace or remove it ({reason})") from error


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
                f"damaged, or not an image that can be read ({', '.join(_FORMATS)} with 8 or 16 bits per channel, "
                + "unsigned); replace it, or save it as PNG"
            ) from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"more than the {MAX_PIXELS} pixels allowed; split it ({error})") from error
        with image:
            yield image


def _formats_of(file: BinaryIO | io.BytesIO) -> tuple[str, ...]:
    """Pillow's names of the formats that a file's beginning may be of; whoever reads them is
    imported.

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
    """Refuse animations and bombs before the library decodes, which it does at once."""
    header = read_jxl_header(file.read())
    file.seek(0)
    if header.is_animated:
        raise ImageError("is an animation; save the frame you want as an image of its own")
    if header.height * header.width > MAX_PIXELS:
        raise too_large(header.height, header.width)


def tiff_tags(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return the tags of a file that Pillow has opened as a TIFF."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return image.tag_v2


def too_large(height: int, width: int) -> ImageError:
    return ImageError(f"{width}x{height} pixels, more than the {MAX_PIXELS} allowed; split it")


def _is_camera_raw(file: BinaryIO | io.BytesIO) -> bool:
    """True for camera raw in the form of a TIFF, of which Pillow would read the small preview."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # what is broken is told when it is opened
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
