"""Upscale pictures with a trained network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

EXAMPLE = """example:
  python tools/upscale.py work_dirs/quickstart/checkpoints/best_photos_psnr.pth photo.jpg -o out
  python tools/upscale.py model.pth pictures/ more/*.png"""


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="upscale.py", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox")
    parser.add_argument("inputs", nargs="+", metavar="FILE_OR_DIR", help="pictures, or folders of pictures (recursive)")
    parser.add_argument("-o", "--out", metavar="DIR", help="where <name>_sr.png goes (default: beside each picture)")
    parser.add_argument("--config", help="for weights of another project: a config whose model.generator they are for")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="Python file with components of yours"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where some picture failed."""
    args = build_parser().parse_intermixed_args(argv)
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from srtoolbox.config import Config
    from srtoolbox.engine.checkpoint import load_network
    from srtoolbox.engine.device import select_device
    from srtoolbox.errors import SrtoolboxError
    from srtoolbox.image import read_image, write_image
    from srtoolbox.inference.upscale import upscale
    from srtoolbox.logger import CONSOLE
    from srtoolbox.plugins import load_plugins

    load_plugins(None, args.plugin)
    jobs = plan(args.inputs, args.out)
    device = select_device(args.device)
    config = Config.fromfile(args.config)["model"]["generator"] if args.config else None
    network = load_network(args.checkpoint, config=config, device=device)
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
                progress.console.print(f"error: {error}", markup=False, highlight=False)
                continue
            size = "{1} x {0}".format(*image.shape[:2]) + " -> " + "{1} x {0}".format(*result.shape[:2])
            progress.console.print(f"{source} -> {target} ({size})", markup=False, highlight=False, soft_wrap=True)
    print(f"{len(jobs) - len(failed)} upscaled, {len(failed)} failed, {time.perf_counter() - start:.1f} s")
    return 1 if failed else 0


def plan(inputs: Sequence[str], out: str | None) -> list[tuple[Path, Path]]:
    """`(picture, output file)` for each input; folders keep their structure under `out`.

    Raises:
        SrtoolboxError: an input that is not there, a folder without pictures, two pictures with one output.
    """
    from srtoolbox.errors import ImageError
    from srtoolbox.image import list_images

    jobs: list[tuple[Path, Path]] = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found = [Path(name) for name in list_images(path) if not Path(name).stem.endswith("_sr")]
            if not found:
                raise ImageError(f"{path}: no pictures in this folder")
            base = Path(out) if out else path
            jobs += [(path / name, base / name.parent / f"{name.stem}_sr.png") for name in found]
        elif path.exists():
            jobs.append((path, (Path(out) if out else path.parent) / f"{path.stem}_sr.png"))
        else:
            raise ImageError(f"{path}: no such picture or folder")
    outputs: dict[Path, Path] = {}
    for source, target in jobs:
        if target in outputs:
            raise ImageError(
                f"{outputs[target]} and {source} would both be written to {target}: upscale them separately"
            )
        outputs[target] = source
    return jobs
