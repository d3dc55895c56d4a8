"""The filters of the first convolution, or of another one, as a PNG sheet."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_network_options, network_loader, positive

SUMMARY = "the filters of the first convolution: a sheet"
EXAMPLE = """examples:
  python tools/visualize.py filters best.pth -o filters.png
  python tools/visualize.py filters best.pth --layer conv2 -o filters.png

Filters over three channels are drawn in colour, others in gray (of many channels the first). Middle
gray is 0; each is drawn with its own largest weight as black or white, which stands below it."""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("visualize filters", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    add("--layer", metavar="NAME", help="a convolution's name (default: the first)")
    add("--width", type=positive, default=90, metavar="PX", help="of a filter (default: 90)")
    add("-o", "--out", required=True, metavar="FILE", help="the .png to write")
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    from srtoolbox.apps.visualize import check_sheet_suffix, draw_filters

    check_sheet_suffix(args.out)
    sheet = draw_filters(network_loader(parser, args)(args.checkpoint), args.layer, width=args.width)
    sheet.save_sheet(args.out)
    print(f"{args.out}: {sheet.caption}")
    return 0
