"""Unpack STL-10's binary files to a folder of PNGs. Run again after an interruption, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser
from srtoolbox.text import counted

SUMMARY = "unpack STL-10's binary files to folders"
EXAMPLE = """example:
  python tools/unpack_stl10.py stl10_binary/unlabeled_X.bin -o datasets/STL10/unlabeled
  python tools/unpack_stl10.py stl10_binary/test_X.bin -o datasets/STL10/test"""


def main(argv: Sequence[str]) -> int:
    """Run the command, and return its exit code."""
    parser = CommandParser("unpack_stl10", __doc__, EXAMPLE)
    add = parser.add_argument
    add("binary", metavar="X.bin", help="train_X.bin, test_X.bin or unlabeled_X.bin of stl10_binary.tar.gz")
    add("-o", "--out", required=True, metavar="DIR", help="where 000000.png ... go")
    add("--workers", type=int, metavar="N", help="images written at a time (default: one per CPU)")
    args = parser.parse(argv)
    from srtoolbox.data.prepare.stl10 import unpack
    from srtoolbox.logger import progress_bar

    with progress_bar("unpacking") as show:
        done = unpack(args.binary, args.out, workers=args.workers, progress=show)
    there = f" ({done.images - done.written} were there)" if done.written < done.images else ""
    print(f"{args.binary} -> {args.out}: {counted(done.images, 'image')} of 96 x 96{there}")
    return 0
