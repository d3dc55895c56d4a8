"""Batches made ahead of a device, and copied to it beside its work.

A thread makes them into a ring of page-locked buffers, from which a device copies without waiting.
The loop's own thread asks for each copy, on a stream of its own, as soon as the batch is there; no
other thread talks to the device, while batches are alike, so that a graph can be captured.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from srtoolbox.data.datasets.base import Batch
from srtoolbox.data.loading.loader import CLOSED
from srtoolbox.errors import RunError
from srtoolbox.image.tensors import carry
from srtoolbox.io.threads import map_ahead
from srtoolbox.text import counted

AHEAD = 2
"""Batches that wait, made, beside the one that is being made and the one that is being copied."""
_SLOTS = AHEAD + 4  # the window of `map_ahead`, and a batch whose copy has a whole step to end
_LATE = 0.05  # the share of its time that a device may wait before the log gives advice


class Mark(Protocol):
    """A point in the work of a device: a `torch.cuda.Event`."""

    def query(self) -> bool:
        """Return True if the device has passed it; does not wait."""

    def synchronize(self) -> None:
        """Wait until the device has passed it."""

    def elapsed_time(self, end: Self, /) -> float:
        """Return the milliseconds to another one; both are passed."""


class Link(Protocol):
    """The way to a device."""

    def buffer(self, like: Tensor) -> Tensor:
        """Return host memory, shaped as a tensor, from which `send` copies."""

    def send(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Mark]:
        """Begin to copy; return the tensors on the device, and the end of the copy."""

    def receive(self, tensors: Mapping[str, Tensor], copied: Mark) -> None:
        """Let the device's work to come wait for a copy, and have its tensors."""

    def mark(self) -> Mark:
        """Return this point in the device's work."""


class CudaLink:
    """The way to a CUDA device, by page-locked memory and a stream for copies."""

    def __init__(self, device: torch.device) -> None:
        self.device, self._stream = device, torch.cuda.Stream(device)

    def buffer(self, like: Tensor) -> Tensor:
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    def send(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Mark]:
        with torch.cuda.stream(self._stream):
            there = {name: carry(tensor, self.device, non_blocking=True) for name, tensor in tensors.items()}
            return there, self._stream.record_event()

    def receive(self, tensors: Mapping[str, Tensor], copied: Any) -> None:  # noqa: ANN401 - see Mark
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(copied)
        for tensor in tensors.values():
            # its memory is not the copies' again before the work is done
            tensor.record_stream(stream)

    def mark(self) -> Mark:
        return cuda_mark(self.device)


def cuda_mark(device: torch.device) -> Mark:
    """Return this point in the work of a CUDA device, with its time."""
    return torch.cuda.current_stream(device).record_event(torch.cuda.Event(enable_timing=True))


class Waits:
    """The time that a device stood still for want of batches, by marks in its work.

    Nothing here waits for the device.

    Args:
        mark: returns the present point in its work.
    """

    def __init__(self, mark: Callable[[], Mark]) -> None:
        self._mark = mark
        self._begin: Mark | None = None
        self._open: deque[tuple[Mark, Mark]] = deque()
        self.total = 0.0  # seconds

    def begin(self) -> None:
        """Note that all work is asked for which needs no further batch."""
        self._begin = self._mark()

    def end(self) -> None:
        """Note that a batch is there, or on its way; without a `begin` it does not count."""
        if self._begin is not None:
            self._open.append((self._begin, self._mark()))
        self._begin = None

    def seconds(self) -> float:
        """Return the seconds of the waits that the device has passed since the last call."""
        before = self.total
        while self._open and self._open[0][1].query():
            begin, end = self._open.popleft()
            self.total += begin.elapsed_time(end) / 1000
        return self.total - before


class Batches(Protocol):
    """Endless batches for the training loop, wherever they lie."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def close(self) -> None:
        """Let go of all that makes them."""


class HostBatches(Batches, Protocol):
    """Batches in host memory, as `TrainLoader` makes them."""

    workers: int

    def make(self, allocate: Callable[..., Tensor]) -> Batch:
        """Return the next batch, in memory of `allocate(shape, dtype=...)` if it is made here."""


class BatchesAhead(Iterator[Batch]):
    """The batches of a loader, in its order, on a device.

    Each has memory of its own there. What fails in making a batch is raised where it is asked for.

    Args:
        batches: the loader, which only the thread uses from the first batch on.
        link: the way to the device.
    """

    def __init__(self, batches: HostBatches, link: Link) -> None:
        self._batches, self._link, self._is_closed = batches, link, False
        self._slots = [_Slot(link) for _ in range(_SLOTS)]
        self._calls: Generator[tuple[_Slot, Future[Batch]]] | None = None
        self._next: tuple[_Slot, Future[Batch]] | None = None
        self._sent: deque[_Sent] = deque()
        self.waits = Waits(link.mark)
        self.rates = Rates(batches.workers, self.waits)

    def __next__(self) -> Batch:
        if self._is_closed:
            raise RunError(CLOSED)
        if self._calls is None:  # threads and workers start: no waiting for data
            self._calls = self._start()
        else:
            self.waits.begin()
        batch = self._sent.popleft() if self._sent else self._send_next()
        self._link.receive(batch.tensors, batch.copied)
        self.waits.end()
        self.rates.take()
        self._next = self._next or next(self._calls)
        if self._next[1].done() and self._next[1].exception() is None:
            self._sent.append(self._send_next())  # beside the step that comes now
        return {**batch.others, **batch.tensors}

    def close(self) -> None:
        """End the loader and the thread."""
        self._is_closed = True
        self._batches.close()
        if self._calls is not None:
            self._calls.close()

    def _start(self) -> Generator[tuple[_Slot, Future[Batch]]]:
        """Make the first batch here, and buffers for others like it; let the thread go on."""
        batch = self._batches.make(torch.empty)
        for slot in self._slots:
            slot.prepare(batch)
        first, *others = self._slots
        first.begin()
        self._sent.append(self._send(first, first.hold(batch)))
        return map_ahead(self._fill, self._free_slots([*others, first]), threads=1, ahead=AHEAD)

    def _free_slots(self, slots: Sequence[_Slot]) -> Iterator[_Slot]:
        for slot in itertools.cycle(slots):
            if slot.copied is not None and not slot.copied.query():  # it is some batches old
                slot.copied.synchronize()
            yield slot

    def _fill(self, slot: _Slot) -> Batch:
        """Make a batch in a slot; the thread's work."""
        start = time.perf_counter()
        slot.begin()
        batch = slot.hold(self._batches.make(slot.allocate))
        self.rates.making += time.perf_counter() - start
        self.rates.made += 1
        return batch

    def _send_next(self) -> _Sent:
        assert self._calls is not None
        slot, future = self._next or next(self._calls)
        self._next = None
        return self._send(slot, future.result())

    def _send(self, slot: _Slot, batch: Batch) -> _Sent:
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        others = {name: value for name, value in batch.items() if name not in tensors}
        there, slot.copied = self._link.send(tensors)
        return _Sent(there, slot.copied, others)


class _Sent(NamedTuple):
    """A batch on its way."""

    tensors: dict[str, Tensor]
    copied: Mark
    others: dict[str, Any]


class _Slot:
    """The buffers of one batch, made where a batch first needs them and kept for those alike."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffers: dict[tuple, list[Tensor]] = {}  # by shape and dtype
        self._used: dict[tuple, int] = {}
        self.copied: Mark | None = None

    def prepare(self, batch: Batch) -> None:
        """Make buffers for batches like this one: memory is asked for by the loop's own thread."""
        for value in batch.values():
            if isinstance(value, Tensor):
                self.allocate(value.shape, dtype=value.dtype)

    def begin(self) -> None:
        """Take all buffers for the next batch.

        Those that the last one had no use for are dropped.
        """
        self._buffers = {kind: buffers for kind, buffers in self._buffers.items() if kind in self._used}
        self._used = {}

    def allocate(self, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Return a buffer that this batch does not use yet."""
        kind = (tuple(shape), dtype)
        number = self._used.get(kind, 0)
        self._used[kind] = number + 1
        buffers = self._buffers.setdefault(kind, [])
        if number == len(buffers):
            buffers.append(self._link.buffer(torch.empty(shape, dtype=dtype, device="meta")))
        return buffers[number]

    def hold(self, batch: Batch) -> Batch:
        """Return the batch with all tensors in buffers: what is elsewhere is copied."""
        own = {buffer.data_ptr() for buffers in self._buffers.values() for buffer in buffers}
        return {name: self._held(value, own) for name, value in batch.items()}

    def _held(self, value: object, own: set[int]) -> object:
        if not isinstance(value, Tensor) or value.data_ptr() in own:
            return value
        return self.allocate(value.shape, dtype=value.dtype).copy_(value)


class Rates:
    """Counts of batches: those a loader makes, and those a device asks for from `begin` on."""

    def __init__(self, workers: int, waits: Waits) -> None:
        self._workers, self._waits = workers, waits
        self.made, self.making = 0, 0.0
        self.begin()

    def begin(self) -> None:
        """Count what the device asks for anew."""
        self.taken, self._start, self._waited = 0, time.perf_counter(), self._waits.total

    def take(self) -> None:
        """Count a batch that the device is given."""
        self.taken += 1

    def sentence(self) -> str:
        """Return the batches a second on both sides, and advice where the loader is the slower one.

        The device asks for as many as it would take if it never waited for one.
        """
        seconds, waited = time.perf_counter() - self._start, self._waits.total - self._waited
        if not self.made or self.making <= 0 or seconds <= waited:
            return ""
        makes, asks = self.made / self.making, self.taken / (seconds - waited)
        line = f"data: the loader makes {makes:.4g} batches a second, the device asks for {asks:.4g}"
        if waited < _LATE * seconds:
            return line
        cpus = os.cpu_count() or 1
        need = min(math.ceil(max(self._workers, 1) * asks / makes), cpus)
        advice = f"data.train.workers={need} (this machine has {counted(cpus, 'CPU')})"
        if need <= self._workers:
            advice = "smaller samples, or a store that is faster to read (a raw LMDB)"
        return f"{line} and waits {100 * waited / seconds:.0f} % of the time. Try {advice}"


def batches_for(batches: HostBatches, device: torch.device) -> Batches:
    """Return batches on a CUDA device, made ahead of it; for others the loader itself.

    On a CPU a thread ahead would take the time of the step that it is to hide behind.
    """
    return BatchesAhead(batches, CudaLink(device)) if device.type == "cuda" else batches
