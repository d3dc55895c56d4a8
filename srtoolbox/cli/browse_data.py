"""See what a training gives its network: a page of samples, of what is drawn for them and of their statistics.

The page is one file with all images inside; a sheet of the samples goes beside it. Nothing but the data is built.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_plugin, positive

SUMMARY = "see what a training gives its network, and how it compares with your photos"
EXAMPLE = """examples:
  python tools/browse_data.py quickstart/espcn_x3_photos.py
  python tools/browse_data.py my_config.py -o data.html --like path/to/my/photos
  python tools/browse_data.py my_config.py --only 0801 0802 --draw 5000 -n 32
  python tools/browse_data.py my_config.py --whole --samples 0 seed=7"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("browse_data", __doc__, EXAMPLE)
    add = parser.add_argument
    add("config", metavar="CONFIG", help="config of a training")
    parser.add_overrides()
    add("-o", "--out", metavar="FILE", default="browse.html", help="the page; beside it NAME_sheet.png, the sheet")
    add("-n", "--count", type=positive, metavar="N", help="samples to show (default: 16, or 4 whole images)")
    add("--seed", type=int, metavar="N", help="the run's seed (default: the config's)")
    add("--draw", type=int, default=0, metavar="N", help="number of the first sample in the run (default: 0)")
    add("--only", nargs="+", default=[], metavar="KEY", help="show only these images, by their keys")
    add("--whole", action="store_true", help="show whole images, not crops")
    samples_help = "measure so many samples, 0 for none (default: 1000)"
    add("--samples", type=int, default=1000, metavar="N", help=samples_help)
    severity_help = "draw the degradations of each crop under the slider so often, 0 for no slider (default: 100)"
    add("--severity", type=int, default=100, metavar="N", help=severity_help)
    add("--device", default="cpu", help="where model.preprocess computes: cpu, cuda (default: cpu)")
    workers_help = "processes that make samples on the CPU (default: data.train.workers of the config)"
    add("--workers", type=int, metavar="N", help=workers_help)
    add("--like", metavar="FOLDER", help="photographs of yours, to compare with")
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    from srtoolbox.apps.browse.browse import browse_data

    with parser.option_errors():
        browsed = browse_data(
            args.config,
            args.out,
            count=args.count,
            seed=args.seed,
            draw=args.draw,
            only=args.only,
            whole=args.whole,
            samples=args.samples,
            severity=args.severity,
            like=args.like,
            device=args.device,
            workers=args.workers,
            overrides=args.overrides,
            plugins=args.plugins,
        )
    print("\n".join(browsed.lines()))
    return 0
