"""Patches of true images, restored again and again to show what networks make of one place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, to_uint8
from srtoolbox.plots.sheet import choose_regions
from srtoolbox.resize import imresize

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the true image."""
MARGIN = 48
"""LQ pixels around a patch that a network gets at most, or half of them if it sees unknown far."""


class Patch(NamedTuple):
    """A place in a true image and its reduction."""

    lq: np.ndarray
    """HWC uint8, with a margin around."""
    truth: np.ndarray
    """HWC uint8, without."""
    box: Box
    scale: int
    offset: tuple[int, int]
    """(row, column) in `lq` where the patch begins."""

    def cut(self, result: np.ndarray) -> np.ndarray:
        """Return the patch in an image of `scale` times the size of `lq`."""
        top, left = (place * self.scale for place in self.offset)
        return result[top : top + self.box[3], left : left + self.box[2]]

    def cut_maps(self, maps: np.ndarray) -> np.ndarray:
        """Return the patch in feature maps (C, h, w) of `lq`.

        Where the maps are no whole multiple of its size, all of them are returned.
        """
        factor = maps.shape[1] // self.lq.shape[0]
        if maps.shape[1:] != tuple(factor * length for length in self.lq.shape[:2]):
            return maps
        top, left = (place * factor for place in self.offset)
        down, across = (length // self.scale * factor for length in (self.box[3], self.box[2]))
        return maps[:, top : top + down, left : left + across]

    @property
    def input(self) -> np.ndarray:
        """Return the patch in `lq`, HWC uint8."""
        top, left = self.offset
        across, down = (length // self.scale for length in self.box[2:])
        return self.lq[top : top + down, left : left + across]

    @property
    def bicubic(self) -> np.ndarray:
        """Return the patch as bicubic interpolation restores it, HWC uint8."""
        return self.cut(imresize(self.lq, self.scale))


def load_patch(
    path: str | os.PathLike,
    box: Sequence[int] | None,
    scale: int,
    *,
    receptive_field: int | None = None,
    middle: int | None = None,
) -> Patch:
    """Read a true image and reduce it by MATLAB's bicubic, as `GTOnlyDataset` does.

    Args:
        path: the image's file.
        box: x, y, width, height in its pixels, multiples of `scale`; None: the most detailed place.
        scale: of the networks.
        receptive_field: of the networks, in LQ pixels: so much is read around.
        middle: instead of the most detailed place, the middle of the image, at most so many
            pixels wide and high.

    Raises:
        ImageError: the image cannot be read.
        SrtoolboxError: the box lies outside the image, or is no multiple of `scale`; names the
            image.
    """
    image = to_uint8(read_image(path))
    height, width = (length // scale * scale for length in image.shape[:2])
    if not (height and width):
        raise SrtoolboxError(f"{os.fspath(path)}: smaller than one pixel after reduction by {scale}")
    image = image[:height, :width]
    if box is None:
        box = _choose_box(image, scale, middle)
    fault = box_fault(box, scale)
    x, y, across, down = box if fault is None else (0, 0, 0, 0)
    if fault is None and (x + across > width or y + down > height):
        fault = f"box {list(box)} lies outside the image of {width} x {height} px"
    if fault is not None:
        raise SrtoolboxError(f"{os.fspath(path)}: {fault}")
    lq = imresize(image, 1 / scale)
    margin = MARGIN // 2 if receptive_field is None else min(receptive_field, MARGIN)
    top, left = max(0, y // scale - margin), max(0, x // scale - margin)
    window = lq[top : (y + down) // scale + margin, left : (x + across) // scale + margin]
    offset = (y // scale - top, x // scale - left)
    truth = image[y : y + down, x : x + across]
    return Patch(np.ascontiguousarray(window), truth, (x, y, across, down), scale, offset)


def _choose_box(image: np.ndarray, scale: int, middle: int | None) -> Box:
    height, width = image.shape[:2]
    if middle is None:
        top, left, down, across = choose_regions([image], 1)[0]
    else:
        down, across = min(height, middle), min(width, middle)
        top, left = (height - down) // 2, (width - across) // 2
    left, top = left // scale * scale, top // scale * scale
    return left, top, max(across // scale, 1) * scale, max(down // scale, 1) * scale


def box_fault(box: object, scale: int | None = None) -> str | None:
    """Return the fault of a box as a config gives it, or None."""
    numbers = list(box) if isinstance(box, Sequence) else []
    is_whole = len(numbers) == 4 and all(type(number) is int for number in numbers)
    if not is_whole or min(numbers) < 0 or 0 in numbers[2:]:
        return f"box is [x, y, width, height] in whole pixels of the true image, got {box!r}"
    if scale and any(number % scale for number in numbers):
        near = [number // scale * scale for number in numbers]
        near[2:] = [max(number, scale) for number in near[2:]]
        return f"box {numbers}: all four are multiples of the scale {scale}, such as {near}"
    return None


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Return PSNR in dB of HWC uint8 images over all channels; a patch has no border to crop."""
    error = np.mean((result.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def unique_stems(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Return a name for each image: its stem, with -2, -3 ... where several have one."""
    names: list[str] = []
    for path in paths:
        stem, number = Path(path).stem, 1
        while (name := stem if number == 1 else f"{stem}-{number}") in names:
            number += 1
        names.append(name)
    return names
