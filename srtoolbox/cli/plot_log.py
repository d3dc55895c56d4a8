"""Draw the curves of one or more runs: scores, loss terms, learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srtoolbox.cli.options import CommandParser

SUMMARY = "draw the training curves of one or more runs"
EXAMPLE = """examples:
  python tools/plot_log.py work_dirs/espcn_x3_t91
  python tools/plot_log.py work_dirs/a work_dirs/b -o ab.png --log --keys pixel set5/psnr
  python tools/plot_log.py work_dirs/quickstart --bicubic work_dirs/quickstart/scores.json
  python tools/plot_log.py work_dirs/x --join --keys psnr mse --bicubic scores.json"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("plot_log", __doc__, EXAMPLE)
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="a work_dir, or its scores.jsonl")
    add("-o", "--out", metavar="FILE", help=".png, .pdf or .svg (default: curves.png at the first log)")
    add("--log", action="store_true", help="logarithmic axes for loss terms and learning rates")
    keys_help = "what to draw: set5/psnr, a loss term such as pixel, lr (default: all)"
    add("--keys", nargs="+", metavar="KEY", help=keys_help)
    add("--join", action="store_true", help="a panel per metric, with a line per set")
    add("--bicubic", metavar="JSON", help="of `test.py --json`: bicubic's scores, at x1 the input's, as dashed lines")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.plots.curves import plot_runs
    from srtoolbox.plots.run_log import read_baseline

    first = Path(args.runs[0])
    out = Path(args.out) if args.out else (first if first.is_dir() else first.parent) / "curves.png"
    baseline = read_baseline(args.bicubic) if args.bicubic else None
    options: dict[str, Any] = {"keys": args.keys, "join": args.join}
    if baseline is not None:
        options |= {"baseline": baseline.scores, "baseline_name": baseline.name}
    keys = plot_runs(args.runs, out, log_scale=args.log, **options)
    print(f"{out}: {', '.join(keys)}")
    return 0
