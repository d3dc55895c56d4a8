"""Pictures: reading, writing, colour, and the way to tensors. The only user of cv2 and, but for drawing, of Pillow.

A picture is an array HWC, uint8 or uint16, C = 1 (gray) or 3 (RGB). A file becomes one by these rules, the same from a
folder and an LMDB; `image_shape` knows the result without decoding:

- The content decides, not the suffix: PNG, JPEG, BMP, TIFF or WebP. Anything else is refused.
- 8 and 16 bits per channel stay what they are. Gray of 1, 2 or 4 bits is spread over 0 ... 255. Float, 32-bit, signed
  and other depths are refused: they have no white level of their own.
- Gray, with or without alpha, is C = 1. Palette, CMYK, YCbCr and Lab become RGB (WebP has no gray: always RGB).
- Alpha (also a palette's or a transparent colour) is dropped, the colours under it are left as stored; those a TIFF
  stores multiplied with alpha are divided by it.
- The EXIF orientation is applied. Colour profiles and gamma are not: values are what the file holds.
- One picture per file: animations and multi-page files are refused, but for the previews that cameras append (MPO).
- A damaged or truncated file is refused, never half read; so is one that declares more than `MAX_PIXELS`.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
import torch
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from torch import Tensor

from srtoolbox import files
from srtoolbox.errors import ImageError, SrtoolboxError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 2**27  # 134 million: above any camera's picture, 400 MB decoded
MAX_BYTES = 2**30
_BAND = 1 << 16  # pixels summed at a time: they stay in the cache

# Importing a plugin is what makes Pillow know its format; no other (EPS, PSD ...) is ever tried on a user's file.
_PLUGINS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
_FORMATS = tuple(plugin.__name__.rpartition(".")[2].removesuffix("ImagePlugin").upper() for plugin in _PLUGINS)
_GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
_ORIENTATION = 0x0112  # EXIF and TIFF tag
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 284, 338, 339  # TIFF tags


class _Header(NamedTuple):
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


# ---- reading


def read_image(path: str | os.PathLike) -> np.ndarray:
    """The picture in a file: HWC uint8 or uint16, C = 1 or 3 (RGB), by the rules of this module.

    Raises:
        ImageError: names the file, what is wrong with it and what to do.
    """
    with _open(path) as file:
        return decode_image(file.read(), os.fspath(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """The picture in the bytes of a file, exactly as `read_image` gives it; `name` is what errors call it."""
    with _faults_name(name):
        header = _read_header(io.BytesIO(data))
        image = _decode_by_cv2(data, header) if header.by_cv2 else _decode_by_pillow(data, header)
        if image.shape != (header.height, header.width, header.channels):
            raise ImageError(f"damaged: decoded to {image.shape}, its header promises {header[:3]}")
        return _rotate(image, header.orientation)


def image_shape(path: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of what `read_image` would return, from the file's header alone.

    Raises:
        ImageError: as `read_image`, except for damage that only decoding shows.
    """
    with _open(path) as file, _faults_name(os.fspath(path)):
        return _read_header(file).shape


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Paths of all pictures (by suffix, in any case) in a folder and its sub-folders, relative to it, sorted.

    Hidden files and folders are skipped. Links to folders are followed, each real folder once, so loops end.

    Raises:
        ImageError: `folder` is no folder, or one in it cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"{root}: not a folder" if root.exists() else f"{root}: no such folder")
    found: list[Path] = []
    pending, seen = [root], {root.resolve()}
    while pending:
        current = pending.pop()
        try:
            entries = sorted(current.iterdir())
        except OSError as error:
            raise ImageError(f"{current}: cannot be listed ({error.strerror})") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.resolve() not in seen:
                    seen.add(entry.resolve())
                    pending.append(entry)
            elif entry.suffix.lower() in IMAGE_SUFFIXES:
                found.append(entry.relative_to(root))
    return sorted(found, key=lambda path: path.as_posix())


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[BinaryIO]:
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
def _faults_name(name: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a bad file into an ImageError with the file's name."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error.__cause__
    except Exception as error:
        # Damaged files make the decoders raise nearly anything (struct.error, SyntaxError, cv2.error, MemoryError ...).
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ImageError(f"{name}: damaged or truncated; replace or remove it ({reason})") from error


def _read_header(file: BinaryIO) -> _Header:
    start = file.read(32)
    file.seek(0)
    if not start:
        raise ImageError("is empty (0 bytes); replace or remove it")
    header = _png_header(file) if start.startswith(b"\x89PNG\r\n\x1a\n") else _other_header(file)
    if header.height < 1 or header.width < 1:
        raise ImageError(f"damaged: its header says {header.width}x{header.height} pixels")
    if header.height * header.width > MAX_PIXELS:
        raise ImageError(f"{header.width}x{header.height} pixels, more than the {MAX_PIXELS} allowed; split it")
    return header


def _png_header(file: BinaryIO) -> _Header:
    """Walk the chunks: the only way to know of an orientation or a missing end without decoding."""
    chunks: dict[bytes, bytes] = {}
    file.seek(8)
    while b"IEND" not in chunks:
        head = file.read(8)
        if len(head) < 8:
            raise ImageError("truncated: the end of the PNG is missing; replace it")
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IHDR", b"eXIf", b"acTL", b"IEND"):
            chunks[kind] = file.read(length)
            if len(file.read(4)) < 4:  # its checksum, which decoders compare
                raise ImageError("truncated: the end of the PNG is missing; replace it")
        else:
            chunks.setdefault(kind, b"")
            file.seek(length + 4, os.SEEK_CUR)
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if b"acTL" in chunks and struct.unpack(">I", chunks[b"acTL"][:4])[0] > 1:
        raise ImageError("is an animated PNG; save the frame you want as a picture of its own")
    plain = depth == 16 or (depth == 8 and colour != 3 and b"tRNS" not in chunks)
    orientation = _orientation(lambda: _parsed_exif(chunks[b"eXIf"])) if b"eXIf" in chunks else 1
    return _Header(height, width, 1 if colour in (0, 4) else 3, orientation, plain)


def _parsed_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(b"Exif\x00\x00" + data)
    return exif


def _other_header(file: BinaryIO) -> _Header:
    with _open_by_pillow(file) as image:
        if image.format not in ("JPEG", "MPO") and getattr(image, "n_frames", 1) > 1:
            raise ImageError(f"holds {image.n_frames} pictures; save the one you want as a file of its own")
        if image.mode not in _GRAY_MODES | _COLOUR_MODES:
            raise ImageError(f"its values are of kind {image.mode!r} (32-bit or float); save it with 8 or 16 bits")
        orientation = _orientation(image.getexif)
        channels = 1 if image.mode in _GRAY_MODES else 3
        if image.format != "TIFF":
            return _Header(image.height, image.width, channels, orientation, by_cv2=False)
        sides = image.tag_v2[_TIFF_HEIGHT], image.tag_v2[_TIFF_WIDTH]
        # Of TIFF, both decoders rotate by themselves.
        return _Header(*(sides[::-1] if orientation >= 5 else sides), channels, 1, by_cv2=_is_deep_tiff(image))


@contextlib.contextmanager
def _open_by_pillow(file: BinaryIO) -> Iterator[Image.Image]:
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


def _decode_by_cv2(data: bytes, header: _Header) -> np.ndarray:
    """PNG, which it decodes fastest, and 16-bit TIFF. Alpha is dropped, BGR becomes RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError("damaged or truncated; replace or remove it")
    if header.channels == 1:
        return np.ascontiguousarray(image[..., None] if image.ndim == 2 else image[..., :1])
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _decode_by_pillow(data: bytes, header: _Header) -> np.ndarray:
    with _open_by_pillow(io.BytesIO(data)) as image:
        image.load()
        if header.channels == 1:
            gray = image.getchannel(0) if image.mode in ("LA", "La") else image.convert("L")
            return np.array(gray)[..., None]
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _rotate(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what EXIF orientation 1 ... 8 says was done to the picture."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


# ---- writing


def write_image(path: str | os.PathLike, image: np.ndarray, *, quality: int | None = None) -> None:
    """Write HWC (or HW) uint8 or uint16, C = 1 or 3 (RGB), in the format of the suffix, atomically.

    Args:
        path: `.png`, `.tif`/`.tiff` (8 or 16 bits), `.bmp`, `.webp`, `.jpg`/`.jpeg` (8 bits). Folders are made.
        image: the picture. WebP has no gray: it comes back with three equal channels.
        quality: 1 ... 100 for JPEG (default 95, colour at full resolution) and WebP (default: lossless).

    Raises:
        ImageError: an array, or a format that cannot hold it; names the file.
        SrtoolboxError: the disk is full or the folder cannot be written.
    """
    try:
        data = encode_image(image, Path(path).suffix, quality=quality)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from error.__cause__
    files.write_bytes(path, data)


def encode_image(image: np.ndarray, suffix: str = ".png", *, quality: int | None = None) -> bytes:
    """The bytes `write_image` would write to a file with this suffix."""
    kind = suffix.lower()
    _check_writable(image, kind, quality)
    options = []
    if kind in (".jpg", ".jpeg"):
        full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, quality or 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    elif kind == ".webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, quality or 101]  # above 100 is lossless
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 and image.shape[2] == 3 else image
    try:
        done, data = cv2.imencode(kind, np.ascontiguousarray(stored), options)
    except cv2.error as error:
        raise ImageError(f"cannot be encoded ({error.err or error})") from error
    if not done:
        raise ImageError(f"a picture of {image.shape} cannot be encoded")
    return data.tobytes()


def _check_writable(image: np.ndarray, kind: str, quality: int | None) -> None:
    if kind not in IMAGE_SUFFIXES:
        raise ImageError(f"no format for suffix {kind!r}; use one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3) or 0 in image.shape:
        raise ImageError(f"a picture is HWC with C = 1 or 3, got an array of {image.shape}")
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"a picture is uint8 or uint16, got {image.dtype}; `to_image` makes one of a tensor")
    if image.dtype == np.uint16 and kind not in (".png", ".tif", ".tiff"):
        raise ImageError(f"{kind} holds 8 bits per channel, the picture has 16; use .png or .tif")
    limit = {".jpg": 65535, ".jpeg": 65535, ".webp": 16383}.get(kind)
    if limit is not None and max(image.shape[:2]) > limit:
        raise ImageError(f"{kind} holds at most {limit} pixels a side, the picture has {image.shape[:2]}; use .png")
    if quality is not None and (kind not in (".jpg", ".jpeg", ".webp") or not 1 <= quality <= 100):
        raise ImageError(f"quality is 1 ... 100, for .jpg and .webp only, got {quality!r} for {kind}")


def copy_view(target: np.ndarray, view: np.ndarray) -> None:
    """`target[...] = view` for contiguous `target` and any mirrored or transposed HWC `view` of a picture.

    numpy copies such views pixel by pixel; cv2 knows the few orientations there are and is up to 20 times as fast.
    """
    pixel = view.shape[2] * view.itemsize
    transposed = abs(view.strides[1]) != pixel and abs(view.strides[0]) == pixel
    plain = view.swapaxes(0, 1) if transposed else view
    mirrored = (plain.strides[0] < 0, plain.strides[1] < 0)
    if plain.strides[2] != view.itemsize or abs(plain.strides[1]) != pixel or not (transposed or mirrored[1]):
        target[...] = view  # rows in one piece, or a view of another kind (gray expanded to three channels)
        return
    stored = plain[:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]
    if transposed:
        stored = cv2.transpose(stored, target if not any(mirrored) else None)
        mirrored = mirrored[::-1]
    if any(mirrored):
        cv2.flip(stored, -1 if all(mirrored) else int(mirrored[1]), target)


# ---- tensors: float in [0, 1], (N, C, H, W), RGB


def to_tensor(image: np.ndarray, device: torch.device | str | None = None) -> Tensor:
    """HWC (or HW) uint8 or uint16 -> (1, C, H, W) float32 in [0, 1]."""
    image = np.array(image if image.ndim == 3 else image[..., None])  # a copy: a store's views are not writable
    return batch_to_float(torch.from_numpy(image)[None].to(device))


def batch_to_float(batch: Tensor) -> Tensor:
    """uint8 or uint16 (N, H, W, C) -> float32 (N, C, H, W) in [0, 1], on the batch's device.

    Raises:
        SrtoolboxError: another dtype or shape.
    """
    if batch.ndim != 4 or batch.dtype not in (torch.uint8, torch.uint16):
        raise SrtoolboxError(f"a batch of pictures is (N, H, W, C) uint8 or uint16, got {batch.dtype} {batch.shape}")
    peak = 255 if batch.dtype == torch.uint8 else 65535
    return batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(peak)


def to_image(tensor: Tensor, bits: int = 8) -> np.ndarray:
    """(1, C, H, W) or (C, H, W) float in [0, 1] -> HWC uint8 (or uint16 for bits=16), rounded and clipped.

    Raises:
        SrtoolboxError: another shape, or bits that are neither 8 nor 16.
    """
    picture = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if picture.ndim != 3 or bits not in (8, 16):
        raise SrtoolboxError(f"to_image takes one picture (C, H, W) and 8 or 16 bits, got {tensor.shape}, {bits}")
    peak, dtype = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    levels = picture.detach().float().mul(peak).round_().clamp_(0, peak)
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy().astype(dtype))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """A uint8 or uint16 picture in 8 bits, rounded: to look at, not to measure on."""
    return image if image.dtype == np.uint8 else ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def expand_gray(image: np.ndarray) -> np.ndarray:
    """HW1 -> HW3 with three equal channels; a colour picture as it is."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


# ---- colour: BT.601 with headroom, as MATLAB's rgb2ycbcr (levels of 8 bit / 255)

_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_OFFSET = np.array([16.0, 128.0, 128.0]) / 255
_TO_RGB = np.linalg.inv(_TO_YCBCR)


def rgb_to_y(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> luma (N, 1, H, W) in [16/255, 235/255], unrounded, differentiable."""
    return _weigh(rgb, _TO_YCBCR[0], _OFFSET[0])


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> Y, Cb, Cr (N, 3, H, W); Y as `rgb_to_y`, Cb and Cr in [16/255, 240/255]."""
    return torch.cat([_weigh(rgb, row, offset) for row, offset in zip(_TO_YCBCR, _OFFSET, strict=True)], dim=1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """The inverse of `rgb_to_ycbcr`, unclipped: colours that RGB does not have leave [0, 1]."""
    offsets = -_TO_RGB @ _OFFSET
    return torch.cat([_weigh(ycbcr, row, offset) for row, offset in zip(_TO_RGB, offsets, strict=True)], dim=1)


def _weigh(planes: Tensor, weights: np.ndarray, offset: float) -> Tensor:
    """Weighted sum over channels, by additions: a matrix product might run in TF32 or bfloat16."""
    if planes.ndim != 4 or planes.shape[1] != 3:
        raise SrtoolboxError(f"a colour tensor is (N, 3, H, W), got {tuple(planes.shape)}")
    first, second, third = planes.split(1, dim=1)
    total = (first * float(weights[0])).add(second, alpha=float(weights[1])).add(third, alpha=float(weights[2]))
    return total.add(float(offset))


# ---- sums over pixels, for the metrics: several times as fast here as in PyTorch on a CPU


def window_means(planes: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """Gaussian-weighted means of all size x size windows inside: (K, H, W) float -> (K, H - size + 1, W - size + 1)."""
    count, height, width = planes.shape
    taps = cv2.getGaussianKernel(size, sigma).astype(planes.dtype)
    blurred = cv2.sepFilter2D(planes.reshape(count * height, width), -1, taps, taps).reshape(planes.shape)
    border = size // 2  # one filtering for all planes: what mixes neighbouring planes or leaves the picture is cut off
    return blurred[:, border : height - border, border : width - border]


def squared_distance(first: np.ndarray, second: np.ndarray, weights: Sequence[float] | None = None) -> float:
    """Sum over all pixels of the squared difference of two uint8 pictures (C, H, W), exact.

    With `weights` (C,), that of the channels' weighted sums instead, exact to float32.
    """
    if weights is None:
        return sum(cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in zip(first, second, strict=True))
    total, rows = 0.0, max(1, _BAND // first.shape[2])
    for top in range(0, first.shape[1], rows):
        pairs = zip(first[:, top : top + rows], second[:, top : top + rows], strict=True)
        differences = [cv2.subtract(a, b, dtype=cv2.CV_32F) for a, b in pairs]
        mixed = differences[0] * np.float32(weights[0])
        for difference, weight in zip(differences[1:], weights[1:], strict=True):
            mixed = cv2.scaleAdd(difference, weight, mixed)
        total += cv2.norm(mixed, cv2.NORM_L2SQR)
    return total
