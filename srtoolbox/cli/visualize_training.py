"""Patches over a training, beside input, bicubic and truth: GIF, MP4 or a PNG sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser, add_animation_options

SUMMARY = "patches over the iterations of a training: an animation"
EXAMPLE = """examples:
  python tools/visualize.py training work_dirs/quickstart -o training.gif
  python tools/visualize.py training work_dirs/quickstart -o training.mp4 --patches chelsea
  python tools/visualize.py training work_dirs/quickstart -o training.png

The training keeps the patches where its config has
hooks = dict(patches=dict(type='PatchesHook', patches=[...]))."""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize training", __doc__, EXAMPLE)
    add = parser.add_argument
    add("work_dir", metavar="WORK_DIR", help="of a run, finished or not")
    add("-o", "--out", metavar="FILE", help=".gif, .mp4 or .png (default: training.gif there)")
    add("--patches", nargs="+", metavar="NAME", help="only these, by their folders' names")
    add_animation_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.apps.visualize import animate_training, check_animation_suffix

    out = args.out or Path(args.work_dir, "training.gif")
    check_animation_suffix(out)
    width = args.width or 240
    drawing = animate_training(args.work_dir, args.patches, most=args.frames, width=width)
    drawing.save_animation(out, seconds=args.seconds)
    print(f"{out}: {drawing.caption}")
    return 0
