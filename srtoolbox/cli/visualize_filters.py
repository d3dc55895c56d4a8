"""The filters of the first convolution, or of another one, as a PNG sheet."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser
from srtoolbox.cli.visualize_options import add_network_options, check_picture_suffix, networks_of, positive
from srtoolbox.text import counted

SUMMARY = "the filters of the first convolution: a sheet"
EXAMPLE = """examples:
  python tools/visualize.py filters best.pth -o filters.png
  python tools/visualize.py filters best.pth --layer conv2 -o filters.png

Filters over three channels are drawn in colour, others in gray (of many channels the first). Middle gray is 0; each is
drawn with its own largest weight as black or white, which stands below it."""
MANY = 144


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("visualize filters", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox, or of another project")
    add("--layer", metavar="NAME", help="a convolution, as in network.named_modules() (default: the first)")
    add("--width", type=positive, default=90, metavar="PX", help="of a filter in the sheet (default: 90)")
    add("-o", "--out", required=True, metavar="FILE", help="the .png to write")
    add_network_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.image import write_image
    from srtoolbox.plots.feature_maps import chosen_channels, filter_cells, first_filters
    from srtoolbox.plots.grid import grid, square_rows

    check_picture_suffix(args.out)
    (network,), _ = networks_of(args, [args.checkpoint])
    layer, filters = first_filters(network, args.layer)
    numbers = chosen_channels(len(filters), MANY, layer)
    count, channels, height, width = filters.shape
    size = f"{width} x {height} over {counted(channels, 'channel')}"
    title = f"{type(network).__name__}  {layer}: {len(numbers)} of {count} filters, {size}"
    cells = filter_cells(filters[numbers], numbers)
    write_image(args.out, grid(square_rows(cells), title=title, cell=args.width))
    print(f"{args.out}: {len(numbers)} of {count} filters of {layer}, {size}")
    return 0
