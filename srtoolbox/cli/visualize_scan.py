"""A picture upscaled tile by tile, over its bicubic enlargement: GIF, MP4 or a PNG sheet."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser
from srtoolbox.cli.visualize_options import (
    add_animation_options,
    add_crop_option,
    add_network_options,
    networks_of,
    picture_of,
    positive,
)
from srtoolbox.text import counted

SUMMARY = "an image upscaled tile by tile over bicubic: an animation"
EXAMPLE = """examples:
  python tools/visualize.py scan best.pth photo.png -o scan.gif
  python tools/visualize.py scan best.pth photo.png --tile 33 --crop 40,60,132,99 -o scan.gif

The picture is worked on in tiles as `upscale --tile` does; the outline shows the one that came last."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("visualize scan", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    add("picture", metavar="PICTURE", help="the picture to upscale")
    add(
        "--tile",
        type=positive,
        metavar="PX",
        help="side of a tile in input pixels (default: six along the longer side)",
    )
    add("-o", "--out", required=True, metavar="FILE", help=".gif, .mp4 or .png")
    add_crop_option(parser)
    add_animation_options(parser)
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.inference.upscaler import Upscaler
    from srtoolbox.plots.animation import check_suffix, write_animation
    from srtoolbox.plots.frames import scan_frames, tile_areas

    check_suffix(args.out)
    (network,), device = networks_of(args, [args.checkpoint])
    picture = picture_of(args.picture, args.crop)
    tile = args.tile or max(8, -(-max(picture.shape[:2]) // 6))
    result = Upscaler(network, device=device, tile=tile)(picture)
    areas = tile_areas(picture.shape[:2], tile, network.scale)
    frames = scan_frames(picture, result, areas, most=args.frames, width=args.width or 720)
    write_animation(args.out, frames, seconds=args.seconds)
    print(f"{args.out}: {counted(len(frames), 'frame')}, {counted(len(areas), 'tile')} of {tile} x {tile} input pixels")
    return 0
