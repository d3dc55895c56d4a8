"""Unpack STL-10's binary files to a folder of PNGs. Run again after an interruption, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser
from srtoolbox.text import counted

SUMMARY = "unpack STL-10's binary files to folders"
EXAMPLE = """example:
  python tools/unpack_stl10.py stl10_binary/unlabeled_X.bin -o datasets/STL10/unlabeled
  python tools/unpack_stl10.py stl10_binary/test_X.bin -o datasets/STL10/test"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("unpack_stl10", __doc__, EXAMPLE)
    add = parser.add_argument
    add("binary", metavar="X.bin", help="train_X.bin, test_X.bin or unlabeled_X.bin of stl10_binary.tar.gz")
    add("-o", "--out", required=True, metavar="DIR", help="where 000000.png ... go")
    add("--workers", type=int, metavar="N", help="images written at a time (default: one per CPU)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from srtoolbox.data.prepare.stl10 import unpack
    from srtoolbox.logger import CONSOLE

    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        task = bar.add_task("unpacking", total=None)
        done = unpack(
            args.binary,
            args.out,
            workers=args.workers,
            progress=lambda finished, total: bar.update(task, completed=finished, total=total),
        )
    there = f" ({done.images - done.written} were there)" if done.written < done.images else ""
    print(f"{args.binary} -> {args.out}: {counted(done.images, 'image')} of 96 x 96{there}")
    return 0
