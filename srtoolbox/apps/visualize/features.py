"""Feature maps and filters of networks: as sheets, or over a training as animations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from srtoolbox.apps.visualize.images import MOST, Drawing, shared_iterations
from srtoolbox.errors import CheckpointError, DataError, SrtoolboxError
from srtoolbox.image import read_image, to_uint8
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.plots.animation import evenly
from srtoolbox.plots.feature_maps import (
    channel_cells,
    choose_channels,
    filter_cells,
    first_filters,
    limits_of,
    recording,
)
from srtoolbox.plots.grid import grid, same_size, square_rows
from srtoolbox.plots.panels import Cell
from srtoolbox.plots.snapshots import FEATURES, list_snapshots, read_maps, snapshot_folders
from srtoolbox.text import counted
from srtoolbox.weights.checkpoint import iteration_of, list_checkpoints, verify_checkpoint
from srtoolbox.weights.load import load_network

MOST_CHANNELS, MOST_CHANNELS_MOVING, MOST_FILTERS = 64, 8, 144


def draw_features(
    network: nn.Module,
    image: np.ndarray,
    layer: str,
    *,
    channels: Sequence[int] | None = None,
    width: int = 150,
) -> Drawing:
    """Draw the feature maps of a layer while a network upscales an image.

    Args:
        network: any that upscales.
        image: HWC uint8 or uint16.
        layer: its name in `network.named_modules()`.
        channels: their numbers; None: up to 64, evenly chosen.
        width: px a map is wide in the sheet.

    Raises:
        SrtoolboxError: no such layer or channel.
    """
    maps = _feature_maps(network, image, layer)
    numbers = choose_channels(len(maps), channels or MOST_CHANNELS, layer)
    part = maps[numbers]
    cells = [Cell(to_uint8(image), "input"), *channel_cells(part, numbers, limits_of([part]))]
    count = f"{len(numbers)} of {len(maps)} channels"
    sheet = grid(square_rows(cells), title=f"{type(network).__name__}  {layer}: {count}", cell=width)
    return Drawing([sheet], f"{count} of {layer}, {maps.shape[2]} x {maps.shape[1]}")


def _feature_maps(network: nn.Module, image: np.ndarray, layer: str) -> np.ndarray:
    """Return the (C, h, w) that a layer gives out while the network upscales an image."""
    with recording(network, [layer]) as maps:
        upscale_whole(network, image)
    if layer not in maps:
        raise SrtoolboxError(f"layer {layer!r} is not used when {type(network).__name__} runs")
    return maps[layer]


def draw_filters(network: nn.Module, layer: str | None = None, *, width: int = 90) -> Drawing:
    """Draw the filters of a convolution, by default of the first.

    Raises:
        SrtoolboxError: no such layer, or it is no convolution.
    """
    layer, filters = first_filters(network, layer)
    numbers = choose_channels(len(filters), MOST_FILTERS, layer)
    count, channels, rows, columns = filters.shape
    share = f"{len(numbers)} of {count} filters"
    size = f"{columns} x {rows} over {counted(channels, 'channel')}"
    cells = square_rows(filter_cells(filters[numbers], numbers))
    sheet = grid(cells, title=f"{type(network).__name__}  {layer}: {share}, {size}", cell=width)
    return Drawing([sheet], f"{share} of {layer}, {size}")


def animate_features(
    work_dir: str | os.PathLike,
    image: np.ndarray | None = None,
    layer: str | None = None,
    *,
    channels: Sequence[int] | None = None,
    most: int = MOST,
    width: int = 180,
    load: Callable[[Path], nn.Module] = load_network,
) -> Drawing:
    """Draw the feature maps of a layer over a training.

    Black and white mean the same in all frames.

    Args:
        work_dir: of the training.
        image: HWC, given to the networks of the checkpoints kept; None: what `FeatureMapsHook`
            kept.
        layer: its name; None: the only one that the hook kept.
        channels: their numbers; None: 8, evenly chosen, or all that the hook kept.
        most: at most so many frames, evenly chosen.
        width: px a map is wide.
        load: opens a checkpoint.

    Raises:
        SrtoolboxError: nothing was kept, or no such layer or channel.
    """
    if image is None:
        layer, maps, image, numbers = _stored_maps(Path(work_dir), layer, channels, most)
    elif layer is None:
        raise SrtoolboxError("a layer says which maps; a wrong name gets the list of all")
    else:
        maps, numbers = _maps_of_checkpoints(Path(work_dir), image, layer, channels, most, load)
    limits, first = limits_of([*maps.values()]), Cell(to_uint8(image), "input")
    frames = []
    for iteration, part in maps.items():
        cells = square_rows([first, *channel_cells(part, numbers, limits)])
        frames.append(grid(cells, title=f"{layer}   iteration {iteration:,}", cell=width))
    return Drawing(same_size(frames), f"{counted(len(frames), 'frame')} of {layer}")


def _maps_of_checkpoints(
    work_dir: Path,
    image: np.ndarray,
    layer: str,
    channels: Sequence[int] | None,
    most: int,
    load: Callable[[Path], nn.Module],
) -> tuple[dict[int, np.ndarray], list[int]]:
    """Return maps by iteration, and the numbers of their channels."""
    folder = work_dir / "checkpoints"
    paths = [path for path in list_checkpoints(folder) if verify_checkpoint(path) is None]
    if not paths:
        hint = "CheckpointHook keeps all with keep_last=None"
        raise CheckpointError(f"{folder}: no iter_*.pth that is whole; {hint}")
    maps: dict[int, np.ndarray] = {}
    numbers: list[int] = []
    for path in (paths[place] for place in evenly(len(paths), most)):
        part = _feature_maps(load(path), image, layer)
        numbers = choose_channels(len(part), channels or MOST_CHANNELS_MOVING, layer)
        maps[iteration_of(path)] = part[numbers]
    return maps, numbers


def _stored_maps(
    work_dir: Path, layer: str | None, channels: Sequence[int] | None, most: int
) -> tuple[str, Mapping[int, np.ndarray], np.ndarray, list[int]]:
    """Return what a hook kept: the layer, maps by iteration, the image, the channels' numbers."""
    names = [layer] if layer else None
    folders = snapshot_folders(work_dir, FEATURES, "FeatureMapsHook", names, "--layer")
    if len(folders) > 1:
        raise SrtoolboxError(f"the training kept {', '.join(folders)}: choose one with --layer")
    layer, folder = next(iter(folders.items()))
    paths = list_snapshots(folder)
    try:
        numbers = json.loads((folder / "about.json").read_text(encoding="utf-8"))["channels"]
        image = read_image(folder / "input.png")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder}: incomplete: {error}") from error
    maps = {number: read_maps(paths[number]) for number in shared_iterations({"": paths}, most)}
    if channels:
        if missing := sorted(set(channels) - set(numbers)):
            fault = f"of {layer} the training kept {numbers}, not {missing}"
            raise SrtoolboxError(f"--channels: {fault}")
        places = [numbers.index(channel) for channel in channels]
        maps, numbers = {number: part[places] for number, part in maps.items()}, list(channels)
    return layer, maps, image, numbers
