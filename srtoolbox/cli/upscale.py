"""Upscale pictures with a trained network."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser

if TYPE_CHECKING:
    import torch
    from torch import nn

EXAMPLE = """example:
  python tools/upscale.py work_dirs/quickstart/checkpoints/best_photos_psnr.pth photo.jpg -o out
  python tools/upscale.py model.pth pictures/ more/*.png
  python tools/upscale.py psnr.pth photo.jpg --blend gan.pth --alpha 0.8

photo.bmp beside photo.tiff become photo.bmp_sr.png and photo.tiff_sr.png. Results of an earlier run (a_sr.png beside
a.jpg) are left out; with -o of another folder they are pictures like all others."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("upscale", __doc__, EXAMPLE)
    parser.add_argument("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    parser.add_argument("inputs", nargs="+", metavar="FILE_OR_DIR", help="pictures, or folders of pictures (recursive)")
    parser.add_argument("-o", "--out", metavar="DIR", help="where <name>_sr.png goes (default: beside each picture)")
    parser.add_argument(
        "--config", help="for weights that are not recognised: a config whose model.generator they are for"
    )
    parser.add_argument(
        "--scale", type=int, metavar="N", help="the scale of weights that fit any (SRCNN, FSRCNN, VDSR)"
    )
    parser.add_argument("--blend", metavar="CKPT", help="mix in another training of the same network, see interp")
    parser.add_argument("--alpha", type=float, metavar="A", help="with --blend: its share, in [0, 1]")
    parser.add_argument(
        "--tile", type=int, metavar="PX", help="work on tiles of PX x PX input pixels (large pictures); no seams"
    )
    parser.add_argument("--ensemble", action="store_true", help="average eight flips and turns (x8 the time, better)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="Python file with components of yours"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where some picture failed."""
    parser = build_parser()
    args = parser.parse(argv)
    if (args.blend is None) != (args.alpha is None):
        parser.error("--blend CKPT and --alpha A go together")
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from srtoolbox.config import Config
    from srtoolbox.engine.device import select_device
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.image import read_image, write_image
    from srtoolbox.inference.ensemble import SelfEnsemble
    from srtoolbox.inference.tile import Tiled
    from srtoolbox.inference.upscale import upscale
    from srtoolbox.logger import CONSOLE, setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging()
    load_plugins(None, args.plugin)
    jobs, skipped = plan(args.inputs, args.out)
    if skipped:
        print(f"left out as results of an earlier run (-o takes them): {', '.join(map(str, skipped))}")
    device = select_device(args.device)
    config = Config.fromfile(args.config)["model"]["generator"] if args.config else None
    network = load(args, config, device)
    network = SelfEnsemble(network) if args.ensemble else network
    network = Tiled(network, args.tile) if args.tile is not None else network
    failed, start = [], time.perf_counter()
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, disable=not CONSOLE.is_terminal) as progress:
        for source, target in progress.track(jobs, description="upscaling"):
            try:
                image = read_image(source)
                result = upscale(network, image, device=device)
                write_image(target, result)
            except SrtoolboxError as error:
                failed.append(source)
                progress.console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
                continue
            size = "{1} x {0}".format(*image.shape[:2]) + " -> " + "{1} x {0}".format(*result.shape[:2])
            progress.console.print(f"{source} -> {target} ({size})", markup=False, highlight=False, soft_wrap=True)
    print(f"{len(jobs) - len(failed)} upscaled, {len(failed)} failed, {time.perf_counter() - start:.1f} s")
    return 1 if failed else 0


def load(args: argparse.Namespace, config: Mapping[str, Any] | None, device: torch.device) -> nn.Module:
    """The network of the checkpoint, with another one mixed in where that is wanted."""
    from srtoolbox.engine.blending import Blender
    from srtoolbox.engine.checkpoint import load_network

    if args.blend is None:
        return load_network(args.checkpoint, config=config, scale=args.scale, device=device)
    blender = Blender([args.checkpoint, args.blend], config=config, scale=args.scale)
    return blender.blended((1 - args.alpha, args.alpha), device)


def plan(inputs: Sequence[str], out: str | None) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """`(picture, output file)` for each input, and the pictures left out; folders keep their structure under `out`.

    The output is `<name>_sr.png`, and `<name>.<suffix>_sr.png` where two pictures would have one. A picture given
    twice is taken once. One that is the result of another (`a_sr.png` beside `a.jpg`) comes from an earlier run and is
    left out, unless results go elsewhere.

    Raises:
        SrtoolboxError: an input that is not there, a folder without pictures, two pictures with one output.
    """
    from srtoolbox.errors import ImageError

    places: dict[Path, tuple[Path, Path]] = {}  # by the real place of the picture: its path, the folder of its output
    for source, folder in _sources(inputs, out):
        places.setdefault(_real(source), (source, folder))
    results = {_real(folder / name) for source, folder in places.values() for name in _names(source)}
    skipped = [source for place, (source, _) in places.items() if place in results]
    kept = [pair for place, pair in places.items() if place not in results]
    plain = Counter(_real(folder / _names(source)[0]) for source, folder in kept)
    outputs: dict[Path, Path] = {}
    jobs = []
    for source, folder in kept:
        short, full = (folder / name for name in _names(source))
        target = full if plain[_real(short)] > 1 else short
        other = outputs.setdefault(_real(target), source)
        if other is not source:
            raise ImageError(f"{other} and {source} would both be written to {target}: upscale them separately")
        jobs.append((source, target))
    return jobs, skipped


def _sources(inputs: Sequence[str], out: str | None) -> Iterator[tuple[Path, Path]]:
    """`(picture, folder of its output)` of all inputs."""
    from srtoolbox.errors import ImageError
    from srtoolbox.image import list_images

    for text in inputs:
        path = Path(text)
        base = Path(out) if out else None
        if path.is_dir():
            found = list_images(path)
            if not found:
                raise ImageError(f"{path}: no pictures in this folder")
            yield from ((path / name, (base or path) / name.parent) for name in found)
        elif path.exists():
            yield path, base or path.parent
        else:
            raise ImageError(f"{path}: no such picture or folder")


def _names(source: Path) -> tuple[str, str]:
    """The output's usual name, and the one that tells `photo.bmp` and `photo.tiff` apart."""
    return f"{source.stem}_sr.png", f"{source.name}_sr.png"


def _real(path: Path) -> Path:
    """One path for one entry of one folder; a link to a picture counts as a picture of its own."""
    return path.parent.resolve() / path.name
