"""Encodings of images as values of an LMDB, from which windows are read.

- `raw`: the pixels as they lie in memory; a window is a view.
- `raw_tiled`: the pixels tile after tile, row by row; a window is copied from the tiles it touches,
  which lie on few pages of the disk.
- `zstd`: bands of rows, each compressed by itself; a window is decoded from the bands it touches.
- `png`: an image file, decoded as a whole.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from srtoolbox.data.stores.base import Shape, Window
from srtoolbox.errors import DataError
from srtoolbox.image import decode_image, encode_image

ENCODINGS = ("raw", "raw_tiled", "zstd", "png")
TILE = 64  # side of a tile of `raw_tiled` in px; those at the right and bottom edge are smaller
BAND = 64  # rows in a band of `zstd`; the last band has what is left
_END = np.dtype("<u8")


def check_encoding(encoding: str, path: str | os.PathLike) -> None:
    """Raise DataError if the package is not installed by which `path` can be read or converted."""
    if encoding == "zstd":
        try:
            import zstandard  # noqa: F401 - an extra
        except ImportError:
            raise DataError(
                f"{path}: the encoding 'zstd' needs a package that is not installed: pip install 'srtoolbox[compact]'"
            ) from None


def encode(encoding: str, image: np.ndarray) -> memoryview:
    """Return the value that holds an image (H, W, C), uint8 or uint16."""
    if encoding == "png":
        return memoryview(encode_image(image))
    if encoding == "zstd":
        return memoryview(_compressed(image))
    if encoding == "raw_tiled":
        rows, columns = range(image.shape[0]), range(image.shape[1])
        tiles = (image[y, x].tobytes() for y in _blocks(rows) for x in _blocks(columns))
        return memoryview(b"".join(tiles))
    return np.ascontiguousarray(image).data.cast("B")


def open_value(encoding: str, value: memoryview, shape: Shape, dtype: str, source: str) -> StoredImage:
    """Return the image that `encode` made a value of.

    Raises DataError if it cannot be one of this shape and type, ImageError for a damaged PNG.
    """
    if encoding == "png":
        image = decode_image(bytes(value), source)
        image.setflags(write=False)
        return _Plain(image)
    kind = np.dtype(dtype)
    if encoding == "zstd":
        return _open_bands(value, shape, kind, source)
    if len(value) != kind.itemsize * shape[0] * shape[1] * shape[2]:
        raise DataError(f"{source}: {len(value)} bytes do not make {shape} {kind}. Convert the images again")
    pixels = np.frombuffer(value, kind)
    return _Tiles(pixels, shape) if encoding == "raw_tiled" else _Plain(pixels.reshape(shape))


class _Plain(NamedTuple):
    """Pixels in memory order: `raw`, and a decoded `png`."""

    image: np.ndarray

    def read(self, window: Window | None) -> np.ndarray:
        return self.image if window is None else window.cut(self.image)


class _Tiles(NamedTuple):
    """The pixels (H * W * C) of `raw_tiled`; a row of tiles begins with a row of pixels."""

    pixels: np.ndarray
    shape: Shape

    def read(self, window: Window | None) -> np.ndarray:
        height, width, channels = self.shape
        rows, columns = _ranges(window, self.shape)
        image = np.empty((len(rows), len(columns), channels), self.pixels.dtype)
        for y in _blocks(rows):
            top = y.start // TILE * TILE
            tall = min(TILE, height - top)
            for x in _blocks(columns):
                left = x.start // TILE * TILE
                wide = min(TILE, width - left)
                start = (top * width + left * tall) * channels
                tile = self.pixels[start : start + tall * wide * channels].reshape(tall, wide, channels)
                part = tile[y.start - top : y.stop - top, x.start - left : x.stop - left]
                image[_moved(y, rows), _moved(x, columns)] = part
        return image


class _Bands(NamedTuple):
    """The bands of `zstd`, each one byte (1 if it holds differences) and a zstd frame."""

    bands: list[memoryview]
    shape: Shape
    dtype: np.dtype
    source: str

    def read(self, window: Window | None) -> np.ndarray:
        rows, columns = _ranges(window, self.shape)
        image = np.empty((len(rows), len(columns), self.shape[2]), self.dtype)
        for y in _blocks(rows, BAND):
            top = y.start // BAND * BAND
            band = self._decoded(top // BAND)[y.start - top : y.stop - top, : columns.stop]
            if self.bands[top // BAND][0]:
                band = np.cumsum(band, axis=1, dtype=self.dtype)  # wraps around
            image[_moved(y, rows)] = band[:, columns.start :]
        return image

    def _decoded(self, number: int) -> np.ndarray:
        import zstandard  # an extra, asked for when the store was opened

        height, width, channels = self.shape
        shape = (min(BAND, height - number * BAND), width, channels)
        size = shape[0] * width * channels * self.dtype.itemsize
        frame = self.bands[number][1:]
        try:
            if zstandard.frame_content_size(frame) != size:  # a damaged one may be any
                raise _damaged(self.source)
            data = zstandard.ZstdDecompressor().decompress(frame)
        except zstandard.ZstdError as error:
            raise _damaged(self.source) from error
        return np.frombuffer(data, self.dtype).reshape(shape)


StoredImage = _Plain | _Tiles | _Bands
"""One stored image: `read(window)` returns pixels (h, w, C), maybe a read-only view of the map."""


def _compressed(image: np.ndarray) -> bytes:
    """Return the ends of the bands, counted from the first, and then the bands."""
    import zstandard  # an extra, asked for when the conversion was planned

    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
    bands = []
    for y in _blocks(range(image.shape[0]), BAND):
        plain = np.ascontiguousarray(image[y])
        differences = plain.copy()
        differences[:, 1:] -= plain[:, :-1]
        frames = [compressor.compress(pixels.data) for pixels in (plain, differences)]
        best = min((0, 1), key=lambda kind: len(frames[kind]))  # drawings are smaller as they are
        bands.append(bytes([best]) + frames[best])
    return np.cumsum([len(band) for band in bands], dtype=_END).tobytes() + b"".join(bands)


def _open_bands(value: memoryview, shape: Shape, dtype: np.dtype, source: str) -> _Bands:
    head = -(-shape[0] // BAND) * _END.itemsize
    if len(value) < head:
        raise _damaged(source)
    ends = [0, *np.frombuffer(value[:head], _END).tolist()]
    lengths = [end - start for start, end in itertools.pairwise(ends)]
    if min(lengths) < 2 or ends[-1] != len(value) - head:
        raise _damaged(source)
    bands = [value[head + start : head + end] for start, end in itertools.pairwise(ends)]
    if any(band[0] > 1 for band in bands):
        raise _damaged(source)
    return _Bands(bands, shape, dtype, source)


def _damaged(source: str) -> DataError:
    return DataError(f"{source}: the stored value is damaged. Convert the images again")


def _ranges(window: Window | None, shape: Shape) -> tuple[range, range]:
    """The rows and columns of a window that are in the image, as slicing has it."""
    rows, columns = range(shape[0]), range(shape[1])
    if window is None:
        return rows, columns
    return rows[window.top : window.top + window.height], columns[window.left : window.left + window.width]


def _blocks(lines: range, size: int = TILE) -> Iterator[slice]:
    """`lines` cut where blocks of `size` of the whole image begin."""
    for start in range(lines.start // size * size, lines.stop, size):
        yield slice(max(start, lines.start), min(start + size, lines.stop))


def _moved(part: slice, lines: range) -> slice:
    """`part` of an image counted from the first of `lines`."""
    return slice(part.start - lines.start, part.stop - lines.start)
