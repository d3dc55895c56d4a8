"""Train a network from a config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin

SUMMARY = "train a network from a config"
EXAMPLE = """example:
  python tools/train.py configs/espcn/espcn_x3_t91.py
  python tools/train.py configs/espcn/espcn_x3_t91.py --resume max_iters=200000
  python tools/train.py --resume --work-dir work_dirs/espcn_x3_t91"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("train", __doc__, EXAMPLE)
    parser.add_argument(
        "config",
        nargs="?",
        help="config file, or the name of one that travels with the package; not needed with --resume",
    )
    parser.add_overrides()
    parser.add_argument("--work-dir", help="where the run goes (default: work_dirs/<config name>)")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in the work dir from its newest checkpoint"
    )
    parser.add_argument(
        "--resume-from",
        metavar="PATH",
        help="continue exactly from this checkpoint; with --resume, where the work dir holds none",
    )
    parser.add_argument("--load-from", metavar="PATH", help="start from these weights (fine-tuning)")
    parser.add_argument("--seed", type=int, help="seed of data order, crops and initialisation")
    add_device(parser)
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier run in the work dir")
    parser.add_argument(
        "--profile", action="store_true", help="say where the time of twenty iterations goes, and train nothing"
    )
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if vars(args).pop("profile"):
        return _profile(parser, args)
    if args.config is None and not ((args.resume or args.resume_from) and args.work_dir):
        parser.error("name a config, or go on with a run by --resume --work-dir DIR")
    from srtoolbox import dist
    from srtoolbox.engine.job.job import Interrupted, train
    from srtoolbox.engine.job.run_config import config_of_run

    args.config = args.config or config_of_run(args.work_dir)
    try:
        train(**vars(args))
        code = 0
    except Interrupted as stop:
        code = stop.exit_code
    dist.leave(code)
    return code


def _profile(parser: CommandParser, args: argparse.Namespace) -> int:
    """Print what `profile_run` does of the config."""
    others = (args.work_dir, args.resume, args.resume_from, args.load_from, args.overwrite, args.seed)
    if args.config is None or others != (None, False, None, None, False, None):
        parser.error("--profile goes with a config, key=value, --device and --plugin: it trains nothing")
    from srtoolbox.apps.profile import profile_run

    profile = profile_run(args.config, device=args.device, overrides=args.overrides, plugins=args.plugins)
    print("\n".join(profile.lines()))
    return 0
