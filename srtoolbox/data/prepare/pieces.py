"""Conversions in pieces: each writes a shard of each store; a store in shards may become one LMDB.

The share follows from the images' names alone: where some come or go, the others stay in the store
they are in, so that what is converted already is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srtoolbox.data.prepare.plan import Job, Plan
from srtoolbox.data.prepare.write import Progress, Summary, stamp_of_job, write_all
from srtoolbox.data.stores.lmdb import LmdbStore, is_lmdb
from srtoolbox.data.stores.lmdb_writer import Value, remove_store
from srtoolbox.data.stores.sharded import ShardedStore, mark_of, shard_path
from srtoolbox.errors import DataError, PieceError
from srtoolbox.io.pieces import RECORD, Pieces, Shard, all_shards, stamp_of
from srtoolbox.text import counted

Part = tuple[Plan, Sequence[str]]
"""A plan and the paths of its stores: GT's and, for pairs, LQ's."""


def pieces_of(out: str, count: int, plan: Plan, split: float | None) -> Pieces:
    """Return the record of a conversion in pieces; `plan` is of the whole."""
    recipe = plan.recipe._asdict()
    recipe["subimages"] = None if plan.recipe.subimages is None else list(plan.recipe.subimages)
    recipe["lq"] = plan.recipe.lq is not None  # by its files, wherever a machine sees the folder
    items: dict[str, Any] = {}
    for role, store in (("gt", plan.gt), ("lq", plan.lq)):
        if store is not None:
            files = {Path(role, store.file(key)).as_posix(): store.source(key) for key in list(store.keys())}
            items |= {name: stamp_of(source) for name, source in files.items()}
    return Pieces(Path(out) / RECORD, count, {**recipe, "split": split}, items)


def share_of(part: Part, shard: Shard) -> Part:
    """Return what a piece does of a plan, and the paths of its own stores."""
    return shares_of(part, shard.count)[shard.number - 1]


def shares_of(part: Part, count: int) -> list[Part]:
    """Return the shares of all pieces; each image is dealt out once."""
    plan, outputs = part
    settings = repr(plan.recipe._replace(lq=None))  # machines may see the folders elsewhere
    whole = hashlib.sha256(settings.encode()).hexdigest()
    jobs: list[list[Job]] = [[] for _ in range(count)]
    unreadable: list[list[tuple[str, str]]] = [[] for _ in range(count)]
    for job in plan.jobs:
        jobs[_number_of(job.pair.gt, count) - 1].append(job)
    for fault in plan.unreadable:
        unreadable[_number_of(fault[0], count) - 1].append(fault)
    shares: list[Part] = []
    for shard, own, faults in zip(all_shards(count), jobs, unreadable, strict=True):
        paths = [str(shard_path(output, shard)) for output in outputs]
        shares.append((plan._replace(jobs=own, unreadable=faults, mark=mark_of(shard, whole)), paths))
    return shares


def write_piece(
    parts: Sequence[Part], pieces: Pieces, shard: Shard, *, workers: int | None, overwrite: bool, progress: Progress
) -> list[list[Summary]]:
    """Write the stores of one piece; see `write_all`, and `Pieces.begin` for more errors."""
    _refuse_whole(parts)
    with pieces.begin(shard):
        shares = [share_of(part, shard) for part in parts]
        return write_all(shares, workers=workers, overwrite=overwrite, progress=progress)


def check_pieces(parts: Sequence[Part], pieces: Pieces) -> list[list[Summary]]:
    """Return what all pieces have stored: a store in shards for each store of one run.

    Raises:
        PieceError: pieces that are missing, all named; or see `Pieces.check`.
        DataError: a shard that is damaged, or of another conversion.
    """
    _refuse_whole(parts)
    _refuse_missing(parts, pieces)
    with contextlib.ExitStack() as stack:
        reader = _Reader(parts, pieces.count, stack)
        return [[reader.summary(plan, role) for role in range(len(outputs))] for plan, outputs in parts]


def join_pieces(parts: Sequence[Part], pieces: Pieces, *, progress: Progress) -> list[list[Summary]]:
    """Make one LMDB of the shards of each store, then delete them and the record of the pieces.

    Called again after an interruption, it goes on where it stopped.

    Raises:
        PieceError: pieces that are missing, all named; or see `Pieces.check`.
    """
    _refuse_missing([part for part in parts if not _has_begun(part)], pieces)
    with contextlib.ExitStack() as stack:
        reader = _Reader(parts, pieces.count, stack)
        summaries = write_all(parts, workers=1, produce=reader.values, progress=progress)
    for shard, (_, outputs) in ((shard, part) for shard in pieces.shards() for part in parts):
        for path in (shard_path(output, shard) for output in outputs):
            remove_store(path)
            with contextlib.suppress(OSError):  # gone before, or other files are in it
                Path(path).rmdir()
    pieces.remove()
    return summaries


def _refuse_whole(parts: Sequence[Part]) -> None:
    """Raise PieceError where a store is there that is no store in shards."""
    for output in (output for _, outputs in parts for output in outputs):
        if is_lmdb(Path(output)):
            advice = "Use it as it is, choose another name, or remove it and run all pieces again"
            raise PieceError(f"{output}: is one LMDB already, made without pieces or of all of them. {advice}")


def _refuse_missing(parts: Sequence[Part], pieces: Pieces) -> None:
    pieces.check()
    shares = [shares_of(part, pieces.count) for part in parts]
    faults = [_missing([of[shard.number - 1] for of in shares], pieces, shard) for shard in pieces.shards()]
    if missing := [fault for fault in faults if fault]:
        raise PieceError("\n  ".join([f"{len(missing)} of {counted(pieces.count, 'piece')} not done:", *missing]))


def _number_of(key: str, count: int) -> int:
    """Return the number of the piece of an image, from 1 on; independent of the side of a split."""
    name = unicodedata.normalize("NFC", key).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[6:14], "big") % count + 1


def _has_begun(part: Part) -> bool:
    """True if the pieces of a part are being made one store, for which all of them were there."""
    return all(is_lmdb(Path(output)) for output in part[1])


def _missing(shares: Sequence[Part], pieces: Pieces, shard: Shard) -> str:
    """Say what a piece has left to do, or ''."""
    for plan, paths in shares:
        stamps = {key: stamp_of_job(plan, job) for job in plan.jobs for key in plan.windows(job)}
        for path in paths:
            if pieces.is_at_work(shard):
                return f"{shard} is at work"
            if not is_lmdb(Path(path)):
                return f"{shard} has not begun: run {shard.option}"
            try:
                with contextlib.closing(LmdbStore(path)) as store:
                    held = {key: store.entry(key).stamp for key in store.keys()}  # noqa: SIM118 - a store's keys
            except DataError as error:
                return f"{shard}: {error} ({shard.option})"
            if held != stamps:
                return f"{shard}: {path} holds images as they were before: run {shard.option} --overwrite"
    return ""


class _Reader:
    """Reads the stores of all pieces."""

    def __init__(self, parts: Sequence[Part], count: int, stack: contextlib.ExitStack) -> None:
        self._count, self._stack = count, stack
        self._outputs = {id(plan): outputs for plan, outputs in parts}
        self._stores: dict[str, LmdbStore] = {}

    def values(self, plan: Plan, job: Job) -> tuple[list[Value], ...]:
        """Return the values of a job for each store, as its piece has stored them."""
        shard = Shard(_number_of(job.pair.gt, self._count), self._count)
        stores = [self._open(str(shard_path(output, shard))) for output in self._outputs[id(plan)]]
        return tuple([self._value(store, key, shard) for key in plan.windows(job)] for store in stores)

    def summary(self, plan: Plan, role: int) -> Summary:
        """Return the summary of a store in shards: GT's (0) or LQ's (1)."""
        output, hashes = self._outputs[id(plan)][role], {}
        stores = [self._open(str(shard_path(output, shard))) for shard in all_shards(self._count)]
        for job in plan.jobs:
            store = stores[_number_of(job.pair.gt, self._count) - 1]
            entries = [store.entry(key) for key in plan.windows(job)]
            hashes[job.pair.gt] = tuple(f"{list(e.shape)} {e.dtype} {e.sha256}" for e in entries)
        with contextlib.closing(ShardedStore(output)) as whole:
            images, digest = len(whole.keys()), whole.digest()
        size = sum(os.path.getsize(Path(store.path, "data.mdb")) for store in stores)
        return Summary(output, images, 0, size, digest, hashes, len(stores))

    def _open(self, path: str) -> LmdbStore:
        if path not in self._stores:
            self._stores[path] = self._stack.enter_context(contextlib.closing(LmdbStore(path)))
        return self._stores[path]

    @staticmethod
    def _value(store: LmdbStore, key: str, shard: Shard) -> Value:
        try:
            store.verify(key)
        except DataError as error:
            unfinished = Path(store.path).with_name("data.mdb")
            advice = f"remove {unfinished}, which is not finished, and run {shard.option} --overwrite"
            raise DataError(f"{error}: {advice}") from error
        entry = store.entry(key)
        return Value(key, store.value(key), entry.shape, entry.dtype, entry.source, entry.sha256, entry.stamp)
