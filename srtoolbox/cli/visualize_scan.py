"""An image upscaled tile by tile, over its bicubic enlargement: GIF, MP4 or a PNG sheet."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import (
    CommandParser,
    add_animation_options,
    add_crop_option,
    add_network_options,
    network_loader,
    positive,
)

SUMMARY = "an image upscaled tile by tile over bicubic: an animation"
EXAMPLE = """examples:
  python tools/visualize.py scan best.pth photo.png -o scan.gif
  python tools/visualize.py scan best.pth photo.png --tile 33 --crop 40,60,132,99 -o scan.gif

The image is worked on in tiles as `upscale --tile` does; the last one is outlined."""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize scan", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    add("image", metavar="IMAGE", help="the image to upscale")
    tile_help = "side of a tile in input pixels (default: six along the longer side)"
    add("--tile", type=positive, metavar="PX", help=tile_help)
    add("-o", "--out", required=True, metavar="FILE", help=".gif, .mp4 or .png")
    add_crop_option(parser)
    add_animation_options(parser)
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    from srtoolbox.apps.visualize import animate_scan, check_animation_suffix, read_crop

    check_animation_suffix(args.out)
    network, image = network_loader(parser, args)(args.checkpoint), read_crop(args.image, args.crop)
    scan = animate_scan(network, image, tile=args.tile, most=args.frames, width=args.width or 720)
    scan.save_animation(args.out, seconds=args.seconds)
    print(f"{args.out}: {scan.caption}")
    return 0
