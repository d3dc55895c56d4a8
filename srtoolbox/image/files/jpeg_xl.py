"""The header of a JPEG XL file (ISO 18181-1, annex D): its library would decode at once."""

from __future__ import annotations

from typing import NamedTuple

from srtoolbox.errors import ImageError

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, by their number from 1
_CONTAINER = b"\0\0\0\x0cJXL "


class JXLHeader(NamedTuple):
    """The beginning of a codestream. Sides are as stored, before it is turned."""

    height: int
    width: int
    is_animated: bool
    bits: int
    """Per channel."""


def read_jxl_header(data: bytes) -> JXLHeader:
    """Read the header of a whole file, a bare codestream or one in boxes.

    Raises:
        ImageError: no codestream in it.
    """
    bits = _Bits(_codestream(data)[2:])
    height, width = _size(bits)
    is_animated, depth = False, 8
    if not bits.take(1):  # not everything is as usual
        if bits.take(1):  # orientation, intrinsic size, preview, animation
            bits.take(3)
            if bits.take(1):
                _size(bits)
            if bits.take(1):
                return JXLHeader(height, width, False, 8)  # a preview: what follows is not looked for
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
