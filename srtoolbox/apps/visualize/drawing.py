"""A drawing: frames, or one sheet, and a caption; and the images that drawings are made from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, write_image
from srtoolbox.image.file_types import WRITE_SUFFIXES, listed
from srtoolbox.plots.animation import check_suffix, write_animation
from srtoolbox.text import did_you_mean

T = TypeVar("T")
Crop = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


class Drawing(NamedTuple):
    """Frames of one size, HWC uint8 RGB; of a sheet there is one."""

    frames: Sequence[np.ndarray]
    caption: str
    """A description of what they show."""

    def save_sheet(self, path: str | os.PathLike) -> None:
        """Write the sheet as an image."""
        write_image(path, self.frames[0])

    def save_animation(self, path: str | os.PathLike, *, seconds: float = 0.2) -> None:
        """Write a GIF, an MP4 or a PNG with some of the frames, each shown for so many seconds."""
        write_animation(path, self.frames, seconds=seconds)


check_animation_suffix = check_suffix


def check_sheet_suffix(path: str | os.PathLike, hint: str = "") -> None:
    """Raise a SrtoolboxError for a file that no image can be written to, before the work begins."""
    if Path(path).suffix.lower() not in WRITE_SUFFIXES:
        rule = f"a sheet is one image, and its suffix one of {listed()}"
        raise SrtoolboxError(f"{os.fspath(path)}: {rule}{hint}")


def read_crop(path: str | os.PathLike, crop: Crop | None = None) -> np.ndarray:
    """Read an image, or a part of it.

    Raises:
        ImageError: it cannot be read.
        SrtoolboxError: the part lies outside.
    """
    image = read_image(path)
    if crop is None:
        return image
    x, y, width, height = crop
    if x + width > image.shape[1] or y + height > image.shape[0]:
        place = f"{os.fspath(path)}, which is {image.shape[1]} x {image.shape[0]} pixels"
        raise SrtoolboxError(f"{crop_text(crop)} lies outside of {place}")
    return image[y : y + height, x : x + width].copy()


def crop_text(crop: Sequence[int]) -> str:
    """Return 'crop 10,20,64,48'."""
    return f"crop {','.join(map(str, crop))}"


def select_entries(entries: Mapping[str, T], names: Sequence[str] | None, option: str) -> dict[str, T]:
    """Return the entries of these names, or all.

    Raises:
        SrtoolboxError: no such name.
    """
    for name in names or ():
        if name not in entries:
            hint = did_you_mean(name, entries, else_list=True)
            raise SrtoolboxError(f"{option}: the training kept no {name!r}.{hint}")
    return {name: entries[name] for name in names} if names else dict(entries)
