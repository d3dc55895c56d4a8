"""Print a config with its bases merged and overrides applied, as text that can be loaded again.

Runs no code of the config.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser

SUMMARY = "print a config with its bases and overrides resolved"
EXAMPLE = """example:
  python tools/print_config.py configs/espcn/espcn_x3_t91.py
  python tools/print_config.py configs/espcn/espcn_x3_t91.py scale=4 --origins"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser("print_config", __doc__, EXAMPLE)
    parser.add_argument(
        "config", metavar="CONFIG", help="config file, or the name of one that travels with the package"
    )
    parser.add_overrides()
    help_origins = "one line per entry, with file and line it comes from"
    parser.add_argument("--origins", action="store_true", help=help_origins)
    args = parser.parse(argv)
    from srtoolbox.config import Config

    config = Config.fromfile(args.config, args.overrides)
    if args.origins:
        rows = [(f"{path} = {value!r}", config.origin(path)) for path, value in config.entries()]
        width = min(max((len(text) for text, _ in rows), default=0), 80)
        for text, origin in rows:
            print(f"{text:<{width}}  # {origin}")
    else:
        print(config.dump(), end="")
    return 0
