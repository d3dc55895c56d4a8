"""Print a config with its bases merged and overrides applied, as text that can be loaded again. Runs no code of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srtoolbox.cli.options import split_overrides

EXAMPLE = """example:
  python tools/print_config.py configs/espcn/espcn_x3_t91.py
  python tools/print_config.py configs/espcn/espcn_x3_t91.py scale=4 --origins"""


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="print_config.py",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("arguments", nargs="+", metavar="CONFIG [key=value]", help="config file and entries to change")
    parser.add_argument("--origins", action="store_true", help="one line per entry, with file and line it comes from")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse_intermixed_args(argv)
    files, overrides = split_overrides(args.arguments)
    if len(files) != 1:
        parser.error(f"one config is printed at a time, got {', '.join(files) or 'none'}")
    from srtoolbox.config import Config

    config = Config.fromfile(files[0], overrides)
    if args.origins:
        rows = [(f"{path} = {value!r}", config.origin(path)) for path, value in leaves(config.to_dict())]
        width = min(max((len(text) for text, _ in rows), default=0), 80)
        for text, origin in rows:
            print(f"{text:<{width}}  # {origin}")
    else:
        print(config.dump(), end="")
    return 0


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any config value
    """`(path, value)` of everything that is not a dict or a list with dicts in it."""
    if isinstance(value, Mapping) and value:
        items = list(value.items())
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        items = list(enumerate(value))
    else:
        yield path, value
        return
    for key, item in items:
        yield from leaves(item, f"{path}.{key}" if path else str(key))
