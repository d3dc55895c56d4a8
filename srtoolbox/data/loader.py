"""Batches for the training loop, and pictures for evaluation.

With a raw LMDB a batch takes well under a millisecond to make, less than handing it from process to process does:
`workers=0` is the default and the fastest. Worker processes pay where pictures are decoded or degraded on the CPU.
Either way a batch depends on its draws alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from srtoolbox.data.batch import Batch, collate
from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.data.sampler import Draw, EndlessSampler, RankSampler
from srtoolbox.data.transforms.base import PICTURES, Sample
from srtoolbox.errors import RunError, SrtoolboxError

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where the kernel keeps what processes share
PREFETCH = 2
"""Batches each worker process makes ahead."""


class TrainLoader(Iterator[Batch]):
    """An endless iterator of batches; every batch is newly allocated, so one in use is never overwritten.

    Raises:
        DataError: a picture cannot be read or does not fit (from `next`).
        RunError: a worker process died, or shared memory is too small for the workers.
    """

    def __init__(self, dataset: SRDataset, sampler: EndlessSampler, workers: int) -> None:
        self._dataset, self._workers = dataset, workers
        self._pin = torch.cuda.is_available()
        self._draws = iter(sampler)
        self._batches: Iterator[Batch | SrtoolboxError] | None = None
        if workers:
            _check_shared_memory(dataset, sampler, workers)
            loader = DataLoader(
                _Guarded(dataset),
                batch_sampler=sampler,
                num_workers=workers,
                prefetch_factor=PREFETCH,
                collate_fn=_unchanged,
                pin_memory=self._pin,
            )
            self._batches = iter(loader)

    def __next__(self) -> Batch:
        if self._batches is None:
            draws = next(self._draws)
            return collate([self._dataset.sample(draw) for draw in draws], draws, pin=self._pin)
        try:
            batch = next(self._batches)
        except RuntimeError as error:
            raise RunError(_death_notice(error, self._workers)) from error
        if isinstance(batch, SrtoolboxError):
            raise batch
        return batch

    def close(self) -> None:
        """End the worker processes."""
        if self._workers and self._batches is not None:
            self._batches._shutdown_workers()
            self._batches = None
            self._workers = 0


class _Guarded:
    """Sends the user's errors back as values: DataLoader would wrap their message in a traceback."""

    def __init__(self, dataset: SRDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, draw: Draw) -> Sample:
        return self._dataset[draw]

    def __getitems__(self, draws: Sequence[Draw]) -> Batch | SrtoolboxError:
        try:
            return self._dataset.__getitems__(draws)
        except SrtoolboxError as error:
            return error


def build_train_loader(
    dataset: SRDataset,
    batch_size: int,
    workers: int = 0,
    seed: int = 0,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
) -> TrainLoader:
    """Endless batches for one rank, the same bit for bit for any number of workers.

    Args:
        dataset: what is drawn from.
        batch_size: samples per batch and rank.
        workers: processes that make batches; 0 makes them in this one.
        seed: the run's seed.
        start: samples drawn so far by all ranks together; the run goes on there at no cost.
        rank, world: this process and how many there are.
    """
    return TrainLoader(dataset, EndlessSampler(dataset, batch_size, seed, start, rank, world), workers)


def build_eval_loader(dataset: SRDataset, rank: int = 0, world: int = 1) -> Iterator[tuple[int, Sample]]:
    """(index, sample) of every picture this rank evaluates, each once, whole."""
    for index in RankSampler(len(dataset), rank, world):
        yield index, dataset[index]


def _unchanged(batch: Any) -> Any:  # noqa: ANN401 - whatever the dataset made
    return batch


def _check_shared_memory(dataset: SRDataset, sampler: EndlessSampler, workers: int) -> None:
    """Refuse before the first batch what would end in a bus error; this also reports a bad first picture without a
    worker.
    """
    sample = dataset.sample(next(iter(sampler))[0])
    batch_bytes = sampler.batch_size * sum(sample[name].nbytes for name in PICTURES if name in sample)
    needed = batch_bytes * workers * (PREFETCH + 1)
    if not os.path.isdir(SHARED_MEMORY):
        return
    status = os.statvfs(SHARED_MEMORY)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise RunError(
            f"{workers} workers hand over batches through {SHARED_MEMORY}, which has {free / 2**20:.0f} MiB free "
            f"where about {needed / 2**20:.0f} MiB are needed. {_ADVICE}"
        )


_ADVICE = "Set workers=0 (with a raw LMDB the fastest anyway), or give the container more shared memory (--shm-size)."


def _death_notice(error: RuntimeError, workers: int) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    text = f"a data worker ({workers} in all) died: {reason}."
    if "bus error" in str(error).lower() or "shared memory" in str(error).lower():
        return f"{text} {SHARED_MEMORY} is probably full. {_ADVICE}"
    return f"{text} Out of memory? Try fewer workers; workers=0 shows an error where it happens."
