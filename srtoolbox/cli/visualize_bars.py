"""Test scores as bars: a group per set, a bar per network, a panel per metric."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser

SUMMARY = "test scores, networks by sets: a bar chart"
EXAMPLE = """example:
  python tools/test.py CONFIG a.pth b.pth --baseline --json scores.json
  python tools/visualize.py bars scores.json -o bars.png --metrics psnr ssim"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize bars", __doc__, EXAMPLE)
    add = parser.add_argument
    add("scores", nargs="+", metavar="JSON", help="files of `test.py --json`, put together")
    add("-o", "--out", required=True, metavar="FILE", help="the .png, .pdf or .svg to write")
    add("--metrics", nargs="+", metavar="NAME", help="a panel for each (default: all of the file)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.plots.charts import plot_bars
    from srtoolbox.plots.run_log import read_scores

    scores = read_scores(args.scores)
    metrics = plot_bars(args.out, scores, metrics=args.metrics)
    print(f"{args.out}: {', '.join(metrics)} of {', '.join(scores)}")
    return 0
