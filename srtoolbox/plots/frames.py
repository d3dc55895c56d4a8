"""Frames of animations: a training, iteration by iteration, and an image upscaled tile by tile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from srtoolbox.errors import DataError
from srtoolbox.image import expand_gray, read_image, to_uint8
from srtoolbox.plots.animation import evenly
from srtoolbox.plots.feature_maps import channel_cells, limits_of
from srtoolbox.plots.grid import Cell, grid, same_size, square_rows
from srtoolbox.plots.patches import psnr
from srtoolbox.plots.snapshots import list_snapshots, read_maps
from srtoolbox.resize import imresize

Area = tuple[slice, slice]
MOST = 60
"""Frames of an animation, unless more are asked for: at five a second it lasts 14 seconds."""
_MARK = np.array((220, 50, 47), np.uint8)


def patch_frames(folders: Mapping[str, Path], *, most: int = MOST, cell: int = 240) -> list[np.ndarray]:
    """Return patches over a training: a row each with input, bicubic, the network and the truth.

    Args:
        folders: those of `PatchesHook` by name.
        most: at most so many frames, evenly chosen; the first and the last are among them.
        cell: px a patch is wide.

    Returns:
        HWC uint8 RGB frames of one size.

    Raises:
        DataError: the patches have no iteration in common.
    """
    snapshots = {name: list_snapshots(folder) for name, folder in folders.items()}
    fixed = {name: _fixed_cells(name, folder) for name, folder in folders.items()}
    frames = []
    for iteration in _common(snapshots, most):
        rows = []
        for name, (before, truth) in fixed.items():
            now = read_image(snapshots[name][iteration])
            score = f"PSNR {psnr(now, truth.image):.2f}"
            rows.append([*before, Cell(now, score), truth])
        heads = ("input", "bicubic", "network", "truth")
        frames.append(grid(rows, title=f"iteration {iteration:,}", heads=heads, cell=cell))
    return same_size(frames)


def _fixed_cells(name: str, folder: Path) -> tuple[list[Cell], Cell]:
    try:
        shown = {part: read_image(folder / f"{part}.png") for part in ("input", "bicubic", "truth")}
    except FileNotFoundError as error:
        raise DataError(f"{folder}: incomplete: {error}") from error
    low, high = shown["input"], shown["truth"]
    size = f"{low.shape[1]} x {low.shape[0]} -> {high.shape[1]} x {high.shape[0]}"
    bicubic = Cell(shown["bicubic"], f"PSNR {psnr(shown['bicubic'], high):.2f}")
    return [Cell(low, size), bicubic], Cell(high, name)


def feature_frames(
    maps: Mapping[int, np.ndarray], image: np.ndarray, channels: Sequence[int], *, layer: str, cell: int = 200
) -> list[np.ndarray]:
    """Return feature maps over a training, the image first.

    Black and white mean the same in all frames.

    Args:
        maps: (C, h, w) by iteration.
        image: the network's input, HWC uint8.
        channels: the C numbers of the channels.
        layer: its name.
        cell: px a map is wide.
    """
    limits = limits_of([part.astype(np.float32) for part in maps.values()])
    frames = [
        grid(
            square_rows([Cell(image, "input"), *channel_cells(part, channels, limits)]),
            title=f"{layer}   iteration {iteration:,}",
            cell=cell,
        )
        for iteration, part in maps.items()
    ]
    return same_size(frames)


def stored_features(folder: Path, most: int) -> tuple[dict[int, np.ndarray], np.ndarray, list[int]]:
    """Read what `FeatureMapsHook` kept of a layer: maps by iteration, image, channels' numbers.

    Raises:
        DataError: the folder is incomplete.
    """
    paths = list_snapshots(folder)
    try:
        channels = json.loads((folder / "about.json").read_text(encoding="utf-8"))["channels"]
        image = read_image(folder / "input.png")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder}: incomplete: {error}") from error
    maps = {number: read_maps(paths[number]) for number in _common({"": paths}, most)}
    return maps, image, channels


def _common(snapshots: Mapping[str, Mapping[int, Path]], most: int) -> list[int]:
    """Return at most `most` iterations that all have, evenly chosen."""
    shared = sorted(set.intersection(*map(set, snapshots.values())))
    if not shared:
        raise DataError(f"{', '.join(snapshots)} have no iteration in common: name one of them")
    return [shared[place] for place in evenly(len(shared), most)]


# ---- the progressive scan


def tile_areas(size: tuple[int, int], tile: int, scale: int) -> list[Area]:
    """Return the areas of the result that belong to an input's tiles, in reading order.

    The tiles of an input of (height, width) pixels are as equal as possible.
    """
    borders = []
    for length in size:
        count = -(-length // tile)
        borders.append([length * number // count * scale for number in range(count + 1)])
    rows, columns = ([slice(*pair) for pair in pairwise(places)] for places in borders)
    return [(row, column) for row in rows for column in columns]


def scan_frames(
    lq: np.ndarray, result: np.ndarray, areas: Sequence[Area], *, most: int = 60, width: int = 900
) -> list[np.ndarray]:
    """Return frames from bicubic to the whole result, the tile that came last outlined.

    Args:
        lq: the input, HWC uint8 or uint16.
        result: its upscaled version, of any larger size.
        areas: the tiles in the order they are worked on: rows and columns of `result`.
        most: at most so many frames, then several tiles come at a time.
        width: px the image is wide at most; a larger one is shrunk, a small one shown in blocks
            of pixels.

    Returns:
        HWC uint8 RGB frames of one size.
    """
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
            _outline(image, areas[number - 1], line)
        title = f"tile {number} of {len(areas)}" if number else "bicubic"
        frames.append(grid([[Cell(image)]], title=title, cell=width))
    return same_size(frames)


def _outline(image: np.ndarray, area: Area, line: int) -> None:
    """Draw a frame inside an area, `line` px thick."""
    inside = image[area]
    inside[:line], inside[-line:], inside[:, :line], inside[:, -line:] = _MARK, _MARK, _MARK, _MARK
