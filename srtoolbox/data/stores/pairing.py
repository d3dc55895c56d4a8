"""Pairs of GT and LQ images by their names, and a check of their sizes; all faults at once.

A million pairs of two LMDBs are matched and checked as whole columns, not one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn, overload

import numpy as np

from srtoolbox.data.stores.base import Places, Shape, Store
from srtoolbox.data.stores.folder import DecodingStore, FolderStore
from srtoolbox.data.stores.index import Names, Texts, blocks
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


class Pairs(Sequence[Pair]):
    """Pairs by the places of their images among the keys of two stores, `gt` and `lq`."""

    def __init__(self, gt_keys: Sequence[str], lq_keys: Sequence[str], gt: Places, lq: Places) -> None:
        self._gt_keys, self._lq_keys, self.gt, self.lq = gt_keys, lq_keys, gt, lq

    @property
    def gt_keys(self) -> Sequence[str]:
        return Names(len(self), lambda number: self._gt_keys[self.gt[number]])

    @property
    def lq_keys(self) -> Sequence[str]:
        return Names(len(self), lambda number: self._lq_keys[self.lq[number]])

    def __len__(self) -> int:
        return len(self.gt)

    @overload
    def __getitem__(self, number: int) -> Pair: ...
    @overload
    def __getitem__(self, number: slice) -> Pairs: ...
    def __getitem__(self, number: int | slice) -> Pair | Pairs:
        if isinstance(number, slice):
            return Pairs(self._gt_keys, self._lq_keys, self.gt[number], self.lq[number])
        return Pair(self._gt_keys[self.gt[number]], self._lq_keys[self.lq[number]])


class Matching(NamedTuple):
    """Pairs by name, and a sentence for every GT image (`lone`) and LQ image without a partner."""

    pairs: Pairs
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
    gt_keys, lq_keys = gt.keys(), lq.keys()
    tried: list[Places] = []
    for naming in namings:
        tried.append(_partners(gt_keys, lq_keys, naming))
        if _number(tried[-1]) == len(gt_keys):
            break
    # the first of the best
    best = max(range(len(tried)), key=lambda number: _number(tried[number]))
    partners, (gt_name, lq_template) = tried[best], namings[best]
    if isinstance(partners, range):
        return Matching(Pairs(gt_keys, lq_keys, partners, partners), [], [])
    lone = [
        f"{gt.source(key)}: no {_rename(key, gt_name, lq_template) or 'image of that name'} in {lq.path}"
        for key in _picked(gt_keys, partners < 0)
    ]
    paired = np.flatnonzero(partners >= 0)
    pairs = Pairs(gt_keys, lq_keys, paired, partners[paired])
    rest = np.ones(len(lq_keys), bool)
    rest[pairs.lq] = False
    strays = [f"{lq.source(key)}: no GT image of that name in {gt.path}" for key in _picked(lq_keys, rest)]
    return Matching(pairs, lone, strays)


def pair_keys(gt: Store, lq: Store, scale: int, lq_name: str | None = None, *, option: str = "lq_name=") -> Pairs:
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
    gts, lqs = _sides(pairs)
    check_readable([(gt, gts), (lq, lqs)])
    fit, nearly_fit = np.empty((2, len(pairs)), bool)
    for part in blocks(len(pairs)):
        shapes = _shapes(gt, lq, pairs[part])
        fit[part], nearly_fit[part] = (_fit(*shapes, scale, is_cut) for is_cut in (leftover, True))
    misfits = np.flatnonzero(~fit)
    if len(misfits):
        nearly = int(nearly_fit[misfits].sum())

        def fault(number: int) -> str:
            a, b = pairs[number]
            return size_fault(gt.source(a), gt.shape(a), lq.source(b), lq.shape(b), scale)

        raise_faults(
            f"{len(misfits)} of {counted(len(pairs), 'pair does', 'pairs do')} not fit: GT must be {scale} times LQ",
            first_faults(misfits, fault),
            _size_advice(nearly, len(misfits), scale),
            limit=None,
        )


def _sides(pairs: Sequence[Pair]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the keys of GT and of LQ."""
    if isinstance(pairs, Pairs):
        return pairs.gt_keys, pairs.lq_keys
    return [pair.gt for pair in pairs], [pair.lq for pair in pairs]


def _shapes(gt: Store, lq: Store, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Return the shapes (n, 3) of GT and of LQ."""
    if isinstance(pairs, Pairs):
        return gt.shapes(pairs.gt), lq.shapes(pairs.lq)
    gts, lqs = ([store.shape(key) for key in keys] for store, keys in zip((gt, lq), _sides(pairs), strict=True))
    return np.array(gts, np.int32).reshape(-1, 3), np.array(lqs, np.int32).reshape(-1, 3)


def _fit(gt: np.ndarray, lq: np.ndarray, scale: int, leftover: bool) -> np.ndarray:
    """Return `sizes_fit` of shapes (n, 3) each, (n,)."""
    fits = np.ones(len(gt), bool)
    for axis in (0, 1):
        more = gt[:, axis] - lq[:, axis].astype(np.int64) * scale
        fits &= (more >= 0) & (more < (scale if leftover else 1))
    return fits


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
    if not isinstance(store, DecodingStore):  # it has noted all sizes
        return {}
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
    gts, lqs = _shapes(gt, lq, pairs)
    ratios, votes = np.unique(np.maximum(1, np.rint(gts[:, 0] / lqs[:, 0])), return_counts=True)
    return int(ratios[votes.argmax()])  # the least of those that most have


def raise_faults(summary: str, faults: Sequence[str], advice: str, *, limit: int | None = LISTED) -> NoReturn:
    """Raise a DataError that lists the first `limit` faults, one a line; None lists all."""
    listed = faults if limit is None else shortened(faults, limit=limit)
    raise DataError("\n".join([f"{summary}:", *(f"  {fault}" for fault in listed), advice]))


def shortened(faults: Sequence[str], what: str = "", *, limit: int = LISTED) -> list[str]:
    """Return the first `limit` faults, and the number of others (of `what`)."""
    more = len(faults) - limit
    return [*faults[:limit], f"... and {more} more{what and ' '}{what}"] if more > 0 else list(faults)


def first_faults(numbers: np.ndarray, fault: Callable[[int], str]) -> list[str]:
    """Return the sentences on the first of some images, as `shortened` has them."""
    listed = [fault(number) for number in numbers[:LISTED].tolist()]
    more = len(numbers) - len(listed)
    return [*listed, f"... and {more} more"] if more else listed


def _usual_namings(scale: int) -> list[tuple[str, str]]:
    return [(gt.replace("SCALE", str(scale)), lq.replace("SCALE", str(scale))) for gt, lq in NAMINGS]


def _picked(keys: Sequence[str], are_picked: np.ndarray) -> Iterator[str]:
    return (keys[place] for place in np.flatnonzero(are_picked).tolist())


def _number(partners: Places) -> int:
    return len(partners) if isinstance(partners, range) else int((partners >= 0).sum())


def _partners(gt_keys: Sequence[str], lq_keys: Sequence[str], naming: tuple[str, str]) -> Places:
    """Return the place of each GT image's partner, -1 where there is none.

    A range if keys are equal.
    """
    if naming == NAMINGS[0] and gt_keys == lq_keys:
        return range(len(gt_keys))
    packed = [keys.packed() if isinstance(keys, Names) else None for keys in (gt_keys, lq_keys)]
    if packed[0] is not None and packed[1] is not None and all(name.startswith("{}") for name in naming):
        gt_end, lq_end = (name.removeprefix("{}").encode() for name in naming)
        return _partners_by_end(packed[0], packed[1], gt_end, lq_end)
    places = {key: place for place, key in enumerate(lq_keys)}
    return np.array([places.get(_rename(key, *naming) or "", -1) for key in gt_keys])


def _partners_by_end(gt_keys: Texts, lq_keys: Texts, gt_end: bytes, lq_end: bytes) -> np.ndarray:
    """Return `_partners` where an LQ key is a GT key with another end."""
    if not len(gt_keys) or not len(lq_keys):
        return np.full(len(gt_keys), -1)
    rows, lengths = gt_keys.padded()
    lengths = lengths - len(gt_end)  # of what the two share
    # a column before, for what follows a folder's '/'
    rows = np.pad(rows, ((0, 0), (1, len(lq_end))))
    ends = np.maximum(lengths, 0)[:, None] + 1
    fits = (lengths > 0) & (rows[np.arange(len(rows)), np.maximum(lengths, 0)] != ord("/"))
    for text, is_new in ((gt_end, False), (lq_end, True)):
        columns = ends + np.arange(len(text)), np.frombuffer(text, np.uint8)
        if is_new:
            np.put_along_axis(rows, *columns, 1)
        else:
            fits &= (np.take_along_axis(rows, columns[0], 1) == columns[1]).all(1)
            np.put_along_axis(rows, columns[0], np.uint8(0), 1)
    names, others = (np.ascontiguousarray(each) for each in (rows[:, 1:], lq_keys.padded()[0]))
    names, others = (each.view(f"S{each.shape[1]}")[:, 0] for each in (names, others))
    places = np.minimum(np.searchsorted(others, names), len(others) - 1)
    return np.where(fits & (others[places] == names), places, -1)


def _rename(key: str, gt_name: str, lq_name: str) -> str | None:
    """Return the LQ key of a GT key, or None if that does not have the form `gt_name`."""
    folder, slash, name = key.rpartition("/")
    before, after = gt_name.split("{}")
    if len(name) <= len(before) + len(after) or not (name.startswith(before) and name.endswith(after)):
        return None
    return folder + slash + lq_name.replace("{}", name[len(before) : len(name) - len(after)])


def size_fault(gt: str, gt_shape: Shape, lq: str, lq_shape: Shape, scale: int) -> str:
    """Return the sentence on a pair, by names and shapes, that does not fit."""
    (height, width, _), (low, narrow, _) = gt_shape, lq_shape
    should = f"GT should be {narrow * scale}x{low * scale} (width x height)"
    return f"{gt}: {width}x{height}, but {lq} is {narrow}x{low}, so {should}"


def sizes_fit(gt: Shape, lq: Shape, scale: int, *, leftover: bool = False) -> bool:
    """True if GT is `scale` times LQ, or with `leftover` up to `scale - 1` px more each way."""
    allowed = range(scale) if leftover else range(1)
    return gt[0] - lq[0] * scale in allowed and gt[1] - lq[1] * scale in allowed
