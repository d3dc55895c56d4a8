"""A device that does nothing before somebody waits for it: the latest that a real one may be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from srtoolbox.data.loading.ahead import Mark


class LateMark:
    """A point in the work of a `LateDevice`."""

    def __init__(self, device: LateDevice, number: int) -> None:
        self._device, self._number = device, number

    def query(self) -> bool:
        return self._device.done >= self._number

    def synchronize(self) -> None:
        self._device.work_up_to(self._number)

    def elapsed_time(self, end: Any, /) -> float:
        assert self.query() and end.query(), "CUDA refuses marks that are not passed"
        return 0.001 * (end._number - self._number)


class LateDevice:
    """A link, and the work that waits; `eager` does all at once, as a CPU."""

    def __init__(self, *, eager: bool = False) -> None:
        self.work: list[Callable[[], object]] = []
        self.done, self.eager, self.buffers = 0, eager, 0
        self.threads: set[threading.Thread] = set()  # that asked for buffers

    def do(self, task: Callable[[], object]) -> LateMark:
        self.work.append(task)
        if self.eager:
            self.work_up_to(len(self.work))
        return LateMark(self, len(self.work))

    def work_up_to(self, number: int) -> None:
        while self.done < number:
            self.work[self.done]()
            self.done += 1

    def buffer(self, like: Tensor) -> Tensor:
        self.buffers += 1
        self.threads.add(threading.current_thread())
        return torch.empty(like.shape, dtype=like.dtype)

    def send(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], LateMark]:
        there = {name: torch.full_like(tensor, 77) for name, tensor in tensors.items()}
        return there, self.do(lambda: [there[name].copy_(tensor) for name, tensor in tensors.items()])

    def receive(self, tensors: Mapping[str, Tensor], copied: Mark) -> None:
        assert tensors and copied

    def mark(self) -> LateMark:
        return self.do(lambda: None)
