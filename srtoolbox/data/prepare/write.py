"""From image files to LMDB stores: decoding in parallel, writing in order.

Each file is decoded once; a made LQ and all sub-images come from that one decoded image. Decoding,
shrinking and hashing happen in threads (the codecs release Python's lock): to send pixels from
process to process would cost as much as a tenth of the decoding.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.prepare.plan import Job, Plan
from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.encodings import encode
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.lmdb_writer import COMMIT_BYTES, LmdbWriter, Value, remove_store
from srtoolbox.errors import DataError, ImageError
from srtoolbox.image import read_image
from srtoolbox.image.file_types import START_BYTES, kind_of
from srtoolbox.io.threads import count_threads, map_ahead
from srtoolbox.resize import imresize
from srtoolbox.text import counted

AHEAD = 8  # images that may wait, decoded, while others are written to the disk
Progress = Callable[[int, int], None]
"""Called with images done and images in all."""
Produce = Callable[[Plan, Job], tuple[list[Value], ...]]
"""Returns the values of a job for each store."""


class DamagedImagesError(DataError):
    """Images that could not be read, a sentence each; all others are stored."""

    def __init__(self, images: Sequence[str]) -> None:
        self.images = list(images)
        advice = "All others are stored. Replace or remove these and run the same command again"
        summary = f"{counted(len(images), 'image')} cannot be read:"
        super().__init__("\n".join([summary, *(f"  {image}" for image in images), advice]))


class Summary(NamedTuple):
    """The result of a conversion for one store.

    `size` is in bytes; `hashes` has, by the key of each source, the hashes of what is stored of it;
    `shards` is the number of LMDBs of a store in shards, 0 where it is one LMDB.
    """

    path: str
    images: int
    reused: int
    size: int
    digest: str
    hashes: Mapping[str, tuple[str, ...]]
    shards: int = 0


def write_stores(
    plan: Plan,
    outputs: Sequence[str | os.PathLike],
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
    map_size: int | None = None,
    produce: Produce | None = None,
) -> list[Summary]:
    """Carry out a plan; called again after an interruption, it goes on where it stopped.

    Args:
        outputs: path of the GT store and, if the plan has LQ, of the LQ store.
        workers, overwrite: see `convert`, errors too.
        progress: called after every image.
        map_size: see `LmdbWriter`.
        produce: what makes the values of a job, called in `workers` threads; None reads its files.
    """
    threads = count_threads(workers)  # refuses a wrong number before anything is removed
    if overwrite:
        for path in outputs:
            remove_store(path)
    writers: list[LmdbWriter] = []
    try:
        for role, path in zip(("gt", "lq"), outputs, strict=False):
            writers.append(LmdbWriter(path, _description(plan, role), plan.keys(), map_size=map_size))
        todo = [job for job in plan.jobs if not _is_done(plan, job, writers)]
        if todo and any(writer.complete for writer in writers):
            raise DataError(
                f"{outputs[0]}: finished, but {counted(len(todo), 'image has', 'images have')} "
                "changed since, or its partner is gone. Convert again with --overwrite"
            )
        reused = len(plan.keys()) - sum(len(plan.windows(job)) for job in todo)
        _fill(plan, todo, writers, partial(produce or _produce, plan), threads, progress)
        return [_summary(plan, writer, reused) for writer in writers]
    finally:
        for writer in writers:
            writer.close()


def _fill(
    plan: Plan,
    todo: Sequence[Job],
    writers: Sequence[LmdbWriter],
    produce: Callable[[Job], tuple[list[Value], ...]],
    workers: int,
    progress: Progress,
) -> None:
    pending: list[list[Value]] = [[] for _ in writers]
    damaged = [fault for _, fault in plan.unreadable]

    def commit() -> None:
        for writer, values in zip(writers, pending, strict=True):
            if values:
                writer.add(values)
                values.clear()

    with contextlib.closing(map_ahead(produce, todo, threads=workers, ahead=AHEAD)) as producing:
        for done, (_, produced) in enumerate(producing, start=len(plan.jobs) - len(todo) + 1):
            try:
                for values, new in zip(pending, produced.result(), strict=True):
                    values += new
            except DamagedImagesError as error:
                damaged += error.images
            if sum(len(value.data) for values in pending for value in values) >= COMMIT_BYTES:
                commit()
            progress(done, len(plan.jobs))
    commit()
    if damaged:
        raise DamagedImagesError(damaged)


def _produce(plan: Plan, job: Job) -> tuple[list[Value], ...]:
    """Return the values of one job for each store."""
    stamp = stamp_of_job(plan, job)
    gt, lq = _read(plan, job)
    gt = gt[: job.size[0], : job.size[1]]
    sources = [(plan.gt, job.pair.gt, gt, 1)]
    if plan.scale is not None:
        store, key = (plan.gt, job.pair.gt) if plan.lq is None else (plan.lq, job.pair.lq)
        if lq is None:
            lq = imresize(gt, size=(job.size[0] // plan.scale, job.size[1] // plan.scale))
        sources.append((store, key, lq, plan.scale))
    values: tuple[list[Value], ...] = tuple([] for _ in sources)
    for key, window in plan.windows(job).items():
        for stored, (store, source, image, factor) in zip(values, sources, strict=True):
            part = image if window is None else Window(*(n // factor for n in window)).cut(image)
            stored.append(_value(plan, store, source, key, part, stamp))
    return values


def _read(plan: Plan, job: Job) -> tuple[np.ndarray, np.ndarray | None]:
    """Return GT and, where it is given, LQ. Raises DamagedImagesError, which names both."""
    images, faults = [], []
    for store, key in ((plan.gt, job.pair.gt), (plan.lq, job.pair.lq)):
        if store is None:
            continue
        try:
            image = read_image(store.source(key))
            if image.shape != store.shape(key):
                raise ImageError(f"{store.source(key)}: has changed since the conversion began")
            images.append(image)
        except ImageError as error:
            faults.append(str(error))
    if faults:
        raise DamagedImagesError(faults)
    return images[0], images[1] if len(images) > 1 else None


def _value(plan: Plan, store: FolderStore, source: str, key: str, image: np.ndarray, stamp: tuple[int, ...]) -> Value:
    if plan.recipe.encoding == "png" and image.shape == store.shape(source):  # uncut
        data = memoryview(Path(store.source(source)).read_bytes())
        if kind_of(bytes(data[:START_BYTES])) is not None:  # a reader may lack its decoder
            data = encode("png", image)
    else:
        data = encode(plan.recipe.encoding, image)
    name = os.path.relpath(store.source(source), store.path)
    digest = hashlib.sha256(data).hexdigest()
    return Value(key, data, image.shape, image.dtype.name, name, digest, stamp)


def _description(plan: Plan, role: str) -> dict[str, Any]:
    recipe = plan.recipe
    return {
        "encoding": recipe.encoding,
        "role": role,
        "scale": plan.scale,
        "synthesized": recipe.lq is None and recipe.scale is not None,
        "subimages": None if recipe.subimages is None else list(recipe.subimages),
        **plan.mark,
    }


def stamp_of_job(plan: Plan, job: Job) -> tuple[int, ...]:
    """Return size and modification time (ns) of the files of a job."""
    files = [plan.gt.source(job.pair.gt)]
    if plan.lq is not None:
        files.append(plan.lq.source(job.pair.lq))
    return tuple(n for file in map(os.stat, files) for n in (file.st_size, file.st_mtime_ns))


def _is_done(plan: Plan, job: Job, writers: Sequence[LmdbWriter]) -> bool:
    stamp = list(stamp_of_job(plan, job))
    records = [writer.records.get(key) for key in plan.windows(job) for writer in writers]
    return all(record is not None and list(record["stamp"]) == stamp for record in records)


def _summary(plan: Plan, writer: LmdbWriter, reused: int) -> Summary:
    digest = writer.digest if writer.complete else writer.finish()
    size = os.path.getsize(writer.path / "data.mdb")
    hashes = {}
    for job in plan.jobs:
        records = [writer.records[key] for key in plan.windows(job)]
        hashes[job.pair.gt] = tuple(f"{r['shape']} {r['dtype']} {r['sha256']}" for r in records)
    return Summary(str(writer.path), len(writer.records), reused, size, digest, hashes)


def write_all(
    parts: Sequence[tuple[Plan, Sequence[str | os.PathLike]]],
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
    produce: Produce | None = None,
) -> list[list[Summary]]:
    """Carry out plans, each with its outputs; damaged images of all are named together."""
    total, before = sum(len(plan.jobs) for plan, _ in parts), 0
    summaries: list[list[Summary]] = []
    damaged: list[str] = []
    for plan, outputs in parts:

        def show(done: int, _: int, before: int = before) -> None:
            progress(before + done, total)

        try:
            stores = write_stores(plan, outputs, workers=workers, overwrite=overwrite, progress=show, produce=produce)
            summaries.append(stores)
        except DamagedImagesError as error:
            damaged += error.images
        before += len(plan.jobs)
    if damaged:
        raise DamagedImagesError(damaged)
    return summaries
