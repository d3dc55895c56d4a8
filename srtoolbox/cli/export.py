"""Export a network for other programs: ONNX, torch.export. Any height, width and batch.

The file takes RGB images, float32 (N, 3, H, W) in [0, 1], and gives them upscaled; it needs no srtoolbox. Before it
gets its name it is run on a photograph and compared with PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser, add_plugin, add_weights_options

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "write a network as ONNX or torch.export"
EXAMPLE = """examples:
  python tools/export.py work_dirs/quickstart/checkpoints/best_photos_psnr.pth --onnx espcn.onnx
  python tools/export.py RealESRGAN_x4plus.pth --onnx x4plus_fp16.onnx --fp16 --picture photo.jpg
  python tools/export.py model.pth --torch-export model.pt2

docs/export.md has the ten lines that run such a file."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("export", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    add("--onnx", metavar="FILE.onnx", help="write ONNX (needs the extra: pip install 'srtoolbox[onnx]')")
    add("--torch-export", metavar="FILE.pt2", help="write a torch.export program")
    add("--fp16", action="store_true", help="compute in float16; input and output stay float32")
    add("--bare", action="store_true", help="the network alone: a luma network then takes and gives one channel")
    add("--picture", metavar="FILE", help="compare on this image (default: a photograph of scikit-image)")
    add("--raw", action="store_true", help="the trained weights, where there are averaged (EMA) ones too")
    add_weights_options(parser)
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    _check_names(parser, args)
    from srtoolbox.apps.export.network import export_onnx, export_torch
    from srtoolbox.apps.networks import generator_of
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins
    from srtoolbox.weights.load import load_network

    setup_logging()
    load_plugins(None, args.plugin)
    config = generator_of(args.config)
    weights = "raw" if args.raw else "ema"
    network = load_network(args.checkpoint, config=config, weights=weights, scale=args.scale, trial=args.trial)
    image = _image(args.picture)
    for path, export in ((args.onnx, export_onnx), (args.torch_export, export_torch)):
        if path is None:
            continue
        parity = export(network, path, half=args.fp16, bare=args.bare, image=image)
        kind = f"{type(network).__name__} x{network.scale}, {'fp16' if args.fp16 else 'fp32'}"
        size = f"{Path(path).stat().st_size / 1e6:.2f} MB"
        told = f"PSNR {parity.psnr:.1f} dB, largest difference {parity.largest:.2g}"
        print(f"{args.checkpoint} -> {path}: {kind}, {size}")
        print(f"against PyTorch on {args.picture or 'a photograph'}: {told}", flush=True)
    return 0


def _check_names(parser: CommandParser, args: argparse.Namespace) -> None:
    if not (args.onnx or args.torch_export):
        parser.error("say what to write: --onnx FILE.onnx or --torch-export FILE.pt2")
    for path, suffix in ((args.onnx, ".onnx"), (args.torch_export, ".pt2")):
        if path is not None and Path(path).suffix != suffix:
            parser.error(f"{path}: the suffix is {suffix}")


def _image(path: str | None) -> np.ndarray:
    if path is not None:
        from srtoolbox.image import read_image

        return read_image(path)
    from skimage.data import chelsea

    return chelsea()
