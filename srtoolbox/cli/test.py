"""Score checkpoints on test sets: tables, and on request JSON, images, sheets, a page and tables for papers."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_trial

SUMMARY = "score checkpoints, or bicubic, on test sets"
EXAMPLE = """example:
  python tools/test.py bicubic/bicubic_x3.py
  python tools/test.py espcn/espcn_x3_t91.py best.pth --datasets set5 --json scores.json
  python tools/test.py espcn/espcn_x3_t91.py a.pth b.pth --report report     (open report/index.html)
  python tools/test.py espcn/espcn_x3_t91.py a.pth b.pth --latex table.tex --significance"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("test", __doc__, EXAMPLE)
    add = parser.add_argument
    add("config", help="config with data.test (or data.val): its sets and metrics are used")
    add("checkpoints", nargs="*", default=[], metavar="CKPT", help="checkpoints, or ONNX files, to score")
    parser.add_overrides()
    add("--datasets", metavar="A,B", help="only these of the config's sets")
    add("--baseline", action="store_true", help="score bicubic beside the checkpoints")
    add("--json", metavar="FILE", help="write all scores, image by image")
    add("--out", metavar="DIR", help="write the upscaled images to DIR/<checkpoint>/<set>/")
    add("--best", type=int, metavar="N", help="with --out: only the N best and N worst of each set")
    add("--sheets", metavar="DIR", help="write a sheet per image: input, bicubic, networks, truth")
    page = "write a page to look at in a browser, DIR/index.html: scores and images"
    add("--report", metavar="DIR", help=page)
    count = "with --report: images of each set in it (default 20)"
    add("--report-images", type=int, metavar="N", help=count)
    add("--latex", metavar="FILE", help="write one table of all sets for a paper: best bold, second underlined")
    add("--markdown", metavar="FILE", help="the same for a README")
    add("--csv", metavar="FILE", help="the same for a spreadsheet, in full precision")
    seeds = "several trainings of one network, as one row: mean and standard deviation; as often as wanted"
    add("--seeds", nargs="+", action="append", default=[], metavar=("NAME", "CKPT"), help=seeds)
    pairs = "test over the images (Wilcoxon) which networks differ: in sentences, and marked in the tables"
    add("--significance", action="store_true", help=pairs)
    add_trial(parser)
    add_device(parser)
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    from srtoolbox import dist
    from srtoolbox.apps.scoring.score import test

    groups: dict[str, list[str]] = {}
    for name, *paths in args.seeds:
        groups.setdefault(name, []).extend(paths)
    args.seeds = groups
    with parser.option_errors():
        test(**vars(args))
    dist.leave(0)
    return 0
