"""Convert folders of images to LMDB stores, from which training reads far faster.

One folder becomes one store, OUT (NAME.lmdb). A GT folder with its LQ folder (--lq), or with LQ to be made from it by
MATLAB's bicubic (--scale without --lq), becomes OUT/gt.lmdb and OUT/lq.lmdb. With --split training and validation get
stores of their own. All names and sizes are checked before anything is written; damaged files are named at the end, all
of them. After an interruption run the same command again: it goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser
from srtoolbox.text import counted

if TYPE_CHECKING:
    from srtoolbox.data.prepare.convert import Summary
    from srtoolbox.data.prepare.plan import Plan, Recipe

SUMMARY = "convert folders of images to LMDB, pairs verified"
EXAMPLE = """examples:
  python tools/convert_lmdb.py datasets/DIV2K/HR -o datasets/DIV2K/HR.lmdb
  python tools/convert_lmdb.py datasets/DIV2K/HR --lq datasets/DIV2K/LR_bicubic/X4 -o datasets/DIV2K_x4
  python tools/convert_lmdb.py datasets/T91 --scale 3 -o datasets/T91_x3
  python tools/convert_lmdb.py datasets/T91 --scale 3 --split 0.8 -o datasets/T91_split"""
USUAL_CROPS = (48, 96, 192)
"""Sides of training crops to say of which images are too small for them."""
LISTED = 10
"""How many groups of identical images are named."""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("convert_lmdb", __doc__, EXAMPLE)
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="images (GT, if there are pairs), sub-folders too")
    add(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="NAME.lmdb or, for pairs and with --split, a folder for the stores",
    )
    add("--lq", metavar="FOLDER", help="the LQ images, named like the GT or with x4, _x4 ... added")
    add("--scale", type=int, metavar="N", help="GT size over LQ size; without --lq the LQ is made at this scale")
    add("--lq-name", metavar="'{}x4'", help="how LQ files are named after GT files, if in no usual way")
    add(
        "--cut",
        action="store_true",
        help="cut GT that is up to scale - 1 px too large, as evaluation does (with --lq)",
    )
    add(
        "--split",
        type=float,
        metavar="SHARE",
        help="share of the images for training, such as 0.9, the others for validation: by their names, so that an "
        "image stays on its side when others are added",
    )
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
        help="images smaller than a sub-image: refuse, leave out, store uncut (error)",
    )
    add(
        "--encoding",
        choices=("raw", "raw_tiled", "zstd", "png"),
        default="raw",
        help="raw pixels, the same in tiles (data larger than memory), compressed, or the files as they are (raw)",
    )
    add("--workers", type=int, metavar="N", help="images decoded at a time (default: one per CPU)")
    add("--overwrite", action="store_true", help="replace stores that are there already")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.cut and args.lq is None:
        parser.error("--cut goes with --lq: LQ that is made is made of GT cut to multiples of the scale")
    from srtoolbox.data.prepare.plan import Recipe, SubImages, make_plan, split_plan
    from srtoolbox.logger import setup_logging

    setup_logging()
    start = time.perf_counter()
    subimages = args.subimages and SubImages(args.subimages, args.step or args.subimages // 2, args.thresh)
    recipe = Recipe(args.encoding, args.scale, args.lq, args.lq_name, subimages, args.small, args.cut)
    outputs = _outputs(args.out, recipe, is_split=args.split is not None)
    plan = make_plan(args.folder, recipe)
    plans = [plan] if args.split is None else split_plan(plan, args.split)
    parts = list(zip(plans, outputs, strict=True))
    try:
        _announce(plan, plans)
        summaries = _with_progress(parts, workers=args.workers, overwrite=args.overwrite)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here")
        return 130
    _print_summaries(summaries, time.perf_counter() - start)
    _print_identical(parts, summaries)
    _print_datasets(parts)
    return 0


def _outputs(out: str, recipe: Recipe, *, is_split: bool) -> list[list[str]]:
    """The stores of the whole, or of training and validation: GT's and, for pairs, LQ's."""
    from srtoolbox.errors import DataError

    pairs = recipe.lq is not None or recipe.scale is not None
    if (pairs or is_split) == out.rstrip("/\\").endswith(".lmdb"):
        names = "gt.lmdb and lq.lmdb" if pairs else "train.lmdb and val.lmdb"
        who = "pairs make" if pairs else "--split makes"
        raise DataError(
            f"-o {out}: {who} two stores, so OUT is a folder for {names}; leave the .lmdb off"
            if pairs or is_split
            else f"-o {out}: the name of a store ends in .lmdb (for pairs, add --lq FOLDER or --scale N)"
        )
    folder = Path(out)
    if not pairs:
        return [[str(folder / f"{part}.lmdb")] for part in ("train", "val")] if is_split else [[out]]
    folders = [folder / part for part in ("train", "val")] if is_split else [folder]
    return [[str(each / f"{role}.lmdb") for role in ("gt", "lq")] for each in folders]


def _announce(plan: Plan, plans: Sequence[Plan]) -> None:
    """Print what will be done, and which training crops the images allow."""
    print(_announcement(plan))
    if len(plans) > 1:
        print("split by name: {} for training, {} for validation".format(*(len(part.jobs) for part in plans)))
    if plan.recipe.subimages is None:
        print(_crops_that_fit(plan))
    sys.stdout.flush()


def _announcement(plan: Plan) -> str:
    text = counted(len(plan.jobs), "image")
    if plan.lq is not None:
        text = f"{counted(len(plan.jobs), 'pair')} at x{plan.scale}, names and sizes checked"
    elif plan.scale is not None:
        text += f", LQ made at x{plan.scale}"
    if plan.cut:
        text += f"; {plan.cut} cut at the right or bottom to multiples of {plan.scale} px"
    if plan.skipped:
        text += f"; {plan.skipped} too small and left out"
    if plan.unreadable:
        text += f"; {len(plan.unreadable)} more cannot be read"
    if plan.recipe.subimages is not None:
        text += f"; {len(plan.keys())} sub-images of {plan.recipe.subimages.size} px"
    return text


def _crops_that_fit(plan: Plan) -> str:
    """The largest training crop that all images have, and how many are too small for the usual ones."""
    jobs, scale = sorted(plan.jobs, key=lambda job: min(job.size)), plan.scale or 1
    (height, width), least = jobs[0].size, min(jobs[0].size)
    text = f"gt_size up to {least // scale * scale} px fits all of them (least: {jobs[0].pair.gt}, {width}x{height})"
    small = {side: sum(min(job.size) < side for job in jobs) for side in USUAL_CROPS}
    counts = ", ".join(f"{side} px {count}" for side, count in small.items() if count)
    return text + (f"; too small for {counts}: see small= of the datasets" if counts else "")


def _with_progress(parts: Sequence[tuple[Plan, list[str]]], **options: Any) -> list[Summary]:  # noqa: ANN401
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from srtoolbox.data.prepare.convert import convert_all
    from srtoolbox.logger import CONSOLE

    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        task = bar.add_task("", total=None)
        return convert_all(parts, progress=lambda done, total: bar.update(task, completed=done, total=total), **options)


def _print_summaries(summaries: Sequence[Summary], seconds: float) -> None:
    for summary in summaries:
        reused = f", {summary.reused} of them there already" if summary.reused else ""
        print(f"{summary.path}: {counted(summary.images, 'image')}{reused}, {summary.size / 1e6:.1f} MB")
    print(f"done in {seconds:.1f} s")


def _print_identical(parts: Sequence[tuple[Plan, list[str]]], summaries: Sequence[Summary]) -> None:
    """Images that are the same, pixel for pixel; worse if they are on both sides of a split."""
    from srtoolbox.data.prepare.convert import identical_images

    of_gt = summaries[:: len(parts[0][1])]
    groups = identical_images(of_gt)
    if not groups:
        return
    count = sum(len(group) - 1 for group in groups)
    listed = [" = ".join(group) for group in groups[:LISTED]] + (["..."] if len(groups) > LISTED else [])
    print(f"note: {count} identical to others: {', '.join(listed)}")
    both = [group for group in groups if all(summary.hashes.keys() & {*group} for summary in of_gt)]
    if len(of_gt) > 1 and both:
        print(f"note: in training and in validation: {', '.join(map(' = '.join, both[:LISTED]))}; remove one of each")
    print("note: check_data finds those too that differ in size, compression or flips")


def _print_datasets(parts: Sequence[tuple[Plan, list[str]]]) -> None:
    for name, (plan, outputs) in zip(("training", "validation"), parts, strict=False):
        if plan.scale is not None:
            gt, lq = (Path(path).as_posix() for path in outputs)
            use = f" for {name}" if len(parts) > 1 else ""
            print(f"in a config{use}: dataset=dict(type='PairedDataset', gt='{gt}', lq='{lq}', scale={plan.scale})")
