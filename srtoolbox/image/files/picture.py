"""Images with alpha and metadata beside the pixels, for upscaling; stores hold pixels only.

The rules of `reading` hold, and on top of them:

- Alpha is kept, whichever way a file tells it: a channel, a palette's transparency, a transparent
  colour.
- CMYK with an ICC profile becomes sRGB through it (relative colorimetric, black point compensated);
  the result has no profile, which means sRGB. Without a profile, or with a broken one, the plain
  formula serves, as in stores.
- Colour profile, EXIF, XMP and resolution are kept; the orientation is applied, so it is 1 in them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageCms

from srtoolbox.image.files.headers import Header, png_chunks, read_header
from srtoolbox.image.files.metadata import Metadata, metadata_of, metadata_of_png, profile_space
from srtoolbox.image.files.opening import faults_name, open_by_pillow, open_picture, tiff_tags
from srtoolbox.image.files.orientation import rotated
from srtoolbox.image.reading import check_size, colours_of, decode_by_cv2

_EXTRA_SAMPLES, _UNASSOCIATED = 338, 2  # TIFF: what a fourth channel is; alpha the colours are not multiplied with
_ALPHA_MODES = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, its transparency, and the metadata of its file."""

    pixels: np.ndarray
    """(H, W, C) uint8 or uint16, C = 1 (gray) or 3 (RGB)."""
    alpha: np.ndarray | None = None
    """(H, W, 1) of the pixels' type, 0 where nothing is seen; None where the file has no transparency."""
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    """A line for each thing of the file that was not read."""


def read_picture(path: str | os.PathLike) -> Picture:
    """Read an image with alpha and metadata, by the rules of this module.

    Raises:
        ImageError: names the file, what is wrong with it and what to do.
    """
    with open_picture(path) as file:
        return decode_picture(file.read(), os.fspath(path))


def decode_picture(data: bytes, name: str) -> Picture:
    """Decode the bytes of a file, exactly as `read_picture`; errors call it `name`."""
    with faults_name(name):
        header = read_header(io.BytesIO(data))
        decode = _decode_png if data.startswith(b"\x89PNG") else _decode_other
        picture = decode(data, header)
        check_size(picture.pixels, header)
        alpha = picture.alpha
        return dataclasses.replace(
            picture,
            pixels=rotated(picture.pixels, header.orientation),
            alpha=None if alpha is None else rotated(alpha, header.orientation),
            notes=(f"{header.deep_bits} bits per channel are read as 8",) if header.deep_bits else (),
        )


def _decode_png(data: bytes, header: Header) -> Picture:
    metadata = metadata_of_png(data, header.orientation)
    if header.by_cv2:
        colours, alpha = decode_by_cv2(data, header)
    else:
        with open_by_pillow(io.BytesIO(data)) as image:
            image.load()
            colours, alpha = colours_of(image, header.channels), _alpha_of(image)
    return Picture(colours, _key_alpha(data, colours) if alpha is None else alpha, metadata)


def _key_alpha(data: bytes, colours: np.ndarray) -> np.ndarray | None:
    """Alpha of a gray or RGB PNG with a transparent colour."""
    chunks = dict(png_chunks(io.BytesIO(data), (b"IHDR", b"tRNS")))
    depth, colour = chunks[b"IHDR"][8:10]
    if b"tRNS" not in chunks or colour not in (0, 2):
        return None
    peak = colours.dtype.type(np.iinfo(colours.dtype).max)
    spread = peak // (2**depth - 1)  # gray of fewer bits is spread over 0 ... 255, and so is the key
    key = np.frombuffer(chunks[b"tRNS"], ">u2").astype(np.int64) * spread
    return np.where((colours == key).all(axis=2, keepdims=True), 0 * peak, peak)


def _decode_other(data: bytes, header: Header) -> Picture:
    with open_by_pillow(io.BytesIO(data)) as image:
        metadata = metadata_of(image)
        if header.by_cv2:
            colours, alpha = decode_by_cv2(data, header)
            is_alpha = _UNASSOCIATED in np.atleast_1d(tiff_tags(image).get(_EXTRA_SAMPLES, 0))
            return Picture(colours, alpha if is_alpha else None, metadata)
        image.load()
        if image.mode == "CMYK":
            colours = _through_profile(image, metadata.icc)
            return Picture(colours, None, dataclasses.replace(metadata, icc=None))
        return Picture(colours_of(image, header.channels), _alpha_of(image), metadata)


def _alpha_of(image: Image.Image) -> np.ndarray | None:
    """The alpha channel, or a palette's, of an image decoded by Pillow."""
    if image.mode in _ALPHA_MODES:
        plain = image.convert(_ALPHA_MODES[image.mode])
    elif image.mode == "P" and "transparency" in image.info:
        plain = image.convert("RGBA")
    elif image.format == "GIF" and "transparency" in image.info:  # its palette is gray; for PNG see `_key_alpha`
        plain = image.convert("LA")
    else:
        return None
    return np.array(plain.getchannel("A"))[..., None]


def _through_profile(image: Image.Image, icc: bytes | None) -> np.ndarray:
    """A CMYK image as sRGB, HWC uint8."""
    if icc and profile_space(icc) == b"CMYK":
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a broken profile is as good as none
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            return np.array(converted)
    return np.array(image.convert("RGB"))
