"""Report every fault of one or more configs: unknown keys, wrong types, missing arguments, parts that do not fit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from srtoolbox.cli.options import split_overrides

EXAMPLE = """example:
  python tools/check_config.py configs/espcn/espcn_x3_t91.py
  python tools/check_config.py configs/*/*.py --mode test
  python tools/check_config.py my.py data.train.batch_size=8 --plugin my_loss.py"""


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="check_config.py",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="config files, and key=value entries for all")
    parser.add_argument(
        "--mode",
        choices=("train", "test"),
        help="what the config is for (default: train if it has max_iters, optim or data.train, else test)",
    )
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="Python file with components of yours"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 if no config has a fault, else 2."""
    parser = build_parser()
    args = parser.parse_intermixed_args(argv)
    files, overrides = split_overrides(args.configs)
    if not files:
        parser.error("name a config file")
    faulty = [file for file in files if not _report(file, overrides, args)]
    return 2 if faulty else 0


def _report(file: str, overrides: list[str], args: argparse.Namespace) -> bool:
    from srtoolbox.check import check, mode_of
    from srtoolbox.config import Config
    from srtoolbox.errors import ConfigError
    from srtoolbox.plugins import load_plugins

    try:
        config = Config.fromfile(file, overrides)
        load_plugins(config, args.plugin)
        mode = args.mode or mode_of(config)
        check(config, mode=mode)
    except ConfigError as error:
        print("\n".join(error.faults), file=sys.stderr)
        print(f"{file}: {len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}", file=sys.stderr)
        return False
    print(f"{file}: ok ({mode})")
    return True
