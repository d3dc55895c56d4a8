"""Convert folders of images to LMDB stores, from which training reads far faster.

One folder becomes one store, OUT (NAME.lmdb). A GT folder with its LQ folder (--lq), or with LQ to be made from it by
MATLAB's bicubic (--scale without --lq), becomes OUT/gt.lmdb and OUT/lq.lmdb. With --split training and validation get
stores of their own. All names and sizes are checked before anything is written; damaged files are named at the end, all
of them. After an interruption run the same command again: it goes on where it stopped. With --index a store of an
earlier version of the toolbox gets, in place, the index by which millions of images are opened at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_shard_options

SUMMARY = "convert folders of images to LMDB, pairs verified"
EXAMPLE = """examples:
  python tools/convert_lmdb.py datasets/DIV2K/HR -o datasets/DIV2K/HR.lmdb
  python tools/convert_lmdb.py datasets/DIV2K/HR --lq datasets/DIV2K/LR_bicubic/X4 -o datasets/DIV2K_x4
  python tools/convert_lmdb.py datasets/T91 --scale 3 -o datasets/T91_x3
  python tools/convert_lmdb.py datasets/T91 --scale 3 --split 0.8 -o datasets/T91_split
  python tools/convert_lmdb.py datasets/DIV2K/HR.lmdb --index"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("convert_lmdb", __doc__, EXAMPLE)
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="images (GT, if there are pairs), sub-folders too; with --index a store")
    out = "NAME.lmdb or, for pairs and with --split, a folder for the stores"
    add("-o", "--out", metavar="OUT", help=out)
    add("--lq", metavar="FOLDER", help="the LQ images, named like the GT or with x4, _x4 ... added")
    add("--scale", type=int, metavar="N", help="GT size over LQ size; without --lq the LQ is made at this scale")
    add("--lq-name", metavar="'{}x4'", help="how LQ files are named after GT files, if in no usual way")
    cut = "cut GT that is up to scale - 1 px too large, as evaluation does (with --lq)"
    add("--cut", action="store_true", help=cut)
    share = "share of the images for training, such as 0.9, the others for validation: by their "
    share += "names, so that an image stays on its side when others are added"
    add("--split", type=float, metavar="SHARE", help=share)
    add("--subimages", type=int, metavar="SIZE", help="cut GT into squares of SIZE px (and LQ to match)")
    add("--step", type=int, metavar="PX", help="distance of sub-images (default: half their size)")
    thresh = "add a sub-image at the far edge if over PX px remain (0)"
    add("--thresh", type=int, default=0, metavar="PX", help=thresh)
    small = "images smaller than a sub-image: refuse, leave out, store uncut (error)"
    add("--small", choices=("error", "skip", "whole"), default="error", help=small)
    encoding = "raw pixels, the same in tiles (data larger than memory), compressed, or the files "
    encodings = ("raw", "raw_tiled", "zstd", "png")
    add("--encoding", choices=encodings, default="raw", help=encoding + "as they are (raw)")
    add_shard_options(parser, "convert nothing; say what is missing of N pieces, whose shards are one store")
    add("--workers", type=int, metavar="N", help="images decoded at a time (default: one per CPU)")
    add("--overwrite", action="store_true", help="replace stores that are there already")
    add("--index", action="store_true", help="convert nothing; give the store FOLDER its index, in place")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command, and return its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    options = {name: value for name, value in vars(args).items() if name not in ("folder", "index")}
    if args.index and any(value != parser.get_default(name) for name, value in options.items()):
        parser.error("--index changes the store FOLDER alone, and goes with no other option")
    if not args.index and args.out is None:
        parser.error("the following arguments are required: -o/--out")
    from srtoolbox.data.prepare.convert import add_index, convert
    from srtoolbox.logger import setup_logging

    setup_logging()
    try:
        with parser.option_errors():
            if args.index:
                add_index(args.folder, note=lambda line: print(line, flush=True))
            else:
                convert(args.folder, **options, note=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here")
        return 130
    return 0
