"""Images by networks: a sheet with a row per image and a column per network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import nn

from srtoolbox.apps.visualize.drawing import Crop, Drawing, crop_text
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, to_uint8
from srtoolbox.inference.upscaler import upscale
from srtoolbox.interfaces import facts_of
from srtoolbox.plots.grid import Cell, grid
from srtoolbox.plots.patches import psnr
from srtoolbox.resize import imresize
from srtoolbox.text import counted


class Row(NamedTuple):
    """One row of the sheet: input, versions by title, and the truth or None; all HWC uint8."""

    name: str
    lq: np.ndarray
    versions: dict[str, np.ndarray]
    truth: np.ndarray | None


def compare_networks(
    images: Sequence[str | os.PathLike],
    networks: Mapping[str, nn.Module],
    *,
    are_truth: bool = False,
    crops: Sequence[Crop] | None = None,
    width: int = 260,
) -> Drawing:
    """Draw what several networks make of some images.

    Args:
        images: files to upscale.
        networks: of one scale, by the titles of their columns.
        are_truth: the images are reduced by MATLAB's bicubic first, shown at the right, and PSNR
            (RGB, of what is shown) stands below each version.
        crops: a row for each, in pixels of the image given; None: a row for all of each image.
        width: px an image is wide in the sheet.

    Raises:
        SrtoolboxError: networks of several scales; a crop outside an image, or with `are_truth` one
            that is no multiple of the scale.
    """
    scales = {name: facts_of(network).scale for name, network in networks.items()}
    if len(set(scales.values())) > 1:
        listing = ", ".join(f"{name} x{scale}" for name, scale in scales.items())
        raise SrtoolboxError(f"the networks are of several scales: {listing}")
    scale = next(iter(scales.values()))
    rows = [row for path in images for row in _rows(path, networks, scale, are_truth, crops)]
    heads = ["input", "bicubic", *networks, *(["truth"] if are_truth else [])]
    sheet = grid([_cells(row) for row in rows], heads=heads, cell=width)
    return Drawing([sheet], f"{counted(len(rows), 'row')}, {len(heads)} columns")


def _rows(
    path: str | os.PathLike,
    networks: Mapping[str, nn.Module],
    scale: int,
    is_truth: bool,
    crops: Sequence[Crop] | None,
) -> Iterator[Row]:
    """Yield the rows of one image: one for each crop, else one for all of it."""
    source = to_uint8(read_image(path))
    if is_truth:
        source = _trim_to_multiple(path, source, scale)
    lq = imresize(source, 1 / scale) if is_truth else source
    crops = crops or [(0, 0, source.shape[1], source.shape[0])]
    for crop in crops:
        _check_crop(path, crop, source, scale if is_truth else 1)
    versions = {"bicubic": imresize(lq, scale)}
    versions |= {name: upscale(network, lq) for name, network in networks.items()}
    for crop in crops:
        x, y, across, down = (number if is_truth else number * scale for number in crop)
        large = (slice(y, y + down), slice(x, x + across))
        small = tuple(slice(part.start // scale, part.stop // scale) for part in large)
        parts = {name: version[large] for name, version in versions.items()}
        yield Row(Path(path).stem, lq[small], parts, source[large] if is_truth else None)


def _trim_to_multiple(path: str | os.PathLike, image: np.ndarray, scale: int) -> np.ndarray:
    height, width = (length // scale * scale for length in image.shape[:2])
    if not (height and width):
        fault = f"smaller than one pixel after reduction by {scale}"
        raise SrtoolboxError(f"{os.fspath(path)}: {fault}")
    return image[:height, :width]


def _check_crop(path: str | os.PathLike, crop: Crop, image: np.ndarray, multiple: int) -> None:
    """Raise a SrtoolboxError for a crop that lies outside, or is no multiple of the scale."""
    x, y, width, height = crop
    if x + width > image.shape[1] or y + height > image.shape[0]:
        size = f"{image.shape[1]} x {image.shape[0]} pixels are used"
        place = f"outside of {os.fspath(path)}, of which {size}"
        raise SrtoolboxError(f"{crop_text(crop)} lies {place}")
    if any(number % multiple for number in crop):
        near = [number // multiple * multiple for number in crop]
        near[2:] = [max(multiple, number) for number in near[2:]]
        rule = f"all four are multiples of {multiple}, such as {','.join(map(str, near))}"
        raise SrtoolboxError(f"{crop_text(crop)}: {rule}")


def _cells(row: Row) -> list[Cell]:
    cells = [Cell(row.lq, f"{row.name}  {row.lq.shape[1]} x {row.lq.shape[0]}")]
    if row.truth is None:
        return [*cells, *map(Cell, row.versions.values())]
    cells += [Cell(image, f"PSNR {psnr(image, row.truth):.2f}") for image in row.versions.values()]
    return [*cells, Cell(row.truth, f"{row.truth.shape[1]} x {row.truth.shape[0]}")]
