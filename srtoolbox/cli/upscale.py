"""Upscale images with a trained network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from srtoolbox.cli.options import (
    CommandParser,
    add_device,
    add_plugin,
    add_shard_options,
    add_weights_options,
    terminable,
    tile,
)

SUMMARY = "upscale images with a trained network"
TAKES_PATTERNS = True  # of folders, whose structure the results keep
EXAMPLE = """example:
  python tools/upscale.py work_dirs/quickstart/checkpoints/best_photos_psnr.pth photo.jpg -o out
  python tools/upscale.py model.pth pictures/ 'more/**/*.png' --ext same --skip-existing
  python tools/upscale.py model.pth https://example.org/photo.jpg -o photo_large.webp
  cat photo.jpg | python tools/upscale.py model.pth - -o - > large.png
  python tools/upscale.py psnr.pth photo.jpg --blend gan.pth --alpha 0.8

photo.bmp beside photo.tiff become photo.bmp_sr.png and photo.tiff_sr.png. Results of an earlier run
(a_sr.png beside a.jpg) are left out; with -o of another folder they are images like all others.
See docs/upscale.md."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("upscale", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox or of another project, or an ONNX file")
    sources = "images, folders of them (recursive), quoted patterns ('in/**/*.png'), "
    add("inputs", nargs="+", metavar="INPUT", help=sources + "https addresses, - for stdin")
    _add_output_options(parser)
    _add_network_options(parser)
    _add_work_options(parser)
    return parser


def _add_output_options(parser: CommandParser) -> None:
    add = parser.add_argument_group("results").add_argument
    folder = "a folder (default: beside each image); for one image also a file, or - for stdout"
    add("-o", "--out", metavar="DIR|FILE|-", help=folder)
    add("--suffix", default="_sr", metavar="TEXT", help="comes behind the name (default: _sr)")
    add(
        "--ext",
        choices=("png", "jpg", "webp", "tiff", "bmp", "same"),
        help="the format (default: png; same: that of the image)",
    )
    quality = "1 ... 100 for jpg (default 95) and webp (default: lossless)"
    add("--quality", type=int, metavar="Q", help=quality)
    nothing = "do not write weights, network, scale, version and options into results"
    add("--no-provenance", dest="provenance", action="store_false", help=nothing)
    add("--skip-existing", action="store_true", help="leave alone what has a result already")
    group = parser.add_argument_group("work in pieces, with -o DIR")
    add_shard_options(group, "upscale nothing; say what is missing of N pieces")


def _add_network_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("network")
    add = group.add_argument
    add_weights_options(group)
    scale = "final scale, any number above 0 (default: the network's)"
    add("--outscale", type=float, metavar="S", help=scale)
    add("--blend", metavar="CKPT", help="mix in another training of the same network, see interp")
    add("--alpha", type=float, metavar="A", help="with --blend: its share, in [0, 1]")
    ensemble = "average eight flips and turns (x8 the time, better)"
    add("--ensemble", action="store_true", help=ensemble)
    kinds = ("overlapping", "non-overlapping")
    add("--patches", choices=kinds, help="SRCNN, VDSR: work on patches of the training's size")
    wrap = "for textures that tile: what lies beyond an edge is the opposite side "
    add("--wrap", choices=("x", "y", "xy"), help=wrap + "(x: left and right)")
    add("--keep-colour", action="store_true", help="take out shifts of colours: low frequencies stay the image's")
    alpha = "what upscales alpha (default: network)"
    add("--transparency", choices=("network", "bicubic"), default="network", help=alpha)
    add_plugin(group)


def _add_work_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("machine")
    add = group.add_argument
    add_device(group)
    dtype = "precision of the network (default: fp32)"
    add("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32", help=dtype)
    side = "side of tiles in input pixels; 0: the image in one piece (default: auto, "
    side += "by the free memory); no seams"
    add("--tile", type=tile, default="auto", metavar="auto|PX|0", help=side)
    overlap = "pixels that tiles see around them (default: all the network sees, which is exact; "
    add("--overlap", type=int, metavar="PX", help=overlap + "fewer are faster)")
    batch = "tiles run together (default: 1; on a CPU more is no faster)"
    add("--batch", type=int, default=1, metavar="N", help=batch)
    workers = "images read ahead and written at a time (default: 2)"
    add("--workers", type=_workers, default=2, metavar="N", help=workers)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where some image failed."""
    parser = build_parser()
    args = parser.parse(argv)
    _check(parser, args)
    from srtoolbox.apps.folder.upscale import upscale_folder

    options = vars(args)
    network = replace(parser.take_network(args), other=options.pop("blend"), alpha=options.pop("alpha") or 0.0)
    args.tile = args.tile or None
    with terminable(), parser.option_errors():
        result = upscale_folder(network, **options)
    return 1 if result.failed else 0


def _check(parser: CommandParser, args: argparse.Namespace) -> None:
    """End with a fault of typing that a terminal alone can have, or options that go together."""
    if (args.blend is None) != (args.alpha is None):
        parser.error("--blend CKPT and --alpha A go together")
    if args.alpha is not None and not 0 <= args.alpha <= 1:
        parser.error(f"--alpha is in [0, 1], got {args.alpha:g}")
    if args.out == "-" and sys.stdout.isatty():
        terminal = "standard output, which is a terminal; add > FILE or | COMMAND"
        parser.error(f"-o - writes an image to {terminal}")
    if "-" in args.inputs and sys.stdin.isatty():
        terminal = "standard input, which is a terminal; add < FILE or pipe one in"
        parser.error(f"- reads an image from {terminal}")


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"is 1 ... 64, got {text!r}")
    return int(text)
