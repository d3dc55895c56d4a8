"""The data checker: pairs, damage, duplicates and leaks over all stores of a training."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.audit.near_duplicates import SAME, Match, find_near_duplicates
from srtoolbox.data.audit.pieces import PieceReport, gather, inspect_piece, pieces_of
from srtoolbox.data.audit.sets import (
    DamagedImage,
    DataPart,
    Inspection,
    SoundImage,
    Stock,
    inspect_images,
    sound_images,
    statistics_of,
)
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.pairing import match_keys, size_fault, sizes_fit
from srtoolbox.errors import DataError, MissingDataError
from srtoolbox.io.pieces import Shard
from srtoolbox.text import counted

KINDS = {  # of faults, in the order of the report, with their headings
    "stores": "stores that cannot be read",
    "damaged": "images that cannot be read",
    "unpaired": "images without a partner",
    "sizes": "pairs whose sizes do not fit",
    "content": "pairs that show different images",
    "identical": "identical images",
    "alike": "images that are the same but for size, compression or flips",
    "leaks": "test images that are in the training data",
}


class DataReport(NamedTuple):
    """The result of `check_data`: faults by kind, only kinds with faults, a sentence each.

    Of every set: name, role, and under 'gt' and 'lq' the path and statistics of the store.
    """

    sets: list[dict[str, Any]]
    faults: dict[str, list[str]]
    notes: list[str]

    def number_of_faults(self, allowed: Collection[str] = ()) -> int:
        """Return the number of faults but for those of the kinds that are allowed."""
        return sum(len(faults) for kind, faults in self.faults.items() if kind not in allowed)

    def lines(self, allowed: Collection[str] = ()) -> list[str]:
        """Return the report as text; kinds that are allowed are marked."""
        sides = [(each, role) for each in self.sets for role in ("gt", "lq") if role in each]
        lines = [_store_line(each, role) for each, role in sides]
        lines += [f"note: {note}" for note in self.notes]
        for kind, faults in self.faults.items():
            is_allowed = ", allowed" if kind in allowed else ""
            lines.append(f"\n{KINDS[kind]} ({kind}{is_allowed}): {len(faults)}")
            lines += ["  " + fault.replace("\n", "\n  ") for fault in faults]
        stores = {each[role]["path"]: each[role] for each, role in sides}
        images = counted(sum(store["pictures"] for store in stores.values()), "image")
        number = self.number_of_faults()
        result = f"{number} fault{'s' if number != 1 else ''}" if number else "no faults"
        return [*lines, f"\n{images} in {counted(len(stores), 'store')}: {result}"]


def _store_line(each: dict[str, Any], role: str) -> str:
    store = each[role]
    text = f"{each['role']:5} {role} {store['path']}: {store['pictures']} images"
    if "width" not in store:
        return text
    axes = [(name, store[name]) for name in ("width", "height")]
    sides = [f"{name} {s['min']} / {s['median']} / {s['max']}" for name, s in axes]
    channels = " and ".join(f"{n} {'gray' if c == 1 else 'colour'}" for c, n in store["channels"].items())
    bits = " and ".join(f"{b} bit" for b in store["bits"])
    return f"{text}, {', '.join(sides)} (least / median / most), {channels}, {bits}"


def check_data(
    parts: Sequence[DataPart],
    *,
    record: str | os.PathLike | None = None,
    check_shards: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DataReport:
    """Check sets and how they relate. Every fault is reported, none ends the check.

    Duplicates are looked for over all training sets together and within each validation set, but
    not in test sets, which hold an image at several scales; leaks between the training sets and
    all others. `workers` threads decode (None: one per CPU); `progress` is called with images done
    and images in all. With `check_shards` no image
    is decoded: what so many pieces (`check_piece`) have kept in `record` is taken.

    Raises:
        PieceError: pieces that are missing, of another number or of other images.
    """
    report = DataReport([], {kind: [] for kind in KINDS}, [])
    with contextlib.closing(Stock()) as stock:
        present = [part for part in parts if _open(part, stock, report)]
        if check_shards is None or record is None:
            _inspect(stock, workers, progress)
        else:
            gather(stock, pieces_of(stock, record, check_shards))
        _note_damage(stock, report)
        for part in present:
            report.sets.append(_described(part, stock))
            if part.gt is not None and part.lq is not None:
                _check_pairs(part, part.gt, part.lq, stock, report)
        _find_duplicates(present, stock, report)
        _find_leaks(present, stock, report)
    return report._replace(
        faults={kind: list(dict.fromkeys(faults)) for kind, faults in report.faults.items() if faults}
    )


def _open(part: DataPart, stock: Stock, report: DataReport) -> bool:
    for path in (part.gt, part.lq):
        if path is None:
            continue
        try:
            stock.add(path, part.max_images, report.notes)
        except DataError as error:
            text = str(error) if str(error).startswith(part.name) else f"{part.name}: {error}"
            if part.optional and isinstance(error, MissingDataError):
                report.notes.append(f"{text}; evaluation skips it")
            else:
                report.faults["stores"].append(text)
            return False
    return True


def check_piece(
    parts: Sequence[DataPart],
    shard: Shard,
    record: str | os.PathLike,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PieceReport:
    """Look at the images of one piece of several; called again after an interruption, it goes on.

    Args:
        shard: the piece.
        record: the folder of all pieces; made if need be.
        workers, progress: see `check_data`.

    Raises:
        PieceError: see `Pieces.begin`.
    """
    report = DataReport([], {kind: [] for kind in KINDS}, [])
    with contextlib.closing(Stock()) as stock:
        for part in parts:
            _open(part, stock, report)
        pieces = pieces_of(stock, record, shard.count)
        done = inspect_piece(stock, pieces, shard, workers=workers, progress=progress)
    return done._replace(faults=[*report.faults["stores"], *done.faults])


def _inspect(stock: Stock, workers: int | None, progress: Callable[[int, int], None]) -> None:
    """Decode the images of all stores."""
    total, done = sum(map(len, stock.keys.values())), 0

    def count(key: str, image: Inspection) -> None:
        nonlocal done
        done += 1
        progress(done, total)

    for place, store in stock.stores.items():
        stock.inspections[place] = inspect_images(store, list(stock.keys[place]), workers=workers, keep=count)


def _note_damage(stock: Stock, report: DataReport) -> None:
    """Report the images that cannot be read, and those that are read as 8 bits."""
    for place, store in stock.stores.items():
        images = stock.inspections[place]
        damaged = [each for each in images.values() if isinstance(each, DamagedImage)]
        report.faults["damaged"] += [each.fault for each in damaged]
        if isinstance(store, FolderStore):
            for key, image in images.items():
                if isinstance(image, SoundImage):
                    store.shape(key)
            if sentence := store.deep_sentence():
                report.notes.append(f"{store.path}: {sentence}")


def _described(part: DataPart, stock: Stock) -> dict[str, Any]:
    described: dict[str, Any] = {"name": part.name, "role": part.role, "scale": part.scale}
    for role, path in (("gt", part.gt), ("lq", part.lq)):
        if path is not None:
            store, images = stock.look_up(path)
            described[role] = {"path": path, **statistics_of([images[key] for key in store.keys()[: part.max_images]])}
    return described


# ---- pairs


def _check_pairs(part: DataPart, gt: str, lq: str, stock: Stock, report: DataReport) -> None:
    (gt_store, gts), (lq_store, lqs) = stock.look_up(gt), stock.look_up(lq)
    scale = part.scale or _likely_scale(gts, lqs)
    pairs, lone, strays = match_keys(gt_store, lq_store, scale, part.lq_name)
    if part.max_images is None:
        report.faults["unpaired"].extend([*lone, *strays])
    both = [(gts.get(pair.gt), lqs.get(pair.lq)) for pair in pairs]
    sound = [(a, b) for a, b in both if isinstance(a, SoundImage) and isinstance(b, SoundImage)]
    ratios = [max(1, round(first.shape[0] / second.shape[0])) for first, second in sound]
    usual = max(set(ratios), key=ratios.count, default=scale)
    if usual != scale and ratios.count(usual) > len(ratios) / 2:
        report.faults["sizes"].append(
            f"{part.name}: {ratios.count(usual)} of {len(ratios)} pairs are x{usual}, not "
            f"x{scale}: give the right scale, or the right folder ({lq})"
        )
        scale = usual
    leftover = part.cut or part.role != "train"
    nearly = 0
    for first, second in sound:
        _check_pair(first, second, scale, leftover, report)
        sizes = first.shape, second.shape
        nearly += sizes_fit(*sizes, scale, leftover=True) and not sizes_fit(*sizes, scale)
    if nearly and not leftover:
        report.notes.append(
            f"{part.name}: {counted(nearly, 'GT image')} less than {scale} px too large for its LQ, which evaluation "
            "cuts off at the right and bottom: so do cut=True in a config and convert_lmdb --cut"
        )


def _check_pair(gt: SoundImage, lq: SoundImage, scale: int, leftover: bool, report: DataReport) -> None:
    if not sizes_fit(gt.shape, lq.shape, scale, leftover=leftover):
        report.faults["sizes"].append(size_fault(gt.source, gt.shape, lq.source, lq.shape, scale))
    elif (likeness := _likeness(gt, lq)) is not None and likeness < SAME / 2:
        report.faults["content"].append(
            f"{gt.source}: {lq.source} has its name but shows something else (likeness {likeness:.2f})"
        )


def _likeness(first: SoundImage, second: SoundImage) -> float | None:
    """Return the correlation of two thumbnails, below 1 if they differ; None if one is flat."""
    one, other = (image.hash.thumb.astype(np.float32).ravel() for image in (first, second))
    if min(one.std(), other.std()) < 2:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _likely_scale(gts: Mapping[str, Inspection], lqs: Mapping[str, Inspection]) -> int:
    heights = [sorted(image.shape[0] for image in sound_images(images.values())) for images in (gts, lqs)]
    if not all(heights):
        return 1
    gt, lq = (each[len(each) // 2] for each in heights)
    return max(1, round(gt / lq))


# ---- the same image twice


def _find_duplicates(parts: Sequence[DataPart], stock: Stock, report: DataReport) -> None:
    training = stock.main_stores([part for part in parts if part.role == "train"])
    others = stock.main_stores([part for part in parts if part.role == "val"])
    for places in [training, *([place] for place in others if place not in training)]:
        images = stock.sound(places)
        for match in find_near_duplicates([image.hash for image in images]):
            first, second = images[match.first].source, images[match.second].source
            if match.how == "identical":
                report.faults["identical"].append(f"{first} and {second}")
            else:
                report.faults["alike"].append(f"{first} and {second} ({match.how}, likeness {match.likeness:.3f})")


def _find_leaks(parts: Sequence[DataPart], stock: Stock, report: DataReport) -> None:
    training = stock.main_stores([part for part in parts if part.role == "train"])
    trained = stock.sound(training)
    others = [part for part in parts if part.role != "train"]
    for place in stock.main_stores(others):
        users = [part for part in others if stock.place(part.main) == place]
        if place in training:
            text = f"{', '.join(part.name for part in users)}: {users[0].main} is a training store itself"
            # watching the training set while training is a usual wish
            is_watched = all(part.role == "val" for part in users)
            (report.notes if is_watched else report.faults["leaks"]).append(text)
            continue
        images = stock.sound([place])
        matches = find_near_duplicates([image.hash for image in trained], [image.hash for image in images])
        best: dict[int, Match] = {}  # one fault for a test image
        for match in matches:
            if match.second not in best or match.likeness > best[match.second].likeness:
                best[match.second] = match
        for match in best.values():
            report.faults["leaks"].append(
                f"{images[match.second].source}: is {trained[match.first].source} "
                f"({match.how}, likeness {match.likeness:.3f})"
            )
