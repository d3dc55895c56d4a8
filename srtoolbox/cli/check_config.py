"""Report every fault of one or more configs.

That is unknown keys, wrong types, missing arguments and parts that do not fit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser, add_plugin
from srtoolbox.text import counted

SUMMARY = "report all faults of configs before anything runs"
EXAMPLE = """example:
  python tools/check_config.py configs/espcn/espcn_x3_t91.py
  python tools/check_config.py configs/*/*.py --mode test
  python tools/check_config.py my.py data.train.batch_size=8 --plugin my_loss.py"""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 if no config has a fault, else 2."""
    parser = CommandParser("check_config", __doc__, EXAMPLE)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="config files")
    parser.add_overrides("entries to change in all of them (--cfg-options is accepted)")
    parser.add_argument(
        "--mode",
        choices=("train", "test"),
        help="what the config is for (default: train if it has max_iters, optim or data.train, else test)",
    )
    add_plugin(parser)
    args = parser.parse(argv)
    several = len(args.configs) > 1
    faulty = [file for file in args.configs if not (several and _skip(file)) and not _check(file, args)]
    return 2 if faulty else 0


def _skip(file: str) -> bool:
    """True if a file, named among others (`configs/*/*.py`), is only a part of other configs."""
    if "_base_" not in Path(file).parts:
        return False
    print(f"{file}: skipped (a part of other configs)")
    return True


def _check(file: str, args: argparse.Namespace) -> bool:
    from srtoolbox.check import check, mode_of
    from srtoolbox.errors import ConfigError
    from srtoolbox.plugins import load_config
    from srtoolbox.weights.of_config import with_network_of_file

    try:
        config = with_network_of_file(load_config(file, args.overrides, plugins=args.plugins))
        mode = args.mode or mode_of(config)
        check(config, mode=mode)
    except ConfigError as error:
        print("\n".join(error.faults), file=sys.stderr)
        print(f"{file}: {counted(len(error.faults), 'fault')}", file=sys.stderr)
        return False
    print(f"{file}: ok ({mode})")
    return True
