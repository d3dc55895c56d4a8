"""Reading arrays from MATLAB's `.mat` files of versions 5 to 7, whatever is damaged in them.

"MAT-File Format" (The MathWorks): a header of 128 bytes, then elements, each with its kind and
size.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal

import numpy as np

_ORDERS: dict[bytes, Literal["little", "big"]] = {b"\x00\x01IM": "little", b"\x01\x00MI": "big"}
_HEADER = 128  # bytes
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = range(6, 16)  # of arrays of numbers: double, single, then integers
_COMPLEX = 0x800
_MOST = 1 << 26  # bytes of one array: a few of them may claim to grow to gigabytes


def read_mat(file: BinaryIO) -> dict[str, np.ndarray]:
    """Return the real arrays of numbers of a file by name.

    Texts, cells, structures and others are left out.

    Raises:
        ValueError: the file is of another kind, or damaged.
    """
    data = file.read()
    order = _ORDERS.get(data[_HEADER - 4 : _HEADER])
    if order is None:
        raise ValueError("it is no .mat file of MATLAB 5 to 7: save it with '-v7'")
    arrays: dict[str, np.ndarray] = {}
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, content = next(_elements(_decompressed(content), order), (0, b""))
        if kind == _MATRIX:
            arrays |= _named_array(content, order)
    return arrays


def _elements(data: bytes, order: Literal["little", "big"]) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the content of each element."""
    place = 0
    while place < len(data):
        kind, size = (int.from_bytes(data[start : start + 4], order) for start in (place, place + 4))
        start, end = place + 8, place + 8 + size
        if kind >> 16:  # a small one, its size and content in the eight bytes
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = place + 4, place + 4 + size
        if end > len(data):
            raise ValueError("it ends in the middle of an array")
        yield kind, data[start:end]
        place = end if kind == _COMPRESSED else end + -end % 8


def _decompressed(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(content, _MOST)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from error
    if not stream.eof:
        raise ValueError(f"it is damaged, or has an array of more than {_MOST >> 20} MiB")
    return data


def _named_array(content: bytes, order: Literal["little", "big"]) -> dict[str, np.ndarray]:
    """Return the array of a matrix element by its name; {} where it is none of real numbers."""
    parts = [*_elements(content, order), *[(0, b"")] * 4]
    flags, (_, shape), (_, name), (kind, numbers) = parts[:4]
    flag = int.from_bytes(flags[1][:4], order)
    if flag & 0xFF not in _CLASSES or flag & _COMPLEX:
        return {}
    sign = "<" if order == "little" else ">"
    sides = np.frombuffer(shape, f"{sign}i4").tolist()
    if kind not in _NUMBERS or min(sides, default=-1) < 0:
        raise ValueError("it is damaged: an array of unknown kind or size")
    values = np.frombuffer(numbers, sign + _NUMBERS[kind])
    if values.size != math.prod(sides):
        raise ValueError(f"it is damaged: {values.size} numbers for an array of {'x'.join(map(str, sides))}")
    return {name.decode("latin-1"): values.reshape(sides, order="F")}
