"""Drawings of what networks make of images: side by side, over a training, and tile by tile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from srtoolbox.data.datasets.gt_only import degrade
from srtoolbox.data.transforms import Compose
from srtoolbox.errors import DataError, SrtoolboxError
from srtoolbox.image import expand_gray, read_image, to_uint8, write_image
from srtoolbox.image.file_types import WRITE_SUFFIXES, listed
from srtoolbox.inference.upscaler import Upscaler, upscale
from srtoolbox.interfaces import facts_of
from srtoolbox.plots.animation import evenly, write_animation
from srtoolbox.plots.grid import grid, same_size
from srtoolbox.plots.panels import Cell
from srtoolbox.plots.sheet import size_of
from srtoolbox.plots.snapshots import PATCHES, Box, list_snapshots, psnr, read_truth, snap, snapshot_folders
from srtoolbox.resize import imresize
from srtoolbox.text import counted

MOST = 60
"""Frames of an animation, unless more are asked for: at five a second it lasts 14 seconds."""
_MARK = np.array((220, 50, 47), np.uint8)


class Drawing(NamedTuple):
    """Frames of one size, HWC uint8 RGB, of a sheet one, and what they show in words."""

    frames: Sequence[np.ndarray]
    caption: str

    def save_sheet(self, path: str | os.PathLike) -> None:
        """Write the sheet as an image."""
        write_image(path, self.frames[0])

    def save_animation(self, path: str | os.PathLike, *, seconds: float = 0.2) -> None:
        """Write a GIF, an MP4 or a PNG with some of the frames, each shown for so many seconds."""
        write_animation(path, self.frames, seconds=seconds)


def check_sheet_suffix(path: str | os.PathLike, hint: str = "") -> None:
    """Raise a SrtoolboxError for a file that no image can be written to, before the work begins."""
    if Path(path).suffix.lower() not in WRITE_SUFFIXES:
        rule = f"a sheet is one image, and its suffix one of {listed()}"
        raise SrtoolboxError(f"{os.fspath(path)}: {rule}{hint}")


def read_crop(path: str | os.PathLike, crop: Box | None = None) -> np.ndarray:
    """Read an image, or a part of it.

    Raises:
        ImageError: it cannot be read.
        SrtoolboxError: the part lies outside.
    """
    image = read_image(path)
    if crop is None:
        return image
    _refuse_outside(crop, image, f"{os.fspath(path)}, which is {size_of(image)} pixels")
    x, y, width, height = crop
    return image[y : y + height, x : x + width].copy()


def _refuse_outside(crop: Box, image: np.ndarray, place: str) -> None:
    x, y, width, height = crop
    if x + width > image.shape[1] or y + height > image.shape[0]:
        raise SrtoolboxError(f"crop {','.join(map(str, crop))} lies outside of {place}")


# ---- networks side by side


def compare_networks(
    images: Sequence[str | os.PathLike],
    networks: Mapping[str, nn.Module],
    *,
    are_truth: bool = False,
    degradations: Sequence[Any] | Mapping[str, Any] = (),
    crops: Sequence[Box] | None = None,
    width: int = 260,
) -> Drawing:
    """Draw what several networks make of some images.

    Args:
        images: files to upscale.
        networks: of one scale, by the titles of their columns.
        are_truth: the images are reduced by MATLAB's bicubic first, shown at the right, and PSNR
            (RGB, of what is shown) stands below each version.
        degradations: with `are_truth`, transforms that change what was reduced, those of
            `GTOnlyDataset`.
        crops: a row for each, in pixels of the image given; None: a row for all of each image.
        width: px an image is wide in the sheet.

    Raises:
        SrtoolboxError: networks of several scales; degradations without `are_truth`; a crop outside
            an image, or with `are_truth` one that is no multiple of the scale.
    """
    scales = {name: facts_of(network).scale for name, network in networks.items()}
    if len(set(scales.values())) > 1:
        listing = ", ".join(f"{name} x{scale}" for name, scale in scales.items())
        raise SrtoolboxError(f"the networks are of several scales: {listing}")
    scale = next(iter(scales.values()))
    if degradations and not are_truth:
        raise SrtoolboxError("degradations are for true images (--truth)")
    worsen = Compose(degradations)
    rows: list[list[Cell]] = []
    for number, path in enumerate(images):
        source = read_truth(path, scale) if are_truth else to_uint8(read_image(path))
        lq = degrade(imresize(source, 1 / scale), worsen, number) if are_truth else source
        rows += _rows(path, networks, lq, source if are_truth else None, crops)
    # at x1 bicubic interpolation is the input
    heads = ["input", *(["bicubic"] if scale > 1 else []), *networks, *(["truth"] if are_truth else [])]
    sheet = grid(rows, heads=heads, cell=width)
    return Drawing([sheet], f"{counted(len(rows), 'row')}, {len(heads)} columns")


def _rows(
    path: str | os.PathLike,
    networks: Mapping[str, nn.Module],
    lq: np.ndarray,
    truth: np.ndarray | None,
    crops: Sequence[Box] | None,
) -> Iterator[list[Cell]]:
    """Yield the rows of one image: one for each crop, else one for all of it."""
    scale, source = facts_of(next(iter(networks.values()))).scale, lq if truth is None else truth
    crops = crops or [(0, 0, source.shape[1], source.shape[0])]
    for crop in crops:
        _refuse_outside(crop, source, f"{os.fspath(path)}, of which {size_of(source)} pixels are used")
        if truth is not None and any(number % scale for number in crop):
            rule = f"all four are multiples of {scale}, such as {','.join(map(str, snap(crop, scale)))}"
            raise SrtoolboxError(f"crop {','.join(map(str, crop))}: {rule}")
    versions = [imresize(lq, scale)] if scale > 1 else []
    versions += [upscale(network, lq) for network in networks.values()]
    for crop in crops:
        x, y, across, down = (number * scale if truth is None else number for number in crop)
        large = (slice(y, y + down), slice(x, x + across))
        small = tuple(slice(part.start // scale, part.stop // scale) for part in large)
        note = f"{Path(path).stem}  {size_of(lq[small])}"
        if truth is None:
            yield [Cell(lq[small], note), *(Cell(version[large]) for version in versions)]
            continue
        if scale == 1:
            note += f"  PSNR {psnr(lq[small], truth[large]):.2f}"
        scored = [_scored(version[large], truth[large]) for version in versions]
        yield [Cell(lq[small], note), *scored, Cell(truth[large], size_of(truth[large]))]


def _scored(image: np.ndarray, truth: np.ndarray) -> Cell:
    return Cell(image, f"PSNR {psnr(image, truth):.2f}")


# ---- patches over a training


def animate_training(
    work_dir: str | os.PathLike,
    patches: Sequence[str] | None = None,
    *,
    most: int = MOST,
    width: int = 240,
) -> Drawing:
    """Draw the patches that `PatchesHook` kept over a training, beside input, bicubic and truth.

    Args:
        work_dir: of the training, finished or not.
        patches: only these, by the names of their folders.
        most: at most so many frames, evenly chosen.
        width: px a patch is wide.

    Raises:
        SrtoolboxError: nothing was kept, no such patch, or patches without an iteration in common.
    """
    folders = snapshot_folders(Path(work_dir), PATCHES, "PatchesHook", patches, "--patches")
    snapshots = {name: list_snapshots(folder) for name, folder in folders.items()}
    fixed = {name: _fixed_cells(name, folder) for name, folder in folders.items()}
    frames = []
    for iteration in shared_iterations(snapshots, most):
        rows = []
        heads = ["input", "network", "truth"]
        for name, (before, truth) in fixed.items():
            if len(before) > 1:
                heads = ["input", "bicubic", "network", "truth"]
            now = read_image(snapshots[name][iteration])
            rows.append([*before, _scored(now, truth.image), truth])
        frames.append(grid(rows, title=f"iteration {iteration:,}", heads=heads, cell=width))
    return Drawing(same_size(frames), f"{counted(len(frames), 'frame')} of {', '.join(folders)}")


def _fixed_cells(name: str, folder: Path) -> tuple[list[Cell], Cell]:
    try:
        low, bicubic, high = (read_image(folder / f"{part}.png") for part in ("input", "bicubic", "truth"))
    except FileNotFoundError as error:
        raise DataError(f"{folder}: incomplete: {error}") from error
    if low.shape == high.shape:  # bicubic interpolation is the input
        return [_scored(low, high)], Cell(high, name)
    return [Cell(low, f"{size_of(low)} -> {size_of(high)}"), _scored(bicubic, high)], Cell(high, name)


def shared_iterations(snapshots: Mapping[str, Mapping[int, Path]], most: int) -> list[int]:
    """Return at most `most` iterations that all snapshots have; raise a DataError for none."""
    shared = sorted(set.intersection(*map(set, snapshots.values())))
    if not shared:
        raise DataError(f"{', '.join(snapshots)} have no iteration in common: name one of them")
    return [shared[place] for place in evenly(len(shared), most)]


# ---- an image tile by tile


def animate_scan(
    network: nn.Module,
    image: np.ndarray,
    *,
    tile: int | None = None,
    most: int = MOST,
    width: int = 720,
) -> Drawing:
    """Draw how an upscaled image appears tile by tile over its bicubic enlargement.

    Args:
        network: any that upscales.
        image: HWC uint8 or uint16.
        tile: side of a tile in input pixels; None: six along the longer side.
        most: at most so many frames, then several tiles come at a time.
        width: px the image is wide at most.
    """
    tile = tile or max(8, -(-max(image.shape[:2]) // 6))
    result = Upscaler(network, tile=tile)(image)
    areas = _tile_areas((image.shape[0], image.shape[1]), tile, facts_of(network).scale)
    frames = _scan_frames(image, result, areas, most, width)
    parts = f"{counted(len(areas), 'tile')} of {tile} x {tile} input pixels"
    return Drawing(frames, f"{counted(len(frames), 'frame')}, {parts}")


def _tile_areas(size: tuple[int, int], tile: int, scale: int) -> list[tuple[slice, slice]]:
    """Return the areas of the result that belong to an input's tiles, in reading order.

    The tiles of an input of (height, width) pixels are as equal as possible.
    """
    borders = []
    for length in size:
        count = -(-length // tile)
        borders.append([length * number // count * scale for number in range(count + 1)])
    rows, columns = ([slice(*pair) for pair in pairwise(places)] for places in borders)
    return [(row, column) for row in rows for column in columns]


def _scan_frames(
    lq: np.ndarray, result: np.ndarray, areas: Sequence[tuple[slice, slice]], most: int, width: int
) -> list[np.ndarray]:
    """Return frames from bicubic to the result, the tile of `areas` that came last outlined."""
    result = expand_gray(to_uint8(result))
    canvas = np.ascontiguousarray(imresize(expand_gray(to_uint8(lq)), size=result.shape[:2]))
    line = max(1, round(result.shape[1] / width * 3))
    frames, done = [], 0
    for number in evenly(len(areas) + 1, most):
        for area in areas[done:number]:
            canvas[area] = result[area]
        done = number
        image = canvas.copy()
        if 0 < number < len(areas):
            inside = image[areas[number - 1]]
            inside[:line] = inside[-line:] = inside[:, :line] = inside[:, -line:] = _MARK
        title = f"tile {number} of {len(areas)}" if number else "bicubic"
        frames.append(grid([[Cell(image)]], title=title, cell=width))
    return same_size(frames)
