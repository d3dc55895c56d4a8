"""Pictures by networks: a sheet with a row per picture and a column per network, beside input and bicubic."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from srtoolbox.cli.options import CommandParser
from srtoolbox.cli.visualize_options import (
    add_network_options,
    box,
    check_picture_suffix,
    networks_of,
    picture_of,
    positive,
)
from srtoolbox.text import counted

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from srtoolbox.plots.grid import Cell

SUMMARY = "images by networks: a sheet"
EXAMPLE = """examples:
  python tools/visualize.py compare a.png b.png --checkpoints psnr.pth gan.pth --truth -o sheet.png
  python tools/visualize.py compare photo.png --checkpoints a.pth b.pth --crop 40,60,64,64 --crop 0,0,64,64 -o sheet.png

With --truth the pictures are the truth: they are reduced by MATLAB's bicubic first and shown at the right, and PSNR
(RGB, of what is shown) stands below each version. Each --crop is a row of its own; without one every picture is shown
whole."""


class Row(NamedTuple):
    """One row of the sheet: input, versions by title, and the truth where it is known; all HWC uint8."""

    name: str
    lq: np.ndarray
    versions: dict[str, np.ndarray]
    truth: np.ndarray | None


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("visualize compare", __doc__, EXAMPLE)
    add = parser.add_argument
    add("pictures", nargs="+", metavar="PICTURE", help="pictures to upscale, or with --truth true pictures")
    add("--checkpoints", nargs="+", required=True, metavar="CKPT", help="networks of one scale, from left to right")
    add("--names", nargs="+", metavar="NAME", help="titles of the columns (default: from the files)")
    add("--truth", action="store_true", help="the pictures are the truth: reduce them first, and score")
    add(
        "--crop",
        type=box,
        action="append",
        metavar="X,Y,W,H",
        help="a part, in pixels of the picture given; repeatable",
    )
    add("--width", type=positive, default=260, metavar="PX", help="of a picture in the sheet (default: 260)")
    add("-o", "--out", required=True, metavar="FILE", help="the picture to write, .png say")
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.names and len(args.names) != len(args.checkpoints):
        parser.error(f"{counted(len(args.checkpoints), 'checkpoint')}, {counted(len(args.names), 'name')}")
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.image import write_image
    from srtoolbox.plots.grid import grid

    check_picture_suffix(args.out)
    names = args.names or titles(args.checkpoints)
    networks = dict(zip(names, networks_of(args, args.checkpoints)[0], strict=True))
    if len({network.scale for network in networks.values()}) > 1:
        scales = ", ".join(f"{name} x{network.scale}" for name, network in networks.items())
        raise SrtoolboxError(f"the networks are of several scales: {scales}")
    rows = [row for picture in args.pictures for row in rows_of(args, picture, networks)]
    heads = ["input", "bicubic", *networks, *(["truth"] if args.truth else [])]
    write_image(args.out, grid([cells_of(row) for row in rows], heads=heads, cell=args.width))
    print(f"{args.out}: {counted(len(rows), 'row')}, {len(heads)} columns")
    return 0


def titles(checkpoints: Sequence[str]) -> list[str]:
    """A name for each file, as `test.py` calls them."""
    from srtoolbox.apps.scoring.networks import distinct_names

    return list(distinct_names(checkpoints))


def rows_of(args: argparse.Namespace, path: str, networks: dict[str, nn.Module]) -> Iterator[Row]:
    """The rows of one picture: one for each crop, else one for all of it.

    Raises:
        SrtoolboxError: a crop outside the picture, or with --truth one that is no multiple of the scale.
    """
    from srtoolbox.image import to_uint8
    from srtoolbox.inference.upscaler import upscale
    from srtoolbox.resize import imresize

    scale = next(iter(networks.values())).scale
    image = to_uint8(picture_of(path, None))
    truth = None
    if args.truth:
        truth = _multiple(path, image, scale)
        image = imresize(truth, 1 / scale)
    given, multiple = (truth, scale) if args.truth else (image, 1)
    boxes = [checked(path, crop, given, multiple) for crop in args.crop or [(0, 0, *given.shape[1::-1])]]
    versions = {"bicubic": imresize(image, scale)}
    versions |= {name: upscale(network, image) for name, network in networks.items()}
    for x, y, width, height in boxes:
        factor = 1 if args.truth else scale
        top, left, down, across = (number * factor for number in (y, x, height, width))
        large = (slice(top, top + down), slice(left, left + across))
        small = tuple(slice(part.start // scale, part.stop // scale) for part in large)
        cut = {name: version[large] for name, version in versions.items()}
        yield Row(Path(path).stem, image[small], cut, None if truth is None else truth[large])


def _multiple(path: str, image: np.ndarray, scale: int) -> np.ndarray:
    from srtoolbox.errors import SrtoolboxError

    height, width = (length // scale * scale for length in image.shape[:2])
    if not (height and width):
        raise SrtoolboxError(f"{path}: smaller than one pixel after reduction by {scale}")
    return image[:height, :width]


def checked(path: str, crop: tuple[int, int, int, int], image: np.ndarray, multiple: int) -> tuple[int, int, int, int]:
    """A crop, if the picture has it.

    Raises:
        SrtoolboxError: it lies outside, or is no multiple of the scale.
    """
    from srtoolbox.errors import SrtoolboxError

    x, y, width, height = crop
    given = ",".join(map(str, crop))
    if x + width > image.shape[1] or y + height > image.shape[0]:
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise SrtoolboxError(f"--crop {given} lies outside of {path}, of which {size} pixels are used")
    if any(number % multiple for number in crop):
        near = [number // multiple * multiple for number in crop[:2]]
        near += [max(multiple, number // multiple * multiple) for number in crop[2:]]
        raise SrtoolboxError(
            f"--crop {given}: all four are multiples of {multiple}, such as {','.join(map(str, near))}"
        )
    return crop


def cells_of(row: Row) -> list[Cell]:
    """The cells of a row with their captions."""
    from srtoolbox.plots.grid import Cell
    from srtoolbox.plots.patches import psnr

    def score(version: np.ndarray) -> str:
        return "" if row.truth is None else f"PSNR {psnr(version, row.truth):.2f}"

    size = f"{row.name}  {row.lq.shape[1]} x {row.lq.shape[0]}"
    cells = [Cell(row.lq, size), *(Cell(version, score(version)) for version in row.versions.values())]
    if row.truth is not None:
        cells.append(Cell(row.truth, f"{row.truth.shape[1]} x {row.truth.shape[0]}"))
    return cells
