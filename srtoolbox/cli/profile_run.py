"""Say where the time of a training goes: twenty iterations, part by part, and what would make them faster."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin

SUMMARY = "say where the time of a training goes"
EXAMPLE = """example:
  python tools/profile_run.py espcn/espcn_x3_t91.py
  python tools/profile_run.py my_config.py -o trace.json data.train.workers=2   # opens in ui.perfetto.dev"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("profile_run", __doc__, EXAMPLE)
    parser.add_argument("config", help="config file, or the name of one that travels with the package")
    parser.add_overrides()
    parser.add_argument("-o", "--out", metavar="FILE", help="write a trace (.json) for ui.perfetto.dev")
    parser.add_argument("--iters", type=int, default=20, metavar="N", help="iterations that are timed (default: 20)")
    add_device(parser)
    add_plugin(parser)
    args = parser.parse(argv)
    if args.iters < 1:
        parser.error("--iters is at least 1")
    from srtoolbox.apps.profile import profile_run

    out = vars(args).pop("out")
    profile = profile_run(
        args.config, out, iters=args.iters, device=args.device, overrides=args.overrides, plugins=args.plugins
    )
    print("\n".join(profile.lines()))
    return 0
