"""Feature maps of a layer: of a checkpoint as a PNG sheet, or over a training as an animation."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser
from srtoolbox.cli.visualize_options import (
    add_animation_options,
    add_crop_option,
    add_network_options,
    check_picture_suffix,
    chosen,
    networks_of,
    picture_of,
)
from srtoolbox.text import counted

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SUMMARY = "feature maps of a layer: a sheet, or over a training"
EXAMPLE = """examples:
  python tools/visualize.py features best.pth photo.png --layer body.3 -o sheet.png
  python tools/visualize.py features best.pth photo.png --layer conv2 --channels 0 5 16 --crop 40,60,64,64 -o sheet.png
  python tools/visualize.py features work_dirs/x photo.png --layer conv2 -o maps.gif    # from the checkpoints kept
  python tools/visualize.py features work_dirs/x --layer conv2 -o maps.gif              # from what FeatureMapsHook kept

Layers are named as in network.named_modules(); an unknown one gets the list. Each map is drawn from its 1st percentile
(black) to its 99th (white), in an animation those over all its frames."""
MANY = 64  # channels of a sheet unless some are asked for


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("visualize features", __doc__, EXAMPLE)
    add = parser.add_argument
    add("source", metavar="CKPT_OR_WORK_DIR", help="a checkpoint, or the work dir of a training")
    add("picture", nargs="?", metavar="PICTURE", help="what the network is given (with a checkpoint needed)")
    add("--layer", metavar="NAME", help="which layer (of a hook that kept one only: that)")
    add(
        "--channels",
        nargs="+",
        type=int,
        metavar="N",
        help="only these (default: evenly chosen, up to 64, in an animation 8)",
    )
    add("-o", "--out", required=True, metavar="FILE", help="a .png for a checkpoint; .gif, .mp4 or .png for a training")
    add_crop_option(parser)
    add_animation_options(parser)
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    is_run = Path(args.source).is_dir()
    if not is_run and args.picture is None:
        parser.error("a checkpoint needs a PICTURE to run on")
    if args.layer is None and (not is_run or args.picture is not None):
        parser.error("--layer NAME says which maps; a wrong name gets the list of all")
    from srtoolbox.plots.animation import check_suffix, write_animation

    if not is_run:
        check_picture_suffix(args.out, "; an animation is made of a training: its work dir instead of a checkpoint")
        return _sheet(args)
    check_suffix(args.out)
    frames, layer = _from_checkpoints(args) if args.picture is not None else _from_snapshots(args)
    write_animation(args.out, frames, seconds=args.seconds)
    print(f"{args.out}: {counted(len(frames), 'frame')} of {layer}")
    return 0


def _sheet(args: argparse.Namespace) -> int:
    from srtoolbox.image import to_uint8, write_image
    from srtoolbox.plots.feature_maps import channel_cells, chosen_channels, limits_of
    from srtoolbox.plots.grid import Cell, grid, square_rows

    (network,), _ = networks_of(args, [args.source])
    picture = picture_of(args.picture, args.crop)
    maps = maps_of(network, args.layer, picture)
    channels = chosen_channels(len(maps), args.channels or MANY, args.layer)
    shown = maps[channels]
    cells = [Cell(to_uint8(picture), "input"), *channel_cells(shown, channels, limits_of([shown]))]
    title = f"{type(network).__name__}  {args.layer}: {len(channels)} of {len(maps)} channels"
    write_image(args.out, grid(square_rows(cells), title=title, cell=args.width or 150))
    print(f"{args.out}: {len(channels)} of {len(maps)} channels of {args.layer}, {maps.shape[2]} x {maps.shape[1]}")
    return 0


def maps_of(network: nn.Module, layer: str, picture: np.ndarray) -> np.ndarray:
    """(C, h, w) that a layer gives out while the network upscales a picture."""
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.inference.restore import upscale_whole
    from srtoolbox.plots.feature_maps import recording

    with recording(network, [layer]) as maps:
        upscale_whole(network, picture)
    if layer not in maps:
        raise SrtoolboxError(f"layer {layer!r} is not used when {type(network).__name__} runs")
    return maps[layer]


def _from_checkpoints(args: argparse.Namespace) -> tuple[list[np.ndarray], str]:
    from srtoolbox.errors import CheckpointError
    from srtoolbox.image import to_uint8
    from srtoolbox.plots.animation import evenly
    from srtoolbox.plots.feature_maps import chosen_channels
    from srtoolbox.weights.checkpoint import iteration_of, list_checkpoints, verify_checkpoint

    folder = Path(args.source, "checkpoints")
    found = [path for path in list_checkpoints(folder) if verify_checkpoint(path) is None]
    if not found:
        raise CheckpointError(f"{folder}: no iter_*.pth that is whole; CheckpointHook keeps all with keep_last=None")
    picture = picture_of(args.picture, args.crop)
    maps: dict[int, np.ndarray] = {}
    channels: list[int] = []
    for path in (found[place] for place in evenly(len(found), args.frames)):
        (network,), _ = networks_of(args, [str(path)])
        given = maps_of(network, args.layer, picture)
        channels = chosen_channels(len(given), args.channels or 8, args.layer)
        maps[iteration_of(path)] = given[channels]
    return _frames(args, maps, to_uint8(picture), channels, args.layer), args.layer


def _from_snapshots(args: argparse.Namespace) -> tuple[list[np.ndarray], str]:
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.plots.frames import stored_features
    from srtoolbox.plots.snapshots import FEATURES, snapshot_folders

    folders = snapshot_folders(Path(args.source), FEATURES, "FeatureMapsHook")
    if args.layer is None and len(folders) > 1:
        raise SrtoolboxError(f"the training kept {', '.join(folders)}: choose one with --layer")
    (layer, folder), *_ = chosen(folders, [args.layer] if args.layer else None, "--layer").items()
    maps, picture, channels = stored_features(folder, args.frames)
    if args.channels:
        missing = sorted(set(args.channels) - set(channels))
        if missing:
            raise SrtoolboxError(f"--channels: of {layer} the training kept {channels}, not {missing}")
        places = [channels.index(channel) for channel in args.channels]
        maps, channels = {number: part[places] for number, part in maps.items()}, args.channels
    return _frames(args, maps, picture, channels, layer), layer


def _frames(
    args: argparse.Namespace, maps: Mapping[int, np.ndarray], picture: np.ndarray, channels: Sequence[int], layer: str
) -> list[np.ndarray]:
    from srtoolbox.plots.frames import feature_frames

    return feature_frames(maps, picture, channels, layer=layer, cell=args.width or 180)
