"""Options that several parts of `visualize` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_weights_options

if TYPE_CHECKING:
    from torch import nn


def add_animation_options(parser: CommandParser) -> None:
    """Take --frames, --seconds and --width, as all animations do."""
    add = parser.add_argument
    add("--frames", type=positive, default=60, metavar="N", help="at most so many (default: 60)")
    add("--seconds", type=seconds, default=0.2, metavar="S", help="for each of them (default: 0.2)")
    add("--width", type=positive, metavar="PX", help="of each image in it")


def add_network_options(parser: CommandParser) -> None:
    """Take what says how a network is loaded, see `network_loader`."""
    add_weights_options(parser, scale_type=positive)
    add_device(parser)
    add_plugin(parser)


def add_crop_option(parser: CommandParser) -> None:
    """Take --crop, a part of the image instead of the whole."""
    crop_help = "only this part, in pixels of the image given"
    parser.add_argument("--crop", type=box, metavar="X,Y,W,H", help=crop_help)


def positive(text: str) -> int:
    """Return a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is wanted, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Return a number from 0.02 to 60, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.02 <= number <= 60:
        raise argparse.ArgumentTypeError(f"seconds from 0.02 to 60 are wanted, got {text!r}")
    return number


def box(text: str) -> tuple[int, int, int, int]:
    """Return (10, 20, 64, 48) for '10,20,64,48', for argparse."""
    words = text.split(",")
    are_numbers = len(words) == 4 and all(word.strip().isdecimal() for word in words)
    if not are_numbers or 0 in map(int, words[2:]):
        example = "x,y,width,height in pixels is wanted, such as 10,20,64,48"
        raise argparse.ArgumentTypeError(f"{example}; got {text!r}")
    x, y, width, height = map(int, words)
    return x, y, width, height


def network_loader(args: argparse.Namespace) -> Callable[..., nn.Module]:
    """Return the function that loads a checkpoint as the options of `add_network_options` say."""
    from srtoolbox.apps.networks import Checkpoint, load
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging()
    load_plugins(None, args.plugin)
    return lambda path: load(Checkpoint(path, args.config, args.scale, args.trial), args.device)[0]
