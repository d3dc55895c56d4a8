"""Options that several parts of `visualize` share, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_weights_options

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

T = TypeVar("T")


def add_animation_options(parser: CommandParser) -> None:
    """What all animations take."""
    add = parser.add_argument
    add("--frames", type=positive, default=60, metavar="N", help="at most so many, evenly chosen (default: 60)")
    add("--seconds", type=seconds, default=0.2, metavar="S", help="how long each is shown (default: 0.2)")
    add("--width", type=positive, metavar="PX", help="of each picture in it")


def add_network_options(parser: CommandParser) -> None:
    """What all parts take that load a network."""
    add_weights_options(parser, scale_type=positive)
    add_device(parser)
    add_plugin(parser)


def add_crop_option(parser: CommandParser) -> None:
    """A part of the picture instead of the whole."""
    parser.add_argument("--crop", type=box, metavar="X,Y,W,H", help="only this part, in pixels of the picture given")


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is wanted, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """From 0.02 to 60, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.02 <= number <= 60:
        raise argparse.ArgumentTypeError(f"seconds from 0.02 to 60 are wanted, got {text!r}")
    return number


def box(text: str) -> tuple[int, int, int, int]:
    """'10,20,64,48' -> (10, 20, 64, 48), for argparse."""
    words = text.split(",")
    if len(words) != 4 or not all(word.strip().isdecimal() for word in words) or 0 in map(int, words[2:]):
        raise argparse.ArgumentTypeError(f"x,y,width,height in pixels is wanted, such as 10,20,64,48; got {text!r}")
    x, y, width, height = map(int, words)
    return x, y, width, height


def networks_of(args: argparse.Namespace, paths: Iterable[str]) -> tuple[list[nn.Module], torch.device]:
    """The networks in checkpoints, on the device asked for."""
    from srtoolbox.apps.networks import generator_of
    from srtoolbox.engine.device import select_device
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins
    from srtoolbox.weights.load import load_network

    setup_logging()
    generator = generator_of(args.config)
    load_plugins(None, args.plugin)
    device = select_device(args.device)
    how = {"config": generator, "scale": args.scale, "trial": args.trial}
    return [load_network(path, **how, device=device) for path in paths], device


def picture_of(path: str, crop: Sequence[int] | None) -> np.ndarray:
    """A picture, or the part of it asked for.

    Raises:
        ImageError: it cannot be read.
        SrtoolboxError: the part lies outside.
    """
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.image import read_image

    image = read_image(path)
    if crop is None:
        return image
    x, y, width, height = crop
    if x + width > image.shape[1] or y + height > image.shape[0]:
        given = ",".join(map(str, crop))
        raise SrtoolboxError(
            f"--crop {given} lies outside of {path}, which is {image.shape[1]} x {image.shape[0]} pixels"
        )
    return image[y : y + height, x : x + width].copy()


def chosen(found: dict[str, T], names: Sequence[str] | None, option: str) -> dict[str, T]:
    """The entries of these names, or all.

    Raises:
        SrtoolboxError: no such name.
    """
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.registry import did_you_mean

    for name in names or ():
        if name not in found:
            raise SrtoolboxError(f"{option}: the training kept no {name!r}.{did_you_mean(name, found, else_list=True)}")
    return {name: found[name] for name in names} if names else found


def check_picture_suffix(out: str, hint: str = "") -> None:
    """Refuse a file that no picture can be written to, before the work begins.

    Raises:
        SrtoolboxError: its suffix is no picture's.
    """
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.image import WRITE_SUFFIXES, listed

    if Path(out).suffix.lower() not in WRITE_SUFFIXES:
        raise SrtoolboxError(f"{out}: a sheet is one picture, and its suffix one of {listed()}{hint}")
