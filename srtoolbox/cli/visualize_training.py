"""Patches over the iterations of a training, beside input, bicubic and truth: GIF, MP4 or a PNG sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser
from srtoolbox.cli.visualize_options import add_animation_options, chosen
from srtoolbox.text import counted

SUMMARY = "patches over the iterations of a training: an animation"
EXAMPLE = """examples:
  python tools/visualize.py training work_dirs/quickstart -o training.gif
  python tools/visualize.py training work_dirs/quickstart -o training.mp4 --patches chelsea --seconds 0.1
  python tools/visualize.py training work_dirs/quickstart -o training.png

The training keeps the patches where its config has hooks = dict(patches=dict(type='PatchesHook', patches=[...]))."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("visualize training", __doc__, EXAMPLE)
    add = parser.add_argument
    add("work_dir", metavar="WORK_DIR", help="of a run, finished or not")
    add("-o", "--out", metavar="FILE", help=".gif, .mp4 or .png (default: training.gif in the work dir)")
    add("--patches", nargs="+", metavar="NAME", help="only these, by the names of their folders (default: all)")
    add_animation_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.plots.animation import check_suffix, write_animation
    from srtoolbox.plots.frames import patch_frames
    from srtoolbox.plots.snapshots import PATCHES, snapshot_folders

    work_dir = Path(args.work_dir)
    out = Path(args.out) if args.out else work_dir / "training.gif"
    check_suffix(out)
    folders = chosen(snapshot_folders(work_dir, PATCHES, "PatchesHook"), args.patches, "--patches")
    frames = patch_frames(folders, most=args.frames, cell=args.width or 240)
    write_animation(out, frames, seconds=args.seconds)
    print(f"{out}: {counted(len(frames), 'frame')} of {', '.join(folders)}")
    return 0
