"""Compare runs: what differs in their configs, their best and last scores, how each of them ended."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_comparison_options, add_plugin

SUMMARY = "compare runs: what differs in their configs, and their scores"
EXAMPLE = """examples:
  python tools/compare.py work_dirs/a work_dirs/b work_dirs/c
  python tools/compare.py work_dirs/sweep --by set5/psnr --csv runs.csv      (all runs in a folder)
  python tools/compare.py work_dirs/a work_dirs/b -o compare.html            (a page with their curves)"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("compare", __doc__, EXAMPLE)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a work dir, or a folder of work dirs")
    add_comparison_options(parser)
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    parser.prepare(args)
    from srtoolbox.apps.comparison import compare_runs

    with parser.option_errors():
        compare_runs(args.runs, by=args.by, csv=args.csv, page=args.page)
    return 0
