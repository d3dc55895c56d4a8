"""Pairs of GT and LQ images by their names, and a check of their sizes; all faults at once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

from srtoolbox.data.stores.base import Shape, Store
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.errors import DataError, ImageError
from srtoolbox.text import counted

_log = logging.getLogger(__name__)
LISTED = 10  # faults of one kind that an error names: a wrong folder makes one of every image

# The names of a pair in usual sets: (GT, LQ), {} being the part that the two share.
# DIV2K's x4, KAIR's _x4, RCAN's, SelfExSR's.
NAMINGS = (
    ("{}", "{}"),
    ("{}", "{}xSCALE"),
    ("{}", "{}_xSCALE"),
    ("{}", "{}_LRBI_xSCALE"),
    ("{}", "{}LRBI_xSCALE"),
    ("{}_HR_xSCALE", "{}_LRBI_xSCALE"),
    ("{}_SRF_SCALE_HR", "{}_SRF_SCALE_LR"),
    ("{}_HR", "{}_LR"),
    ("{}HR", "{}LR"),
)


class Pair(NamedTuple):
    """The keys of one pair; it is stored and listed under `gt`."""

    gt: str
    lq: str


class Matching(NamedTuple):
    """Pairs by name, and a sentence for every GT image (`lone`) and LQ image without a partner."""

    pairs: list[Pair]
    lone: list[str]
    strays: list[str]


def match_keys(gt: Store, lq: Store, scale: int, lq_name: str | None = None, *, option: str = "lq_name=") -> Matching:
    """Match the images of two stores by name, in the order of the GT keys.

    Args:
        scale: GT size over LQ size; it occurs in LQ names such as `0001x4`.
        lq_name: how an LQ key is made of a GT key, such as '{}x4'; DataError without {}. None takes
            the usual naming that fits most images.
        option: the name of `lq_name` in messages.
    """
    namings = [("{}", lq_name)] if lq_name is not None else _usual_namings(scale)
    if lq_name is not None and lq_name.count("{}") != 1:
        form = f"an LQ file's name with {{}} for its GT's, such as '{{}}x{scale}'"
        raise DataError(f"{option.rstrip('= ')} is {form}; got {lq_name!r}")
    gt_keys, lq_keys = gt.keys(), set(lq.keys())
    tried = [{key: partner for key in gt_keys if (partner := _rename(key, *naming)) in lq_keys} for naming in namings]
    best = max(range(len(tried)), key=lambda number: len(tried[number]))  # the first of the best
    partners, (gt_name, lq_template) = tried[best], namings[best]
    lone = [
        f"{gt.source(key)}: no {_rename(key, gt_name, lq_template) or 'image of that name'} in {lq.path}"
        for key in gt_keys
        if key not in partners
    ]
    rest = sorted(lq_keys - set(partners.values()))
    strays = [f"{lq.source(key)}: no GT image of that name in {gt.path}" for key in rest]
    return Matching([Pair(key, partners[key]) for key in gt_keys if key in partners], lone, strays)


def pair_keys(gt: Store, lq: Store, scale: int, lq_name: str | None = None, *, option: str = "lq_name=") -> list[Pair]:
    """Return the pairs of all images of two stores, as `match_keys`.

    Raises DataError for images without a partner; the first ten of each side are named.
    """
    pairs, lone, strays = match_keys(gt, lq, scale, lq_name, option=option)
    if lone or strays:
        number = len(lone) + len(strays)
        advice = f"Add or remove images, or say how LQ files are named ({option}'{{}}x4': the GT's name, then x4)"
        raise_faults(
            f"{counted(number, 'image has', 'images have')} no partner ({gt.path} against {lq.path})",
            [*shortened(lone, "GT images"), *shortened(strays, "LQ images")],
            advice if pairs else f"No name in common: are these the right folders? If they are: {advice}",
            limit=None,
        )
    return pairs


def check_sizes(gt: Store, lq: Store, pairs: Sequence[Pair], scale: int, *, leftover: bool = False) -> None:
    """Check that each GT image is `scale` times its LQ image.

    Args:
        leftover: allow up to `scale - 1` more GT px at right and bottom, which evaluation cuts off.

    Raises:
        DataError: images that cannot be read, or pairs that do not fit (ten with both sizes).
    """
    check_readable([(gt, [pair.gt for pair in pairs]), (lq, [pair.lq for pair in pairs])])
    misfits = [pair for pair in pairs if not _fits(gt, lq, pair, scale, leftover)]
    if misfits:
        nearly = sum(_fits(gt, lq, pair, scale, leftover=True) for pair in misfits)
        raise_faults(
            f"{len(misfits)} of {counted(len(pairs), 'pair does', 'pairs do')} not fit: GT must be {scale} times LQ",
            [size_fault(gt.source(a), gt.shape(a), lq.source(b), lq.shape(b), scale) for a, b in misfits],
            _size_advice(nearly, len(misfits), scale),
        )


def _size_advice(nearly: int, number: int, scale: int) -> str:
    """Return advice on `number` pairs that do not fit, of which evaluation cuts `nearly`."""
    if not nearly:
        return f"Check the scale, cut GT to multiples of it, or make LQ from GT: convert_lmdb GT --scale {scale}"
    few = "All of them have" if nearly == number else f"{nearly} of them {'has' if nearly == 1 else 'have'}"
    return (
        f"{few} less than {scale} px too many, which evaluation cuts off at the right and bottom: so do cut=True in a "
        f"config and convert_lmdb --cut. Or make LQ from GT: convert_lmdb GT --scale {scale}"
    )


def unreadable(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Return the keys of images whose size cannot be read, and why."""
    faults, before = {}, store.deep_sentence() if isinstance(store, FolderStore) else ""
    for key in keys:
        try:
            store.shape(key)
        except ImageError as error:
            faults[key] = str(error)
    if isinstance(store, FolderStore) and (sentence := store.deep_sentence()) != before:  # once
        _log.warning("%s: %s", store.path, sentence)
    return faults


def check_readable(stores: Iterable[tuple[Store, Sequence[str]]]) -> None:
    """Raise DataError, which names every image, if sizes of images of stores cannot be read."""
    faults = [fault for store, keys in stores for fault in unreadable(store, keys).values()]
    if faults:
        summary = f"{counted(len(faults), 'image')} cannot be read"
        raise_faults(summary, faults, "Replace or remove them", limit=None)


def infer_scale(gt: Store, lq: Store, pairs: Sequence[Pair]) -> int:
    """Return the scale that most pairs have."""
    votes = Counter(max(1, round(gt.shape(pair.gt)[0] / lq.shape(pair.lq)[0])) for pair in pairs)
    return max(votes, key=lambda ratio: (votes[ratio], -ratio))


def raise_faults(summary: str, faults: Sequence[str], advice: str, *, limit: int | None = LISTED) -> NoReturn:
    """Raise a DataError that lists the first `limit` faults, one a line; None lists all."""
    listed = faults if limit is None else shortened(faults, limit=limit)
    raise DataError("\n".join([f"{summary}:", *(f"  {fault}" for fault in listed), advice]))


def shortened(faults: Sequence[str], what: str = "", *, limit: int = LISTED) -> list[str]:
    """Return the first `limit` faults, and the number of others (of `what`)."""
    more = len(faults) - limit
    return [*faults[:limit], f"... and {more} more{what and ' '}{what}"] if more > 0 else list(faults)


def _usual_namings(scale: int) -> list[tuple[str, str]]:
    return [(gt.replace("SCALE", str(scale)), lq.replace("SCALE", str(scale))) for gt, lq in NAMINGS]


def _rename(key: str, gt_name: str, lq_name: str) -> str | None:
    """Return the LQ key of a GT key, or None if that does not have the form `gt_name`."""
    folder, slash, name = key.rpartition("/")
    before, after = gt_name.split("{}")
    if len(name) <= len(before) + len(after) or not (name.startswith(before) and name.endswith(after)):
        return None
    return folder + slash + lq_name.replace("{}", name[len(before) : len(name) - len(after)])


def _fits(gt: Store, lq: Store, pair: Pair, scale: int, leftover: bool) -> bool:
    return sizes_fit(gt.shape(pair.gt), lq.shape(pair.lq), scale, leftover=leftover)


def size_fault(gt: str, gt_shape: Shape, lq: str, lq_shape: Shape, scale: int) -> str:
    """Return the sentence on a pair, by names and shapes, that does not fit."""
    (height, width, _), (low, narrow, _) = gt_shape, lq_shape
    should = f"GT should be {narrow * scale}x{low * scale} (width x height)"
    return f"{gt}: {width}x{height}, but {lq} is {narrow}x{low}, so {should}"


def sizes_fit(gt: Shape, lq: Shape, scale: int, *, leftover: bool = False) -> bool:
    """True if GT is `scale` times LQ, or with `leftover` up to `scale - 1` px more each way."""
    allowed = range(scale) if leftover else range(1)
    return gt[0] - lq[0] * scale in allowed and gt[1] - lq[1] * scale in allowed
