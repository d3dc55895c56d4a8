"""The perception-distortion plane: PSNR against NIQE or LPIPS, a point per network, better to the right and up.

Checkpoints whose names differ in a number at the end only (iter_5000, alpha 0.2) are connected.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser

SUMMARY = "how near to the truth against how natural: a point per network"
EXAMPLE = """example:
  python tools/test.py CONFIG psnr.pth gan.pth --baseline --json scores.json
  python tools/visualize.py plane scores.json -o plane.png
  python tools/visualize.py plane report/scores.json -o plane.svg --x psnr --y lpips --sets set14"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize plane", __doc__, EXAMPLE)
    add = parser.add_argument
    add("scores", nargs="+", metavar="JSON", help="files of `test.py --json` or scores.json of reports, put together")
    add("-o", "--out", required=True, metavar="FILE", help="the .png, .pdf or .svg to write")
    add("--x", metavar="NAME", help="the metric across (default: PSNR, else another distance to the truth)")
    add("--y", nargs="+", default=(), metavar="NAME", help="the metrics up (default: all of how natural it looks)")
    add("--sets", nargs="+", default=(), metavar="NAME", help="only these sets (default: all with such metrics)")
    add("--higher", nargs="+", default=(), metavar="NAME", help="metrics that are better higher, where unknown")
    add("--lower", nargs="+", default=(), metavar="NAME", help="metrics that are better lower, where unknown")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.apps.report.planes import draw_planes

    options = {"x": args.x, "y": args.y, "sets": args.sets, "higher": args.higher, "lower": args.lower}
    for line in draw_planes(args.scores, args.out, **options):
        print(line)
    print(args.out)
    return 0
