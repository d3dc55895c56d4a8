"""A GPU that is none: the code of the engine is told that its tensors are on one, and each wait for it is noted."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srtoolbox.compat.pytorch import tree_leaves
from srtoolbox.devices import DeviceWaits
from srtoolbox.engine.loop import Runner, iterations

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
DEVICE = Tensor.device.__get__
IS_CPU, IS_CUDA = (inspect.getattr_static(Tensor, name).__get__ for name in ("is_cpu", "is_cuda"))


class StandIn(DeviceWaits):
    """All tensors are said to be on a GPU, but for those that code inside makes with no device named, and their views.

    The arithmetic is the CPU's. Nothing asks a tensor for its device without meeting this answer: there is no branch
    for the stand-in in the code that it watches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._near: list[Tensor] = []  # kept, so that no other tensor gets the number of one

    def device_of(self, tensor: Tensor) -> torch.device:
        return CPU if any(tensor is near for near in self._near) else GPU

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func == DEVICE:
            return self.device_of(args[0])
        if func in (IS_CPU, IS_CUDA):
            return self._is_far(args[0]) == (func == IS_CUDA)
        is_pinned = kwargs.pop("pin_memory", False)
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        is_moved = func is Tensor.to and any(value == GPU for value in (*args[1:], *kwargs.values()))
        far = not is_pinned and (is_moved or any(map(self._is_far, given)) or GPU in kwargs.values())
        if not (func is Tensor.to and "torch" in sys._getframe(1).f_globals["__name__"].split(".")):
            self.note(func, args, kwargs)  # torch's own code may have asked in C++ for a device: it is the CPU
        here = {key: CPU if value == GPU else value for key, value in kwargs.items() if not isinstance(value, Tensor)}
        result = func(*[CPU if isinstance(value, torch.device) else value for value in args], **{**kwargs, **here})
        if is_moved or func is Tensor.cpu:
            result = result.clone()
        if not far or func is Tensor.cpu:
            self._near += [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        return result


class Event:
    """`torch.cuda.Event`: here all work is done when it is recorded."""

    def synchronize(self) -> None:
        pass


class Stream:
    """The stream of a device, which is asked for: another device may be torch's current one."""

    def __init__(self, device: torch.device) -> None:
        assert device == GPU

    def record_event(self, event: Any = None) -> Any:
        return event or torch.cuda.Event()


def waits_of(runner: Runner, count: int, monkeypatch: pytest.MonkeyPatch) -> list[dict[tuple[str, str], int]]:
    """Train `count` iterations on the stand-in; return the waits of each."""
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch, "from_numpy", torch.as_tensor)  # the same, and seen by a watch
    runner.device = GPU
    for optim in runner.optims.values():
        optim.is_synchronous = False  # as it would have found for itself, had its parameters been there
    return list(itertools.islice(_each(iterations(runner)), count))


def _each(steps: Iterator[int]) -> Iterator[dict[tuple[str, str], int]]:
    watch = StandIn()
    while True:
        with watch:
            number = next(steps)
        places = {place: Path(place.rpartition(":")[0]).name for _, place in watch.calls}
        yield {(f"{number}: {name}", places[place]): times for (name, place), times in watch.calls.items()}
        watch.calls.clear()
