"""Feature maps of a layer: of a checkpoint as a PNG sheet, or over a training as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import (
    CommandParser,
    add_animation_options,
    add_crop_option,
    add_network_options,
    network_loader,
)

SUMMARY = "feature maps of a layer: a sheet, or over a training"
EXAMPLE = """examples:
  python tools/visualize.py features best.pth photo.png --layer body.3 -o sheet.png
  python tools/visualize.py features best.pth photo.png --layer conv2 --channels 0 5 16 -o sheet.png
  python tools/visualize.py features work_dirs/x photo.png --layer conv2 -o maps.gif  # of checkpoints
  python tools/visualize.py features work_dirs/x --layer conv2 -o maps.gif  # of FeatureMapsHook

Layers are named as in network.named_modules(); an unknown one gets the list. Each map is drawn from
its 1st percentile (black) to its 99th (white), in an animation those over all its frames."""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize features", __doc__, EXAMPLE)
    add = parser.add_argument
    add("source", metavar="CKPT_OR_WORK_DIR", help="a checkpoint, or the work dir of a training")
    add("image", nargs="?", metavar="IMAGE", help="the network's input (a checkpoint needs one)")
    add("--layer", metavar="NAME", help="which layer (of a hook that kept one only: that)")
    channels_help = "only these (default: evenly chosen, up to 64, in an animation 8)"
    add("--channels", nargs="+", type=int, metavar="N", help=channels_help)
    add("-o", "--out", required=True, metavar="FILE", help=".png; of a training .gif, .mp4 or .png")
    add_crop_option(parser)
    add_animation_options(parser)
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    is_run = Path(args.source).is_dir()
    if not is_run and args.image is None:
        parser.error("a checkpoint needs an IMAGE to run on")
    if args.layer is None and (not is_run or args.image is not None):
        parser.error("--layer NAME says which maps; a wrong name gets the list of all")
    from srtoolbox.apps import visualize

    if not is_run:
        hint = "; an animation is made of a training: its work dir instead of a checkpoint"
        visualize.check_sheet_suffix(args.out, hint)
        network = network_loader(parser, args)(args.source)
        image = visualize.read_crop(args.image, args.crop)
        options = {"channels": args.channels, "width": args.width or 150}
        drawing = visualize.draw_features(network, image, args.layer, **options)
        drawing.save_sheet(args.out)
    else:
        visualize.check_animation_suffix(args.out)
        load = network_loader(parser, args)
        frame = visualize.read_crop(args.image, args.crop) if args.image is not None else None
        options = {"channels": args.channels, "width": args.width or 180}
        options |= {"most": args.frames, "load": load}
        drawing = visualize.animate_features(args.source, frame, args.layer, **options)
        drawing.save_animation(args.out, seconds=args.seconds)
    print(f"{args.out}: {drawing.caption}")
    return 0
