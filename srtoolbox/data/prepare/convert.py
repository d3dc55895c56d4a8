"""Folders of images as LMDB stores, by one call that plans, checks, writes and reports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from srtoolbox.data.prepare.pieces import Part, check_pieces, join_pieces, pieces_of, write_piece
from srtoolbox.data.prepare.plan import Plan, Recipe, SubImages, make_plan, split_plan
from srtoolbox.data.prepare.write import Summary, write_all
from srtoolbox.data.stores.lmdb import is_lmdb
from srtoolbox.data.stores.lmdb_writer import write_index
from srtoolbox.data.stores.sharded import shards_at
from srtoolbox.errors import DataError, OptionError
from srtoolbox.io.pieces import RECORD, Pieces, Shard, check_shard_options, count_in
from srtoolbox.logger import progress_bar
from srtoolbox.text import counted

USUAL_CROPS = (48, 96, 192)  # sides, for the sentence on images that are too small for them
LISTED = 10  # groups of identical images that the report names, and images of one group


class StoredPart(NamedTuple):
    """The stores (GT's and, for pairs, LQ's) of all images, or of one side of a split.

    `name` is 'training', 'validation', or '' where nothing is split.
    """

    name: str
    plan: Plan
    stores: list[Summary]

    def __repr__(self) -> str:
        """Return the stores' paths: plan and hashes name every image."""
        paths = ", ".join(str(store.path) for store in self.stores)
        return f"StoredPart({self.name!r}: {paths})"

    @property
    def dataset(self) -> str | None:
        """The dataset for a config, as Python; None for single images."""
        if self.plan.scale is None:
            return None
        gt, lq = (Path(store.path).as_posix() for store in self.stores)
        return f"dict(type='PairedDataset', gt='{gt}', lq='{lq}', scale={self.plan.scale})"


def _in_words(group: Sequence[str]) -> str:
    others = [f"{len(group) - LISTED} more"] if len(group) > LISTED else []
    return " = ".join([*group[:LISTED], *others])


class Conversion(NamedTuple):
    """The result of a conversion."""

    parts: list[StoredPart]
    seconds: float
    piece: Shard | None = None
    """Of a conversion in pieces the one that was done."""

    def __repr__(self) -> str:
        """Return the command's lines: the images one by one would fill a notebook's cell."""
        return "\n".join(self.report())

    @property
    def identical(self) -> list[list[str]]:
        """Groups of images that are the same, pixel for pixel, by their keys."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for part in self.parts:
            for key, hashes in part.stores[0].hashes.items():
                groups.setdefault(hashes, []).append(key)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def on_both_sides(self) -> list[list[str]]:
        """The groups of `identical` that are in training and in validation."""
        if len(self.parts) == 1:
            return []
        keys = [part.stores[0].hashes.keys() for part in self.parts]
        return [group for group in self.identical if all(side & {*group} for side in keys)]

    def report(self) -> list[str]:
        """Return the command's lines: stores, identical images, entries for a config."""
        lines = []
        for store in (store for part in self.parts for store in part.stores):
            reused = f", {store.reused} of them there already" if store.reused else ""
            shards = f" in {counted(store.shards, 'shard')}" if store.shards else ""
            lines.append(f"{store.path}: {counted(store.images, 'image')}{shards}{reused}, {store.size / 1e6:.1f} MB")
        lines.append(f"done in {self.seconds:.1f} s")
        if self.piece is not None:
            advice = f"when all are done, --check-shards {self.piece.count} says so"
            return [*lines, f"{self.piece} is done; {advice}"]
        if groups := [_in_words(group) for group in self.identical]:
            number = sum(len(group) - 1 for group in self.identical)
            listed = groups[:LISTED] + (["..."] if len(groups) > LISTED else [])
            lines.append(f"note: {number} identical to others: {', '.join(listed)}")
            if both := [_in_words(group) for group in self.on_both_sides[:LISTED]]:
                lines.append(f"note: in training and in validation: {', '.join(both)}; remove one of each")
            lines.append("note: check_data finds those too that differ in size, compression or flips")
        for part in self.parts:
            if part.dataset is not None:
                use = f" for {part.name}" if part.name else ""
                lines.append(f"in a config{use}: dataset={part.dataset}")
        return lines


def convert(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    lq: str | os.PathLike[str] | None = None,
    scale: int | None = None,
    lq_name: str | None = None,
    cut: bool = False,
    split: float | None = None,
    subimages: int | None = None,
    step: int | None = None,
    thresh: int = 0,
    small: Literal["error", "skip", "whole"] = "error",
    encoding: Literal["raw", "raw_tiled", "zstd", "png"] = "raw",
    shard: str | tuple[int, int] | None = None,
    check_shards: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    note: Callable[[str], object] = lambda line: None,
) -> Conversion:
    """Convert a folder of images, or a GT folder and its LQ, to LMDB stores, as the command does.

    All names and sizes are checked before anything is written, and a finished store is touched by
    `overwrite` alone. Called again after an interruption it goes on where it stopped.

    Args:
        folder: the images (GT, if there are pairs), sub-folders too.
        out: NAME.lmdb or, for pairs and with `split`, a folder for the stores.
        lq, scale, lq_name, cut, small, encoding: see `Recipe`.
        split: the share of the images for training, such as 0.9; the others are for validation.
        subimages, step, thresh: see `SubImages`; a step of None is half their side.
        shard: (3, 8) or '3/8' converts the third of eight pieces, a shard of each store. Without
            it, pieces that are all done are made one LMDB, in which no image is decoded again.
        check_shards: convert nothing; raise what is missing of so many pieces, or return the whole.
        workers: images decoded at a time (None: one per CPU).
        overwrite: replace finished stores of another conversion.
        note: called with each line on what will be done, before it is, and on what was.

    Raises:
        DamagedImagesError: images that cannot be read, all named; the others are stored.
        DataError: folders or options that cannot be, a store that is there or in use, a full disk.
        PieceError: pieces that are missing, of another number, or with other options or images.
    """
    piece = check_shard_options(shard, check_shards)
    squares = None if subimages is None else SubImages(subimages, step or subimages // 2, thresh)
    folder, out, lq = os.fspath(folder), os.fspath(out), None if lq is None else os.fspath(lq)
    recipe = _possible(Recipe(encoding, scale, lq, lq_name, squares, small, cut))
    outputs, start = _outputs(out, recipe, is_split=split is not None), time.perf_counter()
    plan = make_plan(folder, recipe)
    plans = [plan] if split is None else split_plan(plan, split)
    for line in _announcement(plan, plans):
        note(line)
    count = check_shards or (piece.count if piece else None if overwrite else count_in(Path(out) / RECORD))
    pieces = pieces_of(out, count, plan, split) if count else None
    pairs = list(zip(plans, outputs, strict=True))
    stores = _write(pairs, pieces, piece, workers, overwrite, is_check=check_shards is not None)
    conversion = Conversion(_name_parts(plans, stores), time.perf_counter() - start, piece)
    for line in conversion.report():
        note(line)
    return conversion


def _name_parts(plans: Sequence[Plan], stores: Sequence[list[Summary]]) -> list[StoredPart]:
    names = ["training", "validation"] if len(plans) > 1 else [""]
    return [StoredPart(*part) for part in zip(names, plans, stores, strict=True)]


def add_index(path: str | os.PathLike[str], *, note: Callable[[str], object] = lambda line: None) -> bool:
    """Give a store of an earlier version, or each of its shards, its index; False if all have one.

    See `write_index`, errors too; called again after an interruption, it goes on where it stopped.
    `note` is called with a line for each file.
    """
    paths = [os.fspath(path)] if is_lmdb(Path(path)) else shards_at(path) or [os.fspath(path)]
    are_new = [write_index(each) for each in paths]
    for each, is_new in zip(paths, are_new, strict=True):
        note(f"{each}: {'its index is written' if is_new else 'has its index already'}")
    return any(are_new)


def _possible(recipe: Recipe) -> Recipe:
    """Return a recipe whose settings go together. Raises OptionError."""
    if recipe.cut and recipe.lq is None:
        raise OptionError("cut goes with --lq: LQ that is made is made of GT cut to multiples of the scale")
    return recipe


def _write(
    parts: Sequence[Part],
    pieces: Pieces | None,
    piece: Shard | None,
    workers: int | None,
    overwrite: bool,
    *,
    is_check: bool,
) -> list[list[Summary]]:
    """Write all stores, or those of one piece, or (None) join what all pieces have written.

    A check writes nothing, and returns what is there.
    """
    if pieces is not None and is_check:
        return check_pieces(parts, pieces)
    with progress_bar("converting") as show:
        if pieces is None:
            return write_all(parts, workers=workers, overwrite=overwrite, progress=show)
        if piece is None:
            return join_pieces(parts, pieces, progress=show)
        return write_piece(parts, pieces, piece, workers=workers, overwrite=overwrite, progress=show)


def _outputs(out: str, recipe: Recipe, *, is_split: bool) -> list[list[str]]:
    """Return the stores of the whole, or of training and validation: GT's and, for pairs, LQ's."""
    is_paired = recipe.lq is not None or recipe.scale is not None
    if (is_paired or is_split) == out.rstrip("/\\").endswith(".lmdb"):
        names = "gt.lmdb and lq.lmdb" if is_paired else "train.lmdb and val.lmdb"
        reason = "pairs make" if is_paired else "--split makes"
        raise DataError(
            f"-o {out}: {reason} two stores, so OUT is a folder for {names}; leave the .lmdb off"
            if is_paired or is_split
            else f"-o {out}: the name of a store ends in .lmdb (for pairs, add --lq FOLDER or --scale N)"
        )
    folder = Path(out)
    if not is_paired:
        return [[str(folder / f"{part}.lmdb")] for part in ("train", "val")] if is_split else [[out]]
    folders = [folder / part for part in ("train", "val")] if is_split else [folder]
    return [[str(each / f"{role}.lmdb") for role in ("gt", "lq")] for each in folders]


def _announcement(plan: Plan, parts: Sequence[Plan]) -> list[str]:
    """Return the lines on what will be done, and on the training crops that the images allow."""
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
    lines = [text]
    if len(parts) > 1:
        training, validation = (len(part.jobs) for part in parts)
        lines.append(f"split by name: {training} for training, {validation} for validation")
    return lines if plan.recipe.subimages is not None else [*lines, _fitting_crops(plan)]


def _fitting_crops(plan: Plan) -> str:
    """Return the largest crop that fits all images, and the number too small for usual ones."""
    smallest, scale = min(plan.jobs, key=lambda job: min(job.size)), plan.scale or 1
    (height, width), least = smallest.size, min(smallest.size) // scale * scale
    text = f"gt_size up to {least} px fits all of them (least: {smallest.pair.gt}, {width}x{height})"
    small = {side: sum(min(job.size) < side for job in plan.jobs) for side in USUAL_CROPS}
    counts = ", ".join(f"{side} px {number}" for side, number in small.items() if number)
    return text + (f"; too small for {counts}: see small= of the datasets" if counts else "")
