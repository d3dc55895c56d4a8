"""The data checker: pairs, damage, duplicates and leaks over all stores of a training and its tests, all at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from srtoolbox.data.audit.inspect import Inspection, inspect_images, statistics_of
from srtoolbox.data.audit.near_duplicates import SAME, Match, matches
from srtoolbox.data.stores.base import Store
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.opening import open_store
from srtoolbox.data.stores.pairing import Pair, match_keys, sizes_fit
from srtoolbox.errors import DataError, MissingDataError
from srtoolbox.text import counted

KINDS = {
    "stores": "stores that cannot be read",
    "damaged": "images that cannot be read",
    "unpaired": "images without a partner",
    "sizes": "pairs whose sizes do not fit",
    "content": "pairs that show different images",
    "identical": "identical images",
    "alike": "images that are the same but for size, compression or flips",
    "leaks": "test images that are in the training data",
}
"""The kinds of faults, in the order of the report, and what they are called."""

Role = Literal["train", "val", "test"]


class DataPart(NamedTuple):
    """One set to check: where it is named, what it is for, and its stores."""

    name: str
    role: Role
    gt: str | None
    lq: str | None = None
    scale: int | None = None
    """GT size over LQ size; None finds it out."""
    lq_name: str | None = None
    max_images: int | None = None
    optional: bool = False
    """True if evaluation would skip it where it is not there."""
    cut: bool = False
    """True if training cuts GT to `scale` times LQ, as evaluation does."""


class Report(NamedTuple):
    """What the checker found."""

    sets: list[dict[str, Any]]
    """Of every set: name, role, and under 'gt' and 'lq' the path and statistics of the store."""
    faults: dict[str, list[str]]
    """By kind, only kinds with faults; a sentence each."""
    notes: list[str]


class _Stock:
    """All stores of all sets, each opened and looked at once however often it is named."""

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {}
        self.wanted: dict[str, dict[str, None]] = {}  # keys, in order
        self.looks: dict[str, dict[str, Inspection]] = {}

    @staticmethod
    def place(path: str) -> str:
        return os.path.realpath(path) if os.path.exists(path) else str(path)

    def add(self, path: str, max_images: int | None, notes: list[str]) -> None:
        place = self.place(path)
        store = self.stores.get(place) or open_store(path, note=notes.append)
        self.stores[place] = store
        self.wanted.setdefault(place, {}).update(dict.fromkeys(store.keys()[:max_images]))

    def of(self, path: str) -> dict[str, Inspection]:
        return self.looks[self.place(path)]

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


def check_data(
    parts: Sequence[DataPart],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check sets and how they relate. Every fault is told, none ends the check.

    Args:
        parts: the sets. Duplicates are looked for over all training sets together and within each validation set, but
            not in test sets, which hold an image at several scales; leaks between the training sets and all others.
        workers: threads that decode; None takes one per CPU.
        progress: called with images done and images in all.
    """
    report = Report([], {kind: [] for kind in KINDS}, [])
    with contextlib.closing(_Stock()) as stock:
        _check_all(parts, stock, report, workers, progress)
    return report._replace(
        faults={kind: list(dict.fromkeys(faults)) for kind, faults in report.faults.items() if faults}
    )


def _check_all(
    parts: Sequence[DataPart],
    stock: _Stock,
    report: Report,
    workers: int | None,
    progress: Callable[[int, int], None],
) -> None:
    present = [part for part in parts if _open(part, stock, report)]
    total, done = sum(map(len, stock.wanted.values())), 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    for place, store in stock.stores.items():
        stock.looks[place] = inspect_images(store, list(stock.wanted[place]), workers=workers, progress=one_more)
        report.faults["damaged"] += [look.fault for look in stock.looks[place].values() if look.fault]
        if isinstance(store, FolderStore):
            for key, look in stock.looks[place].items():
                if not look.fault:
                    store.shape(key)
            report.notes.extend(f"{store.path}: {text}" for text in [store.deep_sentence()] if text)
    for part in present:
        report.sets.append(_described(part, stock))
        if part.gt is not None and part.lq is not None:
            _check_pairs(part, stock, report)
    _find_duplicates(present, stock, report)
    _find_leaks(present, stock, report)


def _open(part: DataPart, stock: _Stock, report: Report) -> bool:
    for path in (part.gt, part.lq):
        if path is None:
            continue
        try:
            stock.add(path, part.max_images, report.notes)
        except DataError as error:
            skipped = part.optional and isinstance(error, MissingDataError)
            told = str(error) if str(error).startswith(part.name) else f"{part.name}: {error}"
            (report.notes if skipped else report.faults["stores"]).append(
                told + ("; evaluation skips it" if skipped else "")
            )
            return False
    return True


def _described(part: DataPart, stock: _Stock) -> dict[str, Any]:
    stores = {role: path for role, path in (("gt", part.gt), ("lq", part.lq)) if path is not None}
    described = {role: {"path": path, **statistics_of(_looks(path, part, stock))} for role, path in stores.items()}
    return {"name": part.name, "role": part.role, "scale": part.scale, **described}


def _looks(path: str, part: DataPart, stock: _Stock) -> list[Inspection]:
    keys = stock.stores[stock.place(path)].keys()[: part.max_images]
    return [stock.of(path)[key] for key in keys]


# ---- pairs


def _check_pairs(part: DataPart, stock: _Stock, report: Report) -> None:
    gt, lq = (stock.stores[stock.place(path)] for path in (part.gt, part.lq))
    gts, lqs = stock.of(part.gt), stock.of(part.lq)
    scale = part.scale or _likely_scale(gts, lqs)
    pairs, lone, strays = match_keys(gt, lq, scale, part.lq_name)
    if part.max_images is None:
        report.faults["unpaired"].extend([*lone, *strays])
    known = [pair for pair in pairs if _sound(gts, pair.gt) and _sound(lqs, pair.lq)]
    ratios = [_ratio(gts[pair.gt], lqs[pair.lq]) for pair in known]
    usual = max(set(ratios), key=ratios.count, default=scale)
    if usual != scale and ratios.count(usual) > len(ratios) / 2:
        report.faults["sizes"].append(
            f"{part.name}: {ratios.count(usual)} of {len(ratios)} pairs are x{usual}, not x{scale}: "
            f"give the right scale, or the right folder ({part.lq})"
        )
        scale = usual
    leftover = part.cut or part.role != "train"
    for pair in known:
        _check_pair(pair, gts[pair.gt], lqs[pair.lq], scale, leftover, report)
    shapes = [(gts[pair.gt].shape, lqs[pair.lq].shape) for pair in known]
    nearly = sum(sizes_fit(*each, scale, leftover=True) and not sizes_fit(*each, scale) for each in shapes)
    if nearly and not leftover:
        report.notes.append(
            f"{part.name}: {counted(nearly, 'GT image')} less than {scale} px too large for its LQ, which evaluation "
            "cuts off at the right and bottom: so do cut=True in a config and convert_lmdb --cut"
        )


def _check_pair(pair: Pair, gt: Inspection, lq: Inspection, scale: int, leftover: bool, report: Report) -> None:
    if not sizes_fit(gt.shape, lq.shape, scale, leftover=leftover):
        (height, width, _), (low, narrow, _) = gt.shape, lq.shape
        report.faults["sizes"].append(
            f"{gt.source}: {width}x{height}, but {lq.source} is {narrow}x{low}, so GT should be "
            f"{narrow * scale}x{low * scale} (width x height)"
        )
    elif (likeness := _likeness(gt, lq)) is not None and likeness < SAME / 2:
        report.faults["content"].append(
            f"{gt.source}: {lq.source} has its name but shows something else (likeness {likeness:.2f})"
        )


def _likeness(first: Inspection, second: Inspection) -> float | None:
    """Correlation of two thumbnails; None where one is flat. Much lower than 1 even for a heavily degraded LQ means
    that the images are different, or shifted.
    """
    planes = [look.print.thumb.astype(np.float32).ravel() for look in (first, second)]
    if min(plane.std() for plane in planes) < 2:
        return None
    return float(np.corrcoef(*planes)[0, 1])


def _sound(looks: Mapping[str, Inspection], key: str) -> bool:
    return key in looks and looks[key].fault is None


def _ratio(gt: Inspection, lq: Inspection) -> int:
    return max(1, round(gt.shape[0] / lq.shape[0]))


def _likely_scale(gts: Mapping[str, Inspection], lqs: Mapping[str, Inspection]) -> int:
    heights = [sorted(look.shape[0] for look in looks.values() if look.shape) for looks in (gts, lqs)]
    if not all(heights):
        return 1
    gt, lq = (each[len(each) // 2] for each in heights)
    return max(1, round(gt / lq))


# ---- the same image twice


def _main_stores(parts: Sequence[DataPart], stock: _Stock) -> list[str]:
    """The stores that duplicates and leaks are looked for in: GT where there is one; each once."""
    return list(dict.fromkeys(stock.place(part.gt or part.lq) for part in parts))


def _sound_looks(places: Sequence[str], stock: _Stock) -> list[Inspection]:
    return [look for place in places for look in stock.looks[place].values() if look.fault is None]


def _find_duplicates(parts: Sequence[DataPart], stock: _Stock, report: Report) -> None:
    training = _main_stores([part for part in parts if part.role == "train"], stock)
    others = _main_stores([part for part in parts if part.role == "val"], stock)
    for places in [training, *([place] for place in others if place not in training)]:
        looks = _sound_looks(places, stock)
        prints = [look.print for look in looks]
        for match in matches(prints):
            first, second = looks[match.first].source, looks[match.second].source
            if match.how == "identical":
                report.faults["identical"].append(f"{first} and {second}")
            else:
                report.faults["alike"].append(f"{first} and {second} ({match.how}, likeness {match.likeness:.3f})")


def _find_leaks(parts: Sequence[DataPart], stock: _Stock, report: Report) -> None:
    training = _main_stores([part for part in parts if part.role == "train"], stock)
    seen = _sound_looks(training, stock)
    for place in _main_stores([part for part in parts if part.role != "train"], stock):
        users = [part for part in parts if part.role != "train" and stock.place(part.gt or part.lq) == place]
        names = ", ".join(part.name for part in users)
        if place in training:
            text = f"{names}: {users[0].gt or users[0].lq} is a training store itself"
            told = all(part.role == "val" for part in users)  # watching the training set while training is a usual wish
            (report.notes if told else report.faults["leaks"]).append(text)
            continue
        looks = _sound_looks([place], stock)
        best: dict[int, Match] = {}  # one fault for a test image, however many copies of it are trained on
        for match in matches([look.print for look in seen], [look.print for look in looks]):
            if match.second not in best or match.likeness > best[match.second].likeness:
                best[match.second] = match
        for match in best.values():
            report.faults["leaks"].append(
                f"{looks[match.second].source}: is {seen[match.first].source} "
                f"({match.how}, likeness {match.likeness:.3f})"
            )
