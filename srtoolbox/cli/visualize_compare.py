"""Images by networks: a sheet with a row per image and a column per network, beside bicubic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srtoolbox.cli.options import CommandParser, add_network_options, box, network_loader, positive
from srtoolbox.errors import SrtoolboxError
from srtoolbox.text import counted

SUMMARY = "images by networks: a sheet"
EXAMPLE = """examples:
  python tools/visualize.py compare a.png b.png --checkpoints psnr.pth gan.pth --truth -o sheet.png
  python tools/visualize.py compare a.png --checkpoints denoiser.pth --truth -o sheet.png \\
      --degradations "[dict(type='GaussianNoise', sigma=[25, 25])]"
  python tools/visualize.py compare photo.png --checkpoints a.pth b.pth --crop 40,60,64,64 -o sheet.png

With --truth the images are the truth: they are reduced by MATLAB's bicubic first and shown at the
right, and PSNR (RGB, of what is shown) stands below each version. Each --crop is a row of its own;
without one every image is shown whole."""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize compare", __doc__, EXAMPLE)
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="images to upscale, or with --truth true images")
    add("--checkpoints", nargs="+", required=True, metavar="CKPT", help="of one scale, from left to right")
    add("--names", nargs="+", metavar="NAME", help="titles of the columns (default: the files')")
    add("--truth", action="store_true", help="the images are true: reduce them first, and score")
    worse = "with --truth: what the reduced images get, as a config's degradations"
    add("--degradations", metavar="TEXT", help=worse)
    crop_help = "a part, in pixels of the image given; repeatable"
    add("--crop", type=box, action="append", metavar="X,Y,W,H", help=crop_help)
    add("--width", type=positive, default=260, metavar="PX", help="of an image (default: 260)")
    add("-o", "--out", required=True, metavar="FILE", help="the image to write, .png say")
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.names and len(args.names) != len(args.checkpoints):
        count = counted(len(args.checkpoints), "checkpoint")
        parser.error(f"{count}, {counted(len(args.names), 'name')}")
    from srtoolbox.apps.networks import distinct_names
    from srtoolbox.apps.visualize import check_sheet_suffix, compare_networks

    check_sheet_suffix(args.out)
    load = network_loader(parser, args)
    names = args.names or distinct_names(args.checkpoints)
    networks = {name: load(path) for name, path in zip(names, args.checkpoints, strict=True)}
    options: dict[str, Any] = {"are_truth": args.truth, "crops": args.crop, "width": args.width}
    if args.degradations:
        options["degradations"] = _degradations(args.degradations)
    sheet = compare_networks(args.images, networks, **options)
    sheet.save_sheet(args.out)
    print(f"{args.out}: {sheet.caption}")
    return 0


def _degradations(text: str) -> Sequence[object]:
    """Return what a user types as a config has it."""
    from srtoolbox.config.overrides import parse_override

    value = parse_override(f"degradations={text}").value
    if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
        example = "[dict(type='GaussianNoise', sigma=[25, 25])]"
        raise SrtoolboxError(f'--degradations is a list as in a config, such as "{example}", got {text!r}')
    return value
