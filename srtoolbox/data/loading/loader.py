"""Batches for the training loop, and images for evaluation.

With a raw LMDB a batch takes well under a millisecond to make, less than handing it to another
process: `workers=0` is the default and the fastest. Workers pay where images are decoded or
degraded on the CPU. Either way a batch depends on its draws alone.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from srtoolbox.compat.pytorch import WorkerBatches
from srtoolbox.data.datasets.base import Batch, SRDataset, collate
from srtoolbox.data.loading.draws import Draw, EndlessSampler
from srtoolbox.data.loading.workers import Parcel, cause, prepare_server, refuse_second_import, start_anew
from srtoolbox.data.transforms.base import Sample
from srtoolbox.errors import DataError, RunError, SrtoolboxError
from srtoolbox.interfaces import IMAGE_KEYS, is_share
from srtoolbox.system import STOP_SIGNALS, garbage_left_alone

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where the kernel keeps what processes share
PREFETCH = 2  # batches each worker process makes ahead
PATIENCE = 1.0  # seconds to wait for a batch after a signal, and for workers when the loader closes
_STEP = 64  # bytes: each tensor of a batch in one piece of memory begins at a multiple
CLOSED = "the loader is closed: it gives no more batches"
_ADVICE = "Set workers=0 (with a raw LMDB the fastest anyway), or give the container more shared memory (--shm-size)."


Begin = Callable[[Batch, Sequence[Draw]], Batch]
"""What is done with a batch at last, where it is made: `Preparation.begin` of a group's size."""


class WaitInterrupted(Exception):  # noqa: N818 - a request, not an error
    """A signal came, and the next batch does not: its workers are stuck, or very slow."""


class TrainLoader(Iterator[Batch]):
    """An endless iterator of batches, each newly allocated, so that none in use is overwritten.

    Args:
        dataset, sampler: what is drawn.
        workers: processes that make batches; 0 makes them in this one.
        interrupted: asked while a worker's batch does not come; True ends the wait.
        begin: what is done with each batch at last, in the process that makes it.

    Raises:
        DataError: an image cannot be read or does not fit (from `next`).
        RunError: the dataset cannot travel to a worker process, one died or met an error that is
            none of ours, shared memory is too small for the workers, or the loader is closed.
        WaitInterrupted: `interrupted` gives True, and the workers have no batch.
    """

    def __init__(
        self,
        dataset: SRDataset,
        sampler: EndlessSampler,
        workers: int,
        interrupted: Callable[[], bool],
        begin: Begin | None = None,
    ) -> None:
        self._dataset, self._begin, self.workers = dataset, begin, workers
        self._draws = iter(sampler)
        self._closed, self._batches = threading.Event(), None
        is_closed = self._closed.is_set  # ends the wait of another thread
        if workers:
            self._batches = _worker_batches(dataset, sampler, begin, workers, lambda: is_closed() or interrupted())
            self._kill = Finalize(None, _kill, (self._batches.processes,), exitpriority=10)

    def __next__(self) -> Batch:
        return self.make(torch.empty)

    def make(self, allocate: Callable[..., Tensor]) -> Batch:
        """Return the next batch; images of one made in this process lie in memory of `allocate`."""
        batches = self._batches
        if self._closed.is_set():
            raise RunError(CLOSED)
        if batches is None:
            draws = next(self._draws)
            batch = collate([self._dataset.sample(draw) for draw in draws], draws, allocate=allocate)
            return self._begin(batch, draws) if self._begin else batch
        try:
            batch = next(batches)
        except (RuntimeError, OSError, EOFError) as error:  # a worker died
            if self._closed.is_set():  # by another thread meanwhile
                raise RunError(CLOSED) from error
            notice = _death_notice(batches.processes, error)
            self.close()
            raise RunError(notice) from error
        if isinstance(batch, SrtoolboxError):
            raise batch
        return batch.unpack() if isinstance(batch, Packed) else batch

    def close(self) -> None:
        """End the worker processes, also those that are busy with batches nobody will ask for."""
        self._closed.set()
        batches, self._batches = self._batches, None
        if batches is not None:
            # PyTorch asks them to end, waits, and sends SIGTERM, which they ignore
            late = threading.Timer(PATIENCE, _kill, (batches.processes,))
            late.start()
            batches.shut_down()
            late.cancel()
            self._kill()


def _kill(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()


def _worker_batches(
    dataset: SRDataset, sampler: EndlessSampler, begin: Begin | None, workers: int, interrupted: Callable[[], bool]
) -> WorkerBatches:
    refuse_second_import()
    _check_shared_memory(dataset, sampler, begin, workers)
    is_new = start_anew()
    loader: DataLoader[Any] = DataLoader(
        _Guarded(
            Parcel(dataset, "the training set") if is_new else dataset,
            Parcel(begin, "model.preprocess") if is_new and begin else begin,
        ),
        batch_sampler=sampler,
        num_workers=workers,
        prefetch_factor=PREFETCH,
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_the_run,
    )
    prepare_server()

    def stop_waiting() -> None:
        if interrupted():
            raise WaitInterrupted

    try:
        with garbage_left_alone():
            return WorkerBatches(loader, stop_waiting, PATIENCE)
    except (OSError, EOFError) as error:  # no memory, or a server that fails
        raise RunError(f"data workers cannot be started: {cause(error)}. workers=0 needs none") from error


def _leave_signals_to_the_run(_: int) -> None:
    """Ignore signals to the whole process group: the run saves before workers end."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _unchanged(batch: object) -> object:
    return batch


class _Part(NamedTuple):
    """The place of a tensor in the memory of a `Packed`."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def of(self, memory: Tensor) -> Tensor:
        size = math.prod(self.shape) * self.dtype.itemsize
        return memory[self.start : self.start + size].view(self.dtype).view(self.shape)


class Packed(NamedTuple):
    """A batch on its way from a worker process: one tensor for all, and what is none as it is.

    PyTorch hands over each tensor by a file of its own, for which both processes open a connection:
    that takes longer than to make a batch of crops from a raw LMDB.
    """

    memory: Tensor
    entries: Mapping[str, Any]

    def unpack(self) -> Batch:
        """Return the batch; its tensors share the memory."""
        return {name: v.of(self.memory) if isinstance(v, _Part) else v for name, v in self.entries.items()}


def pack(batch: Batch) -> Packed:
    """Copy the tensors of a batch into one piece of memory."""
    entries, end = dict[str, Any](batch), 0
    for name, value in batch.items():
        if isinstance(value, Tensor) and value.numel() and value.layout == torch.strided and value.is_cpu:
            entries[name] = _Part(end, value.dtype, tuple(value.shape))
            end += -(-value.nbytes // _STEP) * _STEP
    memory = torch.empty(end, dtype=torch.uint8)
    for name, part in entries.items():
        if isinstance(part, _Part):
            part.of(memory).copy_(batch[name])
    return Packed(memory, entries)


class _Guarded(Dataset[Any]):
    """The dataset, opened where it came as a parcel; errors are sent back as values.

    DataLoader would wrap them in a traceback, and tell nothing of what fails before the first one.
    """

    def __init__(self, dataset: SRDataset | Parcel[SRDataset], begin: Begin | Parcel[Begin] | None) -> None:
        self._dataset, self._begin = dataset, begin

    def __getitems__(self, draws: Sequence[Draw]) -> Packed | list[Sample] | SrtoolboxError:
        try:
            if isinstance(self._dataset, Parcel):
                self._dataset = self._dataset.open()
            if isinstance(self._begin, Parcel):
                self._begin = self._begin.open()
            batch = self._dataset.__getitems__(draws)
            if self._begin and isinstance(batch, dict):
                batch = self._begin(batch, draws)
            return pack(batch) if isinstance(batch, dict) else batch
        except SrtoolboxError as error:
            return error
        except (Exception, SystemExit) as error:  # a fault in a transform, a dataset or a plugin
            advice = "Try fewer workers" if isinstance(error, MemoryError) else "workers=0 shows the whole traceback"
            return RunError(f"a data worker failed: {cause(error)}. {advice}")


def build_train_loader(
    dataset: SRDataset,
    batch_size: int,
    workers: int = 0,
    seed: int = 0,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    interrupted: Callable[[], bool] = lambda: False,
    *,
    pool: int | None = None,
    begin: Begin | None = None,
) -> TrainLoader:
    """Return endless batches for one rank, the same bit for bit for any number of workers.

    Args:
        dataset, batch_size, seed, start, rank, world, pool: see `EndlessSampler`.
        workers, interrupted, begin: see `TrainLoader`.
    """
    sampler = EndlessSampler(dataset, batch_size, seed, start, rank, world, pool)
    return TrainLoader(dataset, sampler, workers, interrupted, begin)


def build_eval_loader(
    dataset: SRDataset, rank: int = 0, world: int = 1, only: range | None = None
) -> Iterator[tuple[int, Sample]]:
    """Yield (index, sample) of the images this rank evaluates, once, whole; `only` selects some.

    Raises DataError if the ranks have images of their own (shards='rank').
    """
    if is_share(dataset):
        raise DataError("evaluation deals the images out itself, but the ranks have others each: leave shards at 'all'")
    numbers = range(len(dataset)) if only is None else only
    for index in numbers[rank::world]:
        yield index, dataset[index]


def _check_shared_memory(dataset: SRDataset, sampler: EndlessSampler, begin: Begin | None, workers: int) -> None:
    """Refuse what would end in a bus error, and report a bad first image without a worker."""
    draw = next(iter(sampler))[0]
    try:
        sample = dataset.sample(draw)
        made = begin(collate([sample], [draw]), [draw]) if begin else {}
    except SrtoolboxError:
        raise
    except Exception as error:
        raise RunError(f"no sample can be made: {cause(error)}. workers=0 shows the whole traceback") from error
    images = made or sample
    sample_bytes = sum(images[name].nbytes for name in IMAGE_KEYS if name in images)
    needed = sampler.batch_size * sample_bytes * workers * (PREFETCH + 1)
    if not os.path.isdir(SHARED_MEMORY):
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < needed:
        raise RunError(
            f"{workers} workers hand over batches through {SHARED_MEMORY}, which has {free / 2**20:.0f} MiB free "
            f"where about {needed / 2**20:.0f} MiB are needed. {_ADVICE}"
        )


def _death_notice(workers: Sequence[BaseProcess], error: Exception) -> str:
    broken = wait([worker.sentinel for worker in workers], timeout=5)
    for worker in workers:  # its sentinel breaks before the process is gone
        worker.join(5 if worker.sentinel in broken else 0)
    dead = [worker for worker in workers if not worker.is_alive()]
    if not dead:
        return f"the data workers failed: {error}"
    names = {item.value: item.name for item in signal.Signals}
    ends = [names.get(-(worker.exitcode or 0), f"exit code {worker.exitcode or 0}") for worker in dead]
    pairs = zip(dead, ends, strict=True)
    named = ", ".join(f"{worker.name} (pid {worker.pid}, {end})" for worker, end in pairs)
    if "SIGBUS" in ends:
        advice = f"{SHARED_MEMORY} is probably full. {_ADVICE}"
    elif "SIGKILL" in ends:
        advice = "The system kills where memory runs out: try fewer workers."
    elif all(end.startswith("exit code") for end in ends):
        advice = "It ended by itself; what it printed stands above. workers=0 shows an error where it happens."
    else:
        advice = "That is a crash in compiled code; workers=0 shows an error where it happens."
    return f"data worker died: {named}. {advice}"
