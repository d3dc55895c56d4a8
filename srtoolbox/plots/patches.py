"""Patches of true pictures that are restored again and again, to be looked at: what networks make of one place."""

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
"""x, y, width, height in pixels of the true picture."""
MARGIN = 48
"""LQ pixels around a patch that a network is shown at most, or where its receptive field is not known half of them."""


class Patch(NamedTuple):
    """A place in a true picture and its reduction."""

    lq: np.ndarray
    """HWC uint8, with a margin around."""
    truth: np.ndarray
    """HWC uint8, without."""
    box: Box
    scale: int
    offset: tuple[int, int]
    """(row, column) in `lq` where the patch begins."""

    def cut(self, result: np.ndarray) -> np.ndarray:
        """The patch in a picture of `scale` times the size of `lq`."""
        top, left = (place * self.scale for place in self.offset)
        return result[top : top + self.box[3], left : left + self.box[2]]

    def cut_maps(self, maps: np.ndarray) -> np.ndarray:
        """The patch in feature maps (C, h, w) of `lq`; where they are not a whole multiple of its size, all of them."""
        factor = maps.shape[1] // self.lq.shape[0]
        if maps.shape[1:] != tuple(factor * length for length in self.lq.shape[:2]):
            return maps
        top, left = (place * factor for place in self.offset)
        down, across = (length // self.scale * factor for length in (self.box[3], self.box[2]))
        return maps[:, top : top + down, left : left + across]

    @property
    def input(self) -> np.ndarray:
        """The patch in `lq`, HWC uint8."""
        top, left = self.offset
        return self.lq[top : top + self.box[3] // self.scale, left : left + self.box[2] // self.scale]

    @property
    def bicubic(self) -> np.ndarray:
        """The patch as bicubic interpolation restores it, HWC uint8."""
        return self.cut(imresize(self.lq, self.scale))


def load_patch(
    picture: str | os.PathLike,
    box: Sequence[int] | None,
    scale: int,
    *,
    receptive_field: int | None = None,
    middle: int | None = None,
) -> Patch:
    """Read a true picture and reduce it by MATLAB's bicubic, as `GTOnlyDataset` does.

    Args:
        picture: its file.
        box: x, y, width, height in its pixels, multiples of `scale`; None: the most detailed place.
        scale: of the networks.
        receptive_field: of the networks, in LQ pixels: so much is read around.
        middle: instead of the most detailed place, the middle of the picture, at most so many
            pixels wide and high.

    Raises:
        ImageError: the picture cannot be read.
        SrtoolboxError: the box lies outside the picture, or is no multiple of `scale`; names the
            picture.
    """
    image = to_uint8(read_image(picture))
    height, width = (length // scale * scale for length in image.shape[:2])
    if not (height and width):
        raise SrtoolboxError(f"{os.fspath(picture)}: smaller than one pixel after reduction by {scale}")
    image = image[:height, :width]
    if box is None:
        box = _chosen_box(image, scale, middle)
    fault = box_fault(box, scale)
    x, y, across, down = box if fault is None else (0, 0, 0, 0)
    if fault is None and (x + across > width or y + down > height):
        fault = f"box {list(box)} lies outside the picture of {width} x {height} px"
    if fault is not None:
        raise SrtoolboxError(f"{os.fspath(picture)}: {fault}")
    lq = imresize(image, 1 / scale)
    margin = MARGIN // 2 if receptive_field is None else min(receptive_field, MARGIN)
    top, left = max(0, y // scale - margin), max(0, x // scale - margin)
    window = lq[top : (y + down) // scale + margin, left : (x + across) // scale + margin]
    offset = (y // scale - top, x // scale - left)
    return Patch(np.ascontiguousarray(window), image[y : y + down, x : x + across], tuple(box), scale, offset)


def _chosen_box(image: np.ndarray, scale: int, middle: int | None) -> Box:
    height, width = image.shape[:2]
    if middle is None:
        top, left, down, across = choose_regions([image], 1)[0]
    else:
        down, across = min(height, middle), min(width, middle)
        top, left = (height - down) // 2, (width - across) // 2
    left, top = left // scale * scale, top // scale * scale
    return left, top, max(across // scale, 1) * scale, max(down // scale, 1) * scale


def box_fault(box: object, scale: int | None = None) -> str | None:
    """What is wrong with a box as a config gives it, or None."""
    whole = isinstance(box, Sequence) and not isinstance(box, str) and all(type(number) is int for number in box)
    if not whole or len(box) != 4 or min(box) < 0 or 0 in box[2:]:
        return f"box is [x, y, width, height] in whole pixels of the true picture, got {box!r}"
    if scale and any(number % scale for number in box):
        near = [number // scale * scale for number in box]
        near[2:] = [max(number, scale) for number in near[2:]]
        return f"box {list(box)}: all four are multiples of the scale {scale}, such as {near}"
    return None


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of HWC uint8 pictures over all channels, nothing cropped: of a patch, which has no border."""
    error = np.mean((result.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def unique_stems(pictures: Sequence[str | os.PathLike]) -> list[str]:
    """A name for each picture: its stem, with -2, -3 ... where several have one."""
    names: list[str] = []
    for picture in pictures:
        stem, number = Path(picture).stem, 1
        while (name := stem if number == 1 else f"{stem}-{number}") in names:
            number += 1
        names.append(name)
    return names
