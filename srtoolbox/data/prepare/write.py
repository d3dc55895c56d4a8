"""From image files to LMDB stores: decoding in parallel, writing in order.

Each file is decoded once. An LQ made from its GT, and all sub-images, are cut from that one decoded
image. Decoding, shrinking and hashing happen in threads (the codecs release Python's lock): sending
pixels from process to process would cost as much as a tenth of the decoding.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
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

AHEAD = 8
"""Images that may wait, decoded, while others are written to the disk."""

Progress = Callable[[int, int], None]
"""Called with images done and images in all."""


class DamagedImagesError(DataError):
    """Images that could not be read, a sentence each; all others are stored."""

    def __init__(self, images: Sequence[str]) -> None:
        self.images = list(images)
        advice = "All others are stored. Replace or remove these and run the same command again"
        summary = f"{counted(len(images), 'image')} cannot be read:"
        lines = [summary, *(f"  {image}" for image in images), advice]
        super().__init__("\n".join(lines))


class Summary(NamedTuple):
    """The result of a conversion for one store."""

    path: str
    images: int
    reused: int
    size: int
    """Bytes on the disk."""
    digest: str
    hashes: Mapping[str, tuple[str, ...]]
    """By the key of each image of the source: the hashes of what is stored of it."""


def write_stores(
    plan: Plan,
    outputs: Sequence[str | os.PathLike],
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    map_size: int | None = None,
) -> list[Summary]:
    """Carry out a plan; called again after an interruption, it goes on where it stopped.

    Args:
        outputs: path of the GT store and, if the plan has LQ, of the LQ store.
        workers: threads that decode; None takes one per CPU.
        overwrite: replace finished stores of another plan.
        progress: called after every image.
        map_size: first size of LMDB's map in bytes; it grows as needed. None: by the system.

    Raises:
        DamagedImagesError: damaged images, all named; the others are stored.
        DataError: a full disk, outputs in use.
    """
    threads = count_threads(workers)
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
        _fill(plan, todo, writers, threads, progress)
        return [_summary(plan, writer, reused) for writer in writers]
    finally:
        for writer in writers:
            writer.close()


def _fill(
    plan: Plan, todo: Sequence[Job], writers: Sequence[LmdbWriter], workers: int, progress: Progress | None
) -> None:
    pending: list[list[Value]] = [[] for _ in writers]
    damaged = list(plan.unreadable)
    producing = map_ahead(lambda job: _produce(plan, job), todo, threads=workers, ahead=AHEAD)
    with contextlib.closing(producing):
        for done, (_, produced) in enumerate(producing, start=len(plan.jobs) - len(todo) + 1):
            try:
                for values, new in zip(pending, produced.result(), strict=True):
                    values += new
            except DamagedImagesError as error:
                damaged += error.images
            if sum(len(value.data) for values in pending for value in values) >= COMMIT_BYTES:
                _commit(writers, pending)
            if progress is not None:
                progress(done, len(plan.jobs))
    _commit(writers, pending)
    if damaged:
        raise DamagedImagesError(damaged)


def _commit(writers: Sequence[LmdbWriter], pending: Sequence[list[Value]]) -> None:
    for writer, values in zip(writers, pending, strict=True):
        if values:
            writer.add(values)
            values.clear()


def _produce(plan: Plan, job: Job) -> tuple[list[Value], ...]:
    """Return the values of one job for each store."""
    stamp = _stamp(plan, job)
    gt, lq = _read(plan, job)
    gt = gt[: job.size[0], : job.size[1]]
    windows = plan.windows(job)
    values = [_value(plan, plan.gt, job.pair.gt, key, _cut(gt, window), stamp) for key, window in windows.items()]
    if plan.scale is None:
        return (values,)
    store, source_key = (plan.gt, job.pair.gt) if plan.lq is None else (plan.lq, job.pair.lq)
    if lq is None:
        lq = imresize(gt, size=(job.size[0] // plan.scale, job.size[1] // plan.scale))
    return values, [
        _value(plan, store, source_key, key, _cut(lq, window and Window(*(n // plan.scale for n in window))), stamp)
        for key, window in windows.items()
    ]


def _read(plan: Plan, job: Job) -> tuple[np.ndarray, np.ndarray | None]:
    """Return GT and, where it is given, LQ.

    Raises:
        DamagedImagesError: for one of the two, or for both.
    """
    images, faults = [], []
    stores = [(plan.gt, job.pair.gt)] + ([(plan.lq, job.pair.lq)] if plan.lq is not None else [])
    for store, key in stores:
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


def _cut(image: np.ndarray, window: Window | None) -> np.ndarray:
    return image if window is None else window.cut(image)


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
        "synthesized": recipe.synthesize,
        "subimages": None if recipe.subimages is None else list(recipe.subimages),
    }


def _stamp(plan: Plan, job: Job) -> tuple[int, ...]:
    files = [plan.gt.source(job.pair.gt)]
    if plan.lq is not None:
        files.append(plan.lq.source(job.pair.lq))
    return tuple(n for file in map(os.stat, files) for n in (file.st_size, file.st_mtime_ns))


def _is_done(plan: Plan, job: Job, writers: Sequence[LmdbWriter]) -> bool:
    stamp = list(_stamp(plan, job))
    records = [writer.records.get(key) for key in plan.windows(job) for writer in writers]
    return all(record is not None and list(record["stamp"]) == stamp for record in records)


def _summary(plan: Plan, writer: LmdbWriter, reused: int) -> Summary:
    digest = writer.digest if writer.complete else writer.finish()
    size = os.path.getsize(writer.path / "data.mdb")
    hashes = {job.pair.gt: _hashes_of(writer, plan.windows(job)) for job in plan.jobs}
    return Summary(str(writer.path), len(writer.records), reused, size, digest, hashes)


def _hashes_of(writer: LmdbWriter, keys: Iterable[str]) -> tuple[str, ...]:
    records = [writer.records[key] for key in keys]
    return tuple(f"{record['shape']} {record['dtype']} {record['sha256']}" for record in records)


def write_all(
    parts: Sequence[tuple[Plan, Sequence[str | os.PathLike]]],
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[list[Summary]]:
    """Carry out several plans as `write_stores` does; damaged images of all are named together.

    Args:
        parts: plans, each with the paths of its stores.
    """
    total, before = sum(len(plan.jobs) for plan, _ in parts), 0
    summaries: list[list[Summary]] = []
    damaged: list[str] = []
    for plan, outputs in parts:
        on_image = None if progress is None else _shifted(progress, before, total)
        try:
            summaries.append(write_stores(plan, outputs, workers=workers, overwrite=overwrite, progress=on_image))
        except DamagedImagesError as error:
            damaged += error.images
        before += len(plan.jobs)
    if damaged:
        raise DamagedImagesError(damaged)
    return summaries


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def identical_images(summaries: Iterable[Summary]) -> list[list[str]]:
    """Return groups of keys of the same image, pixel for pixel, over all these stores."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for summary in summaries:
        for key, hashes in summary.hashes.items():
            groups.setdefault(hashes, []).append(key)
    return [group for group in groups.values() if len(group) > 1]
