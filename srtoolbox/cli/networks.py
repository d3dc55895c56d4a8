"""List the networks that are here, with their variants, or tell all of one family."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser, add_plugin, positive
from srtoolbox.errors import SrtoolboxError
from srtoolbox.text import did_you_mean

if TYPE_CHECKING:
    from srtoolbox.apps.zoo import Wish

SUMMARY = "list networks and their variants to choose from, or tell all of one"
EXAMPLE = """example:
  python tools/networks.py                                    # all
  python tools/networks.py --scale 3 --max-params 1M --exact  # small ones for x3 whose tiles are exact
  python tools/networks.py --attention --sort parameters      # the smallest with attention in windows first
  python tools/networks.py swin 2024                          # those with a word in their name or paper
  python tools/networks.py hat-s                              # the family of that name: arguments, variants, configs
  python tools/networks.py --json -                           # for another program"""
UNITS = {"": 1, "K": 1e3, "M": 1e6}


def parameters(text: str) -> float:
    """Return a number of parameters, for argparse: '800000', '800K' or '1.5M'."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s?([KM]?)", text.strip(), re.IGNORECASE)
    if not match:
        raise argparse.ArgumentTypeError(f"a number such as 800K or 1.5M is wanted, got {text!r}")
    return float(match[1]) * UNITS[match[2].upper()]


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("networks", __doc__, EXAMPLE)
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="NETWORK",
        help="of a family or variant, or words of names and papers: one is enough",
    )
    add("--scale", type=positive, metavar="N", help="those that can be built for xN, with their parameters there")
    add("--max-params", type=parameters, metavar="N", help="with at most so many parameters: 800K, 1.5M")
    add("--colour", choices=("rgb", "y"), help="those whose defaults take RGB, or luma")
    windows = parser.add_mutually_exclusive_group()
    kind = "those with attention in windows"
    windows.add_argument("--attention", dest="windows", action="store_true", default=None, help=kind)
    windows.add_argument("--no-attention", dest="windows", action="store_false", help="those without")
    add("--exact", action="store_true", help="those that tiles restore exactly: an output pixel sees only so far")
    add("--trained", action="store_true", help="those with a config whose training was measured here")
    add("--checked", action="store_true", help="those of which a public file was measured here")
    add("--sort", choices=("name", "parameters", "year"), default="name", help="in which order (default: name)")
    add("--json", metavar="FILE", help="write the list as JSON, instead of the text; - prints it")
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    import json

    from srtoolbox.apps import zoo
    from srtoolbox.apps.zoo.text import details, listing
    from srtoolbox.io.files import write_json

    known = dict(zoo.families())
    if args.plugins:
        parser.prepare(args)
        from srtoolbox.apps.zoo.describe import describe, names

        known |= {name: describe(name) for name in names() if name not in known}
    words, wish = args.names, wish_of(args)
    family = zoo.find(words[0], known) if len(words) == 1 else None
    if family and wish == zoo.Wish(words) and not args.json:
        print(details(family))
        return 0
    rows = zoo.ordered(zoo.choose(wish, known.values()), args.sort, args.scale)
    if words and not rows and wish == zoo.Wish(words):
        hint = did_you_mean(words[0], [name for family in known.values() for name in family.names])
        raise SrtoolboxError(f"no network has {' or '.join(map(repr, words))} in its name or paper.{hint}")
    if not args.json:
        print(listing(rows, args.scale))
    elif args.json == "-":
        print(json.dumps([zoo.facts(*row) for row in rows], indent=2))
    else:
        write_json(args.json, [zoo.facts(*row) for row in rows])
    return 0


def wish_of(args: argparse.Namespace) -> Wish:
    """Return what the options ask for."""
    from srtoolbox.apps.zoo import Wish

    flags = {name: getattr(args, name) for name in ("scale", "colour", "windows", "exact", "trained", "checked")}
    return Wish(args.names, max_parameters=args.max_params, **flags)
