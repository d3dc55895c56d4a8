"""Search for images that show the same, whatever their size and compression, by small thumbnails.

An image's `ImageHash` is a hash of its pixels and its luma at 32 x 32. Two images are the same if
their thumbnails, reduced to 16 x 16, correlate, and so does the detail that is left at 32 x 32 when
the coarse brightness is taken away: skies and portraits are alike in the first but not in the
second. Scaling (GT and LQ), JPEG, brightness, contrast, colour, flips and quarter turns change
neither much. A crop is another image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from srtoolbox.image.pixels import thumbnail

SIDE = 32
_COARSE, _BASE = 16, 8
ALIKE = 0.9  # correlation of the 16 x 16 thumbnails from which on detail is compared
SAME = 0.75  # correlation of the detail at 32 x 32 from which on two images are the same
_FLAT = 2.0  # levels of standard deviation below which there is nothing to compare
_ROWS = 1024  # images compared at a time: bounds the memory
_TURNS = (
    *("", "mirrored", "turned by 90", "mirrored, turned by 90"),
    *("turned by 180", "mirrored, turned by 180", "turned by 270", "mirrored, turned by 270"),
)


class ImageHash(NamedTuple):
    """SHA-256 of size and pixels, and luma (32, 32) float16, in levels of 8 bit."""

    digest: str
    thumb: np.ndarray


class Match(NamedTuple):
    """Two images that are the same, by their places in the two sequences.

    `likeness` is the correlation of the detail; `how` is 'identical', 'alike', or how the second is
    turned: 'mirrored', 'turned by 90' ...
    """

    first: int
    second: int
    likeness: float
    how: str


def hash_image(image: np.ndarray) -> ImageHash:
    """Return the hash of an image (H, W, C) uint8 or uint16."""
    digest = hashlib.sha256(f"{image.shape}{image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return ImageHash(digest.hexdigest(), thumbnail(image, SIDE).astype(np.float16))


def find_near_duplicates(first: Sequence[ImageHash], second: Sequence[ImageHash] | None = None) -> list[Match]:
    """Return all pairs of images that are the same, of two sets or within one (`second` None).

    Of identical images in `first` (of one set: in all) the others are paired with the first one,
    and only that with further images: thousands of copies make thousands of pairs, not millions.
    Images without any structure match only if they are identical. Time grows with the product of
    the sets' sizes (10 000 against 10 000 take some seconds).
    """
    within = second is None
    second = first if second is None else second
    if not first or not second:
        return []
    originals: dict[str, int] = {}
    for number, each in enumerate(first):
        originals.setdefault(each.digest, number)
    best: dict[tuple[int, int], Match] = {}
    for number, each in enumerate(second):
        original = originals.get(each.digest)
        if original is not None and not (within and original == number):
            best[original, number] = Match(original, number, 1.0, "identical")
    rows = list(originals.values())
    columns = rows if within else range(len(second))
    left, others = _Vectors(_thumbs(first, rows)), _thumbs(second, columns)
    for turn, name in enumerate(_TURNS):
        mirrored = others[:, :, ::-1] if turn % 2 else others
        turned = np.ascontiguousarray(np.rot90(mirrored, turn // 2, axes=(1, 2)))
        for row, column, value in _alike(left, _Vectors(turned), within):
            pair = rows[row], columns[column]
            known = best.get(pair)
            if known is None or (known.how != "identical" and value > known.likeness):
                best[pair] = Match(*pair, value, name or "alike")
    return sorted(best.values())


def _thumbs(hashes: Sequence[ImageHash], places: Iterable[int]) -> np.ndarray:
    return np.stack([hashes[place].thumb for place in places]).astype(np.float32)


class _Vectors:
    """Thumbnails as unit vectors, 0 for flat ones: `coarse` (N, 256), and `detail` (N, 1024)."""

    def __init__(self, thumbs: np.ndarray) -> None:
        self.coarse = _unit(_means(thumbs, _COARSE))
        base = _means(thumbs, _BASE).repeat(SIDE // _BASE, 1).repeat(SIDE // _BASE, 2)
        self.detail = _unit(thumbs - base)


def _means(thumbs: np.ndarray, side: int) -> np.ndarray:
    step = thumbs.shape[1] // side
    return thumbs.reshape(len(thumbs), side, step, side, step).mean((2, 4))


def _unit(planes: np.ndarray) -> np.ndarray:
    flat = planes.reshape(len(planes), -1)
    flat = flat - flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > _FLAT * np.sqrt(flat.shape[1]) / 4, flat / np.maximum(norm, 1e-6), 0)


def _alike(left: _Vectors, right: _Vectors, within: bool) -> list[tuple[int, int, float]]:
    """Return (row, column, likeness) of images that are the same as they are turned."""
    alike: list[tuple[int, int, float]] = []
    for start in range(0, len(left.coarse), _ROWS):
        rows, columns = np.nonzero(left.coarse[start : start + _ROWS] @ right.coarse.T >= ALIKE)
        rows += start
        if within:
            rows, columns = rows[rows < columns], columns[rows < columns]
        for part in range(0, len(rows), 1 << 16):
            r, c = rows[part : part + (1 << 16)], columns[part : part + (1 << 16)]
            likeness = np.einsum("nk,nk->n", left.detail[r], right.detail[c])
            kept = likeness >= SAME
            alike += zip(r[kept].tolist(), c[kept].tolist(), likeness[kept].tolist(), strict=True)
    return alike
