"""The data checker in pieces: each looks at its share of the images and keeps what it sees of them.

What is compared, pairs and duplicates, is compared in the end, over what all pieces have kept.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.audit.near_duplicates import SIDE, ImageHash
from srtoolbox.data.audit.sets import DamagedImage, Inspection, SoundImage, Stock, inspect_images
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.errors import PieceError
from srtoolbox.io.pieces import Journal, Pieces, Shard, stamp_of
from srtoolbox.text import counted


class PieceReport(NamedTuple):
    """The result of one piece: images looked at, those before, a sentence for each fault."""

    shard: Shard
    images: int
    before: int
    faults: list[str]

    def lines(self) -> list[str]:
        """Return the report as text."""
        before = f", {self.before} of them before" if self.before else ""
        number = counted(len(self.faults), "fault") if self.faults else "no faults"
        looked = f"{self.shard}: {counted(self.images, 'image')} looked at{before}: {number}"
        return [*self.faults, looked, f"when all are done, --check-shards {self.shard.count} makes one report of them"]


def pieces_of(stock: Stock, record: str | os.PathLike, count: int) -> Pieces:
    """Return the record of the pieces in which the images of all stores are looked at."""
    items: dict[str, Any] = {}
    names = _names(stock)
    for number, (place, store) in enumerate(stock.stores.items(), 1):
        is_folder = isinstance(store, FolderStore)
        if not is_folder:
            items[f"store {number}"] = store.digest()
        for key in stock.keys[place]:
            items[names[place, key]] = stamp_of(store.source(key)) if is_folder else None
    return Pieces(Path(record), count, {}, items)


def inspect_piece(
    stock: Stock, pieces: Pieces, shard: Shard, *, workers: int | None, progress: Callable[[int, int], None]
) -> PieceReport:
    """Decode the images of a piece, but for those that an earlier call found sound."""
    names = _names(stock)
    own = shard.take(list(names))
    with pieces.begin(shard) as journal:
        todo = [image for image in own if not _is_sound(journal, names[image])]
        done, faults = len(own) - len(todo), []

        for place, store in stock.stores.items():

            def keep(key: str, image: Inspection, place: str = place) -> None:
                nonlocal done
                journal.add(names[place, key], _to_json(image))
                if isinstance(image, DamagedImage):
                    faults.append(image.fault)
                done += 1
                progress(done, len(own))

            keys = [key for each, key in todo if each == place]
            inspect_images(store, keys, workers=workers, keep=keep)
    return PieceReport(shard, len(own), len(own) - len(todo), faults)


def gather(stock: Stock, pieces: Pieces) -> None:
    """Take the inspections of all stores from what the pieces have kept.

    Raises:
        PieceError: pieces that are missing, all named; or see `Pieces.check`.
    """
    pieces.check()
    names = _names(stock)
    images = list(names)
    if missing := pieces.unfinished(lambda shard: [names[image] for image in shard.take(images)]):
        raise PieceError("\n  ".join([f"{len(missing)} of {counted(pieces.count, 'piece')} not done:", *missing]))
    for shard in pieces.shards():
        entries = pieces.entries([shard])
        for place, key in shard.take(images):
            source = stock.stores[place].source(key)
            stock.inspections.setdefault(place, {})[key] = _from_json(entries[names[place, key]], source)
    for place, keys in stock.keys.items():  # in the order of the stores
        stock.inspections[place] = {key: stock.inspections[place][key] for key in keys}


def _names(stock: Stock) -> dict[tuple[str, str], str]:
    """Return the names of the images of all stores in the record, in order, by place and key.

    They are the same whatever a store is called: it has its number among all, a file its own name.
    """
    names = {}
    for number, (place, store) in enumerate(stock.stores.items(), 1):
        for key in stock.keys[place]:
            file = Path(store.file(key)).as_posix() if isinstance(store, FolderStore) else key
            names[place, key] = f"store {number}: {file}"
    return names


def _is_sound(journal: Journal, name: str) -> bool:
    return "thumb" in journal.entries.get(name, {})


def _to_json(image: Inspection) -> dict[str, Any]:
    if isinstance(image, DamagedImage):
        return image._asdict()
    thumb = base64.b64encode(image.hash.thumb.astype("<f2").tobytes()).decode()
    facts = {"shape": list(image.shape), "bits": image.bits}
    return {**facts, "digest": image.hash.digest, "thumb": thumb}


def _from_json(value: dict[str, Any], source: str) -> Inspection:
    """Return an inspection, of whose image this call says `source`."""
    if "thumb" not in value:
        return DamagedImage(source, value["fault"].replace(value["source"], source))
    thumb = np.frombuffer(base64.b64decode(value["thumb"]), "<f2").astype(np.float16).reshape(SIDE, SIDE)
    return SoundImage(source, tuple(value["shape"]), value["bits"], ImageHash(value["digest"], thumb))
