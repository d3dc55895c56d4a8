"""Export a network for other programs: ONNX, torch.export.

The file takes RGB images, float32 (N, 3, H, W) in [0, 1] of any height, width and batch unless
options say otherwise, and gives them upscaled; it needs no srtoolbox. Before it gets its name it is
run on a photograph and compared with PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser, add_plugin, add_weights_options

if TYPE_CHECKING:
    from srtoolbox.apps.export.writer import ExportedFile

SUMMARY = "write a network as ONNX or torch.export"
EXAMPLE = """examples:
  python tools/export.py work_dirs/quickstart/checkpoints/best_photos_psnr.pth --onnx espcn.onnx
  python tools/export.py RealESRGAN_x4plus.pth --onnx x4plus_fp16.onnx --fp16 --picture photo.jpg
  python tools/export.py model.pth --torch-export model.pt2
  python tools/export.py model.pth --onnx frame.onnx --static 540x960 --fp16 --io uint8 --layout nhwc

docs/export.md has the ten lines that run such a file, and a table of what engines ask for."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("export", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    onnx = "write ONNX (needs the extra: pip install 'srtoolbox[onnx]')"
    add("--onnx", metavar="FILE.onnx", help=onnx)
    add("--torch-export", metavar="FILE.pt2", help="write a torch.export program")
    add("--fp16", action="store_true", help="compute in float16; input and output are as --io says")
    add("--io", choices=("fp32", "fp16", "uint8"), default="fp32", help="what it takes and gives (default: fp32)")
    add("--layout", choices=("nchw", "nhwc"), default="nchw", help="of input and output (default: nchw)")
    add("--static", type=_size, metavar="HxW", help="one image of this height and width, nothing free")
    add("--opset", type=int, metavar="N", help="ONNX's version of operators, 13 or more (default: the exporter's)")
    bare = "the network alone: a luma network then takes and gives one channel"
    add("--bare", action="store_true", help=bare)
    image = "compare on this image (default: a photograph of scikit-image)"
    add("--picture", metavar="FILE", help=image)
    raw = "the trained weights, where there are averaged (EMA) ones too"
    add("--raw", action="store_true", help=raw)
    add_weights_options(parser)
    add_plugin(parser)
    args = parser.parse(argv)
    _check_names(parser, args)
    from srtoolbox.apps.export.writer import export_files

    source = args.checkpoint
    network = replace(parser.take_network(args), weights="raw" if args.raw else "ema")
    paths = {"onnx": args.onnx, "torch_export": args.torch_export, "image": args.picture}
    names = ("bare", "static", "io", "layout", "opset")
    options = {name: getattr(args, name) for name in names} | {"half": args.fp16}
    with parser.option_errors():
        for file in export_files(network, **paths, **options):
            _report(file, source, args.picture)
    return 0


def _report(file: ExportedFile, source: str, image: str | None) -> None:
    size = f"{Path(file.path).stat().st_size / 1e6:.2f} MB"
    parity = f"PSNR {file.parity.psnr:.1f} dB, largest difference {file.parity.largest:.2g}"
    print(f"{source} -> {file.path}: {file.kind}, {size}")
    print(f"against PyTorch on {image or 'a photograph'}: {parity}", flush=True)


def _size(text: str) -> tuple[int, int]:
    height, x, width = text.partition("x")
    if not x or not all(side.isdecimal() and int(side) > 0 for side in (height, width)):
        raise argparse.ArgumentTypeError(f"height x width is wanted, such as 540x960, got {text!r}")
    return int(height), int(width)


def _check_names(parser: CommandParser, args: argparse.Namespace) -> None:
    if not (args.onnx or args.torch_export):
        parser.error("say what to write: --onnx FILE.onnx or --torch-export FILE.pt2")
    for path, suffix in ((args.onnx, ".onnx"), (args.torch_export, ".pt2")):
        if path is not None and Path(path).suffix != suffix:
            parser.error(f"{path}: the suffix is {suffix}")
