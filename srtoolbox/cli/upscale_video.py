"""Upscale a video with a trained network. Times, audio, colours and rotation are kept.

Run the same command again after an interruption of any kind: it goes on where it stopped. The output appears when all
of it is done.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import (
    CommandParser,
    add_device,
    add_plugin,
    add_weights_options,
    terminable,
    tile,
)
from srtoolbox.text import counted

if TYPE_CHECKING:
    from srtoolbox.apps.video.parts import Encoding
    from srtoolbox.apps.video.upscale import Done
    from srtoolbox.inference.upscaler import Upscaler

SUMMARY = "upscale a video, its audio, times and colours kept"
EXAMPLE = """examples:
  python tools/upscale_video.py realesr-animevideov3.pth clip.mp4 -o clip_x4.mp4
  python tools/upscale_video.py model.pth clip.mkv -o clip_x4.mkv --codec libx265 --crf 20 --preset slow"""

MAX_CRF = 63
"""Of AV1 and VP9; H.264 and H.265 end at 51 and take more for that."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("upscale_video", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    add("input", metavar="VIDEO", help="any video FFmpeg reads")
    add("-o", "--out", metavar="FILE", help=".mp4, .mov, .mkv or .webm (default: <name>_sr.mp4 beside the input)")
    add("--codec", default="libx264", metavar="NAME", help="encoder: libx264 (default), libx265, libsvtav1, ffv1 ...")
    add("--crf", type=float, metavar="Q", help="quality, lower is better (default: 18; none for ffv1)")
    add("--preset", metavar="NAME", help="the encoder's preset, e.g. slow")
    add("--outscale", type=float, metavar="S", help="final scale, if not the network's")
    add("--tile", type=tile, default="auto", metavar="auto|PX|0", help="as of upscale (default: auto)")
    add("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32", help="numbers the network computes in (fp32)")
    add("--overwrite", action="store_true", help="replace the output, and parts made with other options")
    add_weights_options(parser)
    add_device(parser)
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.crf is not None and not 0 <= args.crf <= MAX_CRF:
        parser.error(f"--crf is 0 ... {MAX_CRF}, got {args.crf:g}")
    from srtoolbox.apps.video.frames import library
    from srtoolbox.apps.video.parts import Encoding
    from srtoolbox.io.files import sha256
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging()
    library()
    load_plugins(None, args.plugin)
    out = args.out or str(Path(args.input).with_name(Path(args.input).stem + "_sr.mp4"))
    upscaler = _upscaler(args)
    crf = 18.0 if args.crf is None and args.codec != "ffv1" else args.crf
    job = {"checkpoint": sha256(args.checkpoint), "dtype": args.dtype, "outscale": args.outscale, "scale": args.scale}
    start = time.perf_counter()
    with terminable():
        done = _with_progress(upscaler, args, out, Encoding(args.codec, crf, args.preset), job)
    kept = f", {done.resumed} of them there already" if done.resumed else ""
    seconds, frames = time.perf_counter() - start, counted(done.frames, "frame")
    print(f"{args.input} -> {out}: {frames} of {done.size[0]} x {done.size[1]}{kept}, {seconds:.1f} s")
    return 0


def _upscaler(args: argparse.Namespace) -> Upscaler:
    from srtoolbox.apps.networks import generator_of
    from srtoolbox.engine.device import select_device
    from srtoolbox.inference.upscaler import Upscaler
    from srtoolbox.weights.load import load_network

    config = generator_of(args.config)
    device = select_device(args.device)
    network = load_network(args.checkpoint, config=config, scale=args.scale, trial=args.trial, device=device)
    return Upscaler(network, device=device, tile=args.tile or None, dtype=args.dtype, outscale=args.outscale)


def _with_progress(
    upscaler: Upscaler, args: argparse.Namespace, out: str, encoding: Encoding, job: dict[str, Any]
) -> Done:
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from srtoolbox.apps.video.upscale import upscale_video
    from srtoolbox.logger import CONSOLE

    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        task = bar.add_task("upscaling", total=None)
        return upscale_video(
            upscaler,
            args.input,
            out,
            encoding=encoding,
            job=job,
            overwrite=args.overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total or None),
        )
