"""Stores in shards: a folder of LMDBs that are one store, built by several processes or machines.

`train.lmdb/train-00000.lmdb`, `train-00001.lmdb` ... are read as `train.lmdb`, or by a pattern such
as `train.lmdb/train-*.lmdb`: the same keys, in the same order, as of one LMDB with all the images.
A shard that its conversion has marked tells how many there are, and of which whole it is a part.
"""

from __future__ import annotations

import bisect
import glob
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.stores.base import Places, Shape, Store, Window, missing
from srtoolbox.data.stores.index import Names, Texts, entries_at
from srtoolbox.data.stores.lmdb import LmdbStore, is_lmdb
from srtoolbox.data.stores.lmdb_writer import LmdbWriter
from srtoolbox.errors import DataError
from srtoolbox.io.pieces import Shard
from srtoolbox.text import counted

_NAME = re.compile(r"(.*)-(\d{5,})\.lmdb")
_LISTED = 5  # names in a message


class Share(NamedTuple):
    """The part of the shards that one of several ranks reads: every `world`-th, from `rank` on."""

    rank: int
    world: int


def shard_path(path: str | os.PathLike, shard: Shard) -> Path:
    """Return where a piece of a store lies: gt.lmdb/gt-00000.lmdb is the first one of gt.lmdb."""
    return Path(path) / f"{Path(path).stem}-{shard.number - 1:05}.lmdb"


def mark_of(shard: Shard, whole: str) -> dict[str, Any]:
    """Return the entry in a plan by which a shard tells its number, and the whole it belongs to.

    `whole` is any text that all pieces of one conversion share, and others do not.
    """
    return {"shard": [shard.number, shard.count], "whole": whole}


def shard_writer(
    path: str | os.PathLike, plan: Mapping[str, Any], keys: Sequence[str], shard: Shard, whole: str
) -> LmdbWriter:
    """Return the writer of one piece of the store at `path`; see `LmdbWriter`, and `mark_of`."""
    if is_lmdb(Path(path)):
        raise DataError(f"{path}: is a store in one file already. Choose another name")
    return LmdbWriter(shard_path(path, shard), {**plan, **mark_of(shard, whole)}, keys)


def shards_at(path: str | os.PathLike) -> list[str]:
    """Return the paths of the shards in a folder, or that a pattern fits, in order.

    [] if there are none.
    Raises DataError where a folder holds the shards of several stores.
    """
    text = os.fspath(path)
    pattern = text
    if os.path.isdir(text):
        pattern = os.path.join(glob.escape(text), "*.lmdb")
    elif not glob.has_magic(text):
        return []
    paths = sorted(filter(_is_shard, glob.glob(pattern)))
    if len(stems := sorted({_parts(each)[0] for each in paths})) > 1:
        one = os.path.join(os.path.dirname(paths[0]), f"{stems[0]}-*.lmdb")
        raise DataError(f"{path}: there are the shards of several stores ({', '.join(stems)}): choose one, as {one}")
    return paths


class ShardedStore(Store):
    """The shards of one store as one; with a `share`, those of one rank.

    Raises:
        MissingDataError: no shards there.
        DataError: shards that are missing, doubled, unfinished, renamed or of another whole, or
            images that are in two of them; all by their names.
    """

    def __init__(self, path: str | os.PathLike, share: Share | None = None) -> None:
        self.path = os.fspath(path)
        paths = shards_at(path)
        if not paths:
            raise missing(path, "no shards there (NAME-00000.lmdb, NAME-00001.lmdb ...)")
        numbers = [_parts(each)[1] for each in paths]
        if doubled := [number for number, count in Counter(numbers).items() if count > 1]:
            names = ", ".join(each for each, number in zip(paths, numbers, strict=True) if number == doubled[0])
            raise DataError(f"{self.path}: shard {doubled[0]} is there twice: {names}. Remove one of them")
        if share is not None:
            own = [number % share.world == share.rank for number in numbers]
            paths = list(itertools.compress(paths, own))
        self._shards: list[LmdbStore] = []
        try:
            self._shards += map(LmdbStore, paths)
            _check_whole(self.path, self._shards, share)
            self._join()
        except BaseException:
            self.close()
            raise

    def keys(self) -> Sequence[str]:
        return self._keys

    def shape(self, key: str) -> Shape:
        return self._shard_of(key).shape(key)

    def shape_at(self, place: int) -> Shape:
        shard, local = self._locate(place)
        return shard.shape_at(local)

    def shapes(self, places: Places) -> np.ndarray:
        order, ends = self._keys.order, self._keys.ends
        numbers = np.asarray(places) if order is None else entries_at(order, places)
        shapes = np.empty((3, len(numbers)), np.int32).T
        for shard, start, end in zip(self._shards, ends, ends[1:], strict=False):
            of_shard = (numbers >= start) & (numbers < end)
            if of_shard.any():
                shapes[of_shard] = shard.shapes(numbers[of_shard] - start)
        return shapes

    def read(self, key: str, window: Window | None = None) -> np.ndarray:
        return self._shard_of(key).read(key, window)

    def read_at(self, place: int, window: Window | None = None) -> np.ndarray:
        shard, local = self._locate(place)
        return shard.read_at(local, window)

    def source(self, key: str) -> str:
        return self._shard_of(key).source(key)

    def verify(self, key: str) -> None:
        """See `LmdbStore.verify`."""
        self._shard_of(key).verify(key)

    def digest(self) -> str:
        return hashlib.sha256("\n".join(shard.digest() for shard in self._shards).encode("ascii")).hexdigest()

    def rest(self) -> None:
        for shard in self._shards:
            shard.rest()

    def close(self) -> None:
        for shard in self._shards:
            shard.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_keys"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._join()

    def _join(self) -> None:
        self._keys = _Keys([shard.keys() for shard in self._shards])
        if self._keys.twin is not None:
            stores = " and ".join(shard.path for shard in self._shards if self._keys.twin in shard.keys())  # noqa: SIM118
            raise DataError(f"{stores}: both hold {self._keys.twin!r}. Convert one of them again, or remove it")
        self.rest()

    def _shard_of(self, key: str) -> LmdbStore:
        """Return the shard that holds a key."""
        for shard in self._shards:
            if shard.keys().find(key) is not None:
                return shard
        raise DataError(f"{self.path}: has no image {key!r}")

    def _locate(self, place: int) -> tuple[LmdbStore, int]:
        shard, local = self._keys.locate(place)
        return self._shards[shard], local


class _Keys(Names):
    """The keys of all shards, sorted, none of them kept: they stay in the maps of the shards.

    `order` has the places of the keys as if one shard followed another, None where they do;
    `twin` is a key that is there twice, or None.
    """

    def __init__(self, parts: Sequence[Texts]) -> None:
        self._parts, self.ends = parts, [0, *itertools.accumulate(map(len, parts))]
        super().__init__(self.ends[-1], self._key)
        self.order: np.ndarray | None = None
        self.twin: str | None = None
        filled = [part for part in parts if len(part)]
        if any(one.encoded(len(one) - 1) >= other.encoded(0) for one, other in itertools.pairwise(filled)):
            joined = Texts.joined(parts)
            self.order, twins = joined.order()
            self.twin = joined[int(twins[0])] if len(twins) else None

    def packed(self) -> Texts:
        joined = Texts.joined(self._parts)
        return joined if self.order is None else joined.at(self.order)

    def locate(self, place: int) -> tuple[int, int]:
        """Return the shard of a key, and its place there."""
        number = place if self.order is None else self.order.item(place)
        shard = bisect.bisect_right(self.ends, number) - 1
        return shard, number - self.ends[shard]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Keys) and self.ends == other.ends and all(map(Texts.__eq__, self._parts, other._parts)):
            return True
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]

    def _key(self, place: int) -> str:
        shard, local = self.locate(place)
        return self._parts[shard][local]


def _is_shard(path: str) -> bool:
    return _NAME.fullmatch(os.path.basename(path)) is not None and is_lmdb(Path(path))


def _parts(path: str) -> tuple[str, int]:
    """Return the name and the number, from 0 on, of a shard."""
    match = _NAME.fullmatch(os.path.basename(path))
    assert match is not None
    return match[1], int(match[2])


def _check_whole(path: str, shards: Sequence[LmdbStore], share: Share | None) -> None:
    """Raise DataError unless the shards are all that there must be, of one whole."""
    first, step = (0, 1) if share is None else share
    if not shards:
        advice = "make as many shards as there are ranks, or more"
        raise DataError(f"{path}: has no shard for rank {first} of {step}: {advice}")
    kinds = {shard.path: (mark.shard.count, mark.whole) if (mark := shard.mark) else None for shard in shards}
    usual = Counter(kinds.values()).most_common(1)[0][0]
    for shard in shards:
        if shard.mark is not None and shard.mark.shard.number - 1 != _parts(shard.path)[1]:
            raise DataError(f"{shard.path}: was made as {shard.mark.shard}: give it its name again")
        if kinds[shard.path] != usual:
            advice = "Remove it, or convert it again"
            raise DataError(f"{shard.path}: is of another conversion than the other shards. {advice}")
    numbers = {_parts(shard.path)[1] for shard in shards}
    count = usual[0] if usual else max(numbers) + 1
    if lacking := [number for number in range(first, count, step) if number not in numbers]:
        name = _parts(shards[0].path)[0]
        listed = ", ".join(f"{name}-{number:05}.lmdb" for number in lacking[:_LISTED])
        more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
        raise DataError(f"{path}: {len(lacking)} of {counted(count, 'shard')} missing: {listed}{more}")
