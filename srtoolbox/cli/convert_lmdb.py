"""Convert folders of pictures to LMDB stores, from which training reads far faster.

One folder becomes one store, OUT (NAME.lmdb). A GT folder with its LQ folder (--lq), or with LQ to be made from it by
MATLAB's bicubic (--scale without --lq), becomes OUT/gt.lmdb and OUT/lq.lmdb. All names and sizes are checked before
anything is written. After an interruption run the same command again: it goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser

if TYPE_CHECKING:
    from srtoolbox.data.conversion import Summary
    from srtoolbox.data.plan import Plan, Recipe

EXAMPLE = """examples:
  python tools/convert_lmdb.py datasets/DIV2K/HR -o datasets/DIV2K/HR.lmdb
  python tools/convert_lmdb.py datasets/DIV2K/HR --lq datasets/DIV2K/LR_bicubic/X4 -o datasets/DIV2K_x4
  python tools/convert_lmdb.py datasets/T91 --scale 3 -o datasets/T91_x3"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("convert_lmdb", __doc__, EXAMPLE)
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="pictures (GT, if there are pairs), sub-folders too")
    add("-o", "--out", required=True, metavar="OUT", help="NAME.lmdb or, for pairs, a folder for gt.lmdb and lq.lmdb")
    add("--lq", metavar="FOLDER", help="the LQ pictures, named like the GT or with x4, _x4 ... added")
    add("--scale", type=int, metavar="N", help="GT size over LQ size; without --lq the LQ is made at this scale")
    add("--lq-name", metavar="'{}x4'", help="how LQ files are named after GT files, if in no usual way")
    add("--subimages", type=int, metavar="SIZE", help="cut GT into squares of SIZE px (and LQ to match)")
    add("--step", type=int, metavar="PX", help="distance of sub-images (default: half their size)")
    add(
        "--thresh",
        type=int,
        default=0,
        metavar="PX",
        help="add a sub-image at the far edge if over PX px remain (0)",
    )
    add(
        "--small",
        choices=("error", "skip", "whole"),
        default="error",
        help="pictures smaller than a sub-image: refuse, leave out, store uncut (error)",
    )
    add(
        "--encoding",
        choices=("raw", "raw_tiled", "zstd", "png"),
        default="raw",
        help="raw pixels, the same in tiles (data larger than memory), compressed, or the files as they are (raw)",
    )
    add("--workers", type=int, metavar="N", help="pictures decoded at a time (default: one per CPU)")
    add("--overwrite", action="store_true", help="replace stores that are there already")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse(argv)
    from srtoolbox.data.conversion import convert
    from srtoolbox.data.plan import Recipe, SubImages, make_plan
    from srtoolbox.logger import setup_logging

    setup_logging()
    start = time.perf_counter()
    subimages = args.subimages and SubImages(args.subimages, args.step or args.subimages // 2, args.thresh)
    recipe = Recipe(args.encoding, args.scale, args.lq, args.lq_name, subimages, args.small)
    outputs = _outputs(args.out, recipe)
    plan = make_plan(args.folder, recipe)
    try:
        print(_announcement(plan), flush=True)
        summaries = _with_progress(convert, plan, outputs, workers=args.workers, overwrite=args.overwrite)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here")
        return 130
    _print_summaries(summaries, time.perf_counter() - start)
    if plan.scale is not None:
        gt, lq = outputs
        print(f"in a config: dataset=dict(type='PairedDataset', gt='{gt}', lq='{lq}', scale={plan.scale})")
    return 0


def _outputs(out: str, recipe: Recipe) -> list[str]:
    from srtoolbox.errors import DataError

    pairs = recipe.lq is not None or recipe.scale is not None
    if pairs == out.rstrip("/").endswith(".lmdb"):
        raise DataError(
            f"-o {out}: pairs make two stores, so OUT is a folder for gt.lmdb and lq.lmdb; leave the .lmdb off"
            if pairs
            else f"-o {out}: the name of a store ends in .lmdb (for pairs, add --lq FOLDER or --scale N)"
        )
    return [str(Path(out) / "gt.lmdb"), str(Path(out) / "lq.lmdb")] if pairs else [out]


def _announcement(plan: Plan) -> str:
    text = f"{len(plan.jobs)} pictures"
    if plan.lq is not None:
        text = f"{len(plan.jobs)} pairs at x{plan.scale}, names and sizes checked"
    elif plan.scale is not None:
        text += f", LQ made at x{plan.scale}"
    if plan.cut:
        text += f"; {plan.cut} cut at the right or bottom to multiples of {plan.scale} px"
    if plan.skipped:
        text += f"; {plan.skipped} too small and left out"
    if plan.recipe.subimages is not None:
        text += f"; {len(plan.keys())} sub-images of {plan.recipe.subimages.size} px"
    return text


def _with_progress(convert, plan, outputs, **options) -> list[Summary]:  # noqa: ANN001, ANN003 - the arguments of `convert`
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from srtoolbox.logger import CONSOLE

    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        task = bar.add_task("", total=len(plan.jobs))
        return convert(plan, outputs, progress=lambda done, _: bar.update(task, completed=done), **options)


def _print_summaries(summaries: Sequence[Summary], seconds: float) -> None:
    for summary in summaries:
        reused = f", {summary.reused} of them there already" if summary.reused else ""
        print(f"{summary.path}: {summary.pictures} pictures{reused}, {summary.size / 1e6:.1f} MB")
    print(f"done in {seconds:.1f} s")
