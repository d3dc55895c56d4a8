"""The plan of a conversion to LMDB, checked before anything is written, and the split by names."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import statistics
import unicodedata
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from srtoolbox.data.stores import open_folder
from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.encodings import ENCODINGS, check_encoding
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.pairing import (
    Pair,
    check_readable,
    check_sizes,
    infer_scale,
    pair_keys,
    raise_faults,
    unreadable,
)
from srtoolbox.errors import DataError
from srtoolbox.text import counted

SMALL = ("error", "skip", "whole")


class SubImages(NamedTuple):
    """Squares of GT px, one every `step`; one more at the far edge if over `thresh` px are left."""

    size: int
    step: int
    thresh: int = 0


class Recipe(NamedTuple):
    """The settings of a conversion of a folder, or of a GT folder and its LQ.

    Args:
        encoding: "raw" (pixels: fastest to read), "raw_tiled" (pixels in tiles: a crop is on few
            pages of the disk), "zstd" (compressed pixels) or "png" (image files: smallest).
        scale: GT size over LQ size. Without `lq` the LQ is made (MATLAB bicubic) of GT cut to
            multiples of it; None with `lq` takes the scale that most pairs have.
        lq: path of the LQ folder, or None.
        lq_name: how LQ files are named after GT files, such as '{}x4'; None tries the usual ways.
        subimages: cut GT into squares, and LQ to match; None keeps images whole.
        small: images smaller than a sub-image, or than the scale, are refused ("error") or left out
            ("skip"); "whole" stores those smaller than a sub-image uncut.
        cut: GT with a given LQ may have up to `scale - 1` px more, cut off as in evaluation.
    """

    encoding: str = "raw"
    scale: int | None = None
    lq: str | None = None
    lq_name: str | None = None
    subimages: SubImages | None = None
    small: str = "error"
    cut: bool = False


class Job(NamedTuple):
    """One GT image, with its LQ file if there is one, and the size (H, W) that is stored of it."""

    pair: Pair
    size: tuple[int, int]


class Plan(NamedTuple):
    """A checked conversion: nothing is left that could go wrong but damaged images and the disk.

    `unreadable` has the key (of GT) and a sentence for every file whose size cannot be read,
    `skipped` is the number of images that are too small; all others are converted.
    """

    gt: FolderStore
    lq: FolderStore | None
    scale: int | None
    recipe: Recipe
    jobs: list[Job]
    unreadable: Sequence[tuple[str, str]] = ()
    skipped: int = 0
    mark: Mapping[str, Any] = MappingProxyType({})
    """Of one piece: which one it is, see `mark_of`."""

    @property
    def cut(self) -> int:
        """The number of GT images that are cut to multiples of the scale."""
        return sum(job.size != self.gt.shape(job.pair.gt)[:2] for job in self.jobs)

    def windows(self, job: Job) -> dict[str, Window | None]:
        """Return the GT windows of a job by key; None is the whole image."""
        if self.recipe.subimages is None:
            return {job.pair.gt: None}
        size = self.recipe.subimages.size
        if min(job.size) < size:
            return {f"{job.pair.gt}_s001": None}
        tops, lefts = (_offsets(length, self.recipe.subimages) for length in job.size)
        corners = itertools.product(tops, lefts)
        return {f"{job.pair.gt}_s{n:03d}": Window(*corner, size, size) for n, corner in enumerate(corners, 1)}

    def keys(self) -> list[str]:
        """Return all keys of the finished stores."""
        return [key for job in self.jobs for key in self.windows(job)]


def make_plan(folder: str | os.PathLike, recipe: Recipe) -> Plan:
    """Read all names and sizes and check everything that can be checked before writing.

    Raises DataError for no images, lone ones, sizes that do not fit; all at fault are named.
    """
    if recipe.encoding not in ENCODINGS:
        raise DataError(f"encoding is one of {', '.join(ENCODINGS)}, got {recipe.encoding!r}")
    check_encoding(recipe.encoding, folder)
    if recipe.small not in SMALL:
        raise DataError(f"small is one of {', '.join(SMALL)}, got {recipe.small!r}")
    if recipe.scale is not None and recipe.scale < 1:
        raise DataError(f"scale is a whole number from 1 up, got {recipe.scale}")
    gt, lq = open_folder(folder), None if recipe.lq is None else open_folder(recipe.lq)
    plan = Plan(gt, lq, recipe.scale, recipe, [])
    return _without_small(_of_one_folder(plan) if lq is None else _of_pairs(plan, lq))


def _of_one_folder(plan: Plan) -> Plan:
    """Return the plan with its jobs; LQ, if any, is made from GT cut to multiples of the scale."""
    keys, multiple = list(plan.gt.keys()), plan.scale or 1
    faults = unreadable(plan.gt, keys)
    if len(faults) == len(keys):
        check_readable([(plan.gt, keys)])
    jobs = []
    for key in keys:
        if key not in faults:
            height, width, _ = plan.gt.shape(key)
            jobs.append(Job(Pair(key, key), (height - height % multiple, width - width % multiple)))
    return plan._replace(jobs=jobs, unreadable=list(faults.items()))


def _of_pairs(plan: Plan, lq: FolderStore) -> Plan:
    """Return the plan with its scale and jobs, names and sizes of the pairs checked."""
    gt, recipe = plan.gt, plan.recipe
    gt_faults, lq_faults = (unreadable(store, store.keys()) for store in (gt, lq))
    likely = recipe.scale or _likely_scale(gt, gt_faults, lq, lq_faults)  # for 0001x4
    pairs = pair_keys(gt, lq, likely, recipe.lq_name, option="--lq-name ")
    sound = [pair for pair in pairs if pair.gt not in gt_faults and pair.lq not in lq_faults]
    if not sound:
        check_readable([(gt, gt.keys()), (lq, lq.keys())])
    scale = recipe.scale or infer_scale(gt, lq, sound)
    check_sizes(gt, lq, sound, scale, leftover=recipe.cut)
    shapes = [lq.shape(pair.lq) for pair in sound]
    jobs = [Job(pair, (h * scale, w * scale)) for pair, (h, w, _) in zip(sound, shapes, strict=True)]
    partners = {pair.lq: pair.gt for pair in pairs}
    faults = [*gt_faults.items(), *((partners.get(key, key), fault) for key, fault in lq_faults.items())]
    return plan._replace(scale=scale, jobs=jobs, unreadable=faults)


def _likely_scale(gt: FolderStore, gt_faults: Container[str], lq: FolderStore, lq_faults: Container[str]) -> int:
    heights = [
        [store.shape(key)[0] for key in list(store.keys()) if key not in faults]
        for store, faults in ((gt, gt_faults), (lq, lq_faults))
    ]
    if not all(heights):
        check_readable([(gt, gt.keys()), (lq, lq.keys())])
    return max(1, round(statistics.median(heights[0]) / statistics.median(heights[1])))


def _without_small(plan: Plan) -> Plan:
    """Return the plan without images that are too small, or raise, as `recipe.small` has it."""
    scale, cutting, policy = plan.scale or 1, plan.recipe.subimages, plan.recipe.small
    if cutting is not None and (min(cutting[:2]) < 1 or cutting.size % scale or cutting.step % scale):
        raise DataError(
            f"sub-image size and step must be multiples of the scale {scale}, got {cutting.size} and {cutting.step}"
        )
    least = scale if cutting is None or policy == "whole" else cutting.size
    small = [job for job in plan.jobs if min(job.size) < least]
    if not small:
        return plan
    if policy == "skip" and len(small) < len(plan.jobs):
        kept = [job for job in plan.jobs if min(job.size) >= least]
        return plan._replace(jobs=kept, skipped=len(small))
    keys = [job.pair.gt for job in small]
    what = f"the scale {scale}" if least == scale else f"a sub-image of {least} px"
    advice = "Take a smaller size, or leave them out: --small skip"
    if least != scale:
        advice += "; --small whole stores them uncut"
    raise_faults(
        f"{len(small)} of {counted(len(plan.jobs), 'image')} too small for {what}",
        [f"{plan.gt.source(key)}: {plan.gt.shape(key)[1]}x{plan.gt.shape(key)[0]}" for key in keys],
        advice,
    )


def _offsets(length: int, cutting: SubImages) -> list[int]:
    offsets = list(range(0, length - cutting.size + 1, cutting.step))
    if length - (offsets[-1] + cutting.size) > cutting.thresh:
        offsets.append(length - cutting.size)
    return offsets


# ---- training and validation


def split_plan(plan: Plan, share: float) -> tuple[Plan, Plan]:
    """Return a plan of training and one of validation, divided by `split_keys`."""
    training = set(split_keys([job.pair.gt for job in plan.jobs], share)[0])
    first = [job for job in plan.jobs if job.pair.gt in training]
    second = [job for job in plan.jobs if job.pair.gt not in training]
    return plan._replace(jobs=first), plan._replace(jobs=second, unreadable=())


def place_of(key: str) -> float:
    """Return a number in [0, 1) that follows from an image's name alone, as if drawn by lot.

    Training has the names below the share: new images leave the others where they are. The name is
    its Unicode's composed form, since macOS writes the decomposed one.
    """
    name = unicodedata.normalize("NFC", key).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:6], "big") / 2**48


def split_keys(keys: Sequence[str], share: float) -> tuple[list[str], list[str]]:
    """Split names into training, of which `share` is the share (roughly), and validation.

    Raises DataError for a share not in (0, 1), or (with a better one) if it leaves a side empty.
    """
    if not 0 < share < 1:
        raise DataError(f"the split is the share of training, above 0 and below 1 (such as 0.9), got {share}")
    places = {key: place_of(key) for key in keys}
    parts = [key for key in keys if places[key] < share], [key for key in keys if places[key] >= share]
    if all(parts):
        return parts
    what = "training" if parts[1] else "validation"
    raise DataError(f"a split of {share} leaves none of {counted(len(keys), 'image')} for {what}: {_advice(places)}")


def _advice(places: dict[str, float]) -> str:
    """Return the shares between which both sides get some, to two digits."""
    low = math.ceil(min(places.values()) * 100 + 1e-9) / 100
    high = math.floor(max(places.values()) * 100) / 100
    if low > high:
        return "there are too few to be split by name"
    return f"names decide, and with these any from {low} to {high} gives both sides some"
