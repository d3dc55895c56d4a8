"""CUDA graphs: what `GraphStep` needs of a device to capture a step and to replay it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from srtoolbox.compat.pytorch import end_captures_in
from srtoolbox.devices import release_generator


class Graphs(Protocol):
    """A way to capture graphs on one device, all in one memory pool."""

    @property
    def warm_ups(self) -> int:
        """Steps before a capture: kernels are chosen and compiled in them."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Return the context of warm-up and capture, apart from what else the device does."""

    def strict(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which to wait for the device raises RuntimeError."""

    def begin(self) -> None:
        """Begin to capture; what is captured is not done now."""

    def end(self) -> Callable[[], None]:
        """End the capture; return what does its work again, on the same tensors."""

    def break_off(self) -> None:
        """End a capture in which something failed."""

    def renew(self) -> None:
        """Take another memory pool: all graphs are dropped."""


def graphs_for(device: torch.device) -> Graphs | None:
    """Return what captures graphs on a device, None where nothing does."""
    return CudaGraphs(device) if device.type == "cuda" else None


class CudaGraphs:
    """Graphs of a CUDA device, captured on a stream of their own."""

    warm_ups = 3

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.renew()

    def renew(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        present = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(present)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            present.wait_stream(self.stream)

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def begin(self) -> None:
        torch.cuda.synchronize(self.device)
        gc.collect()
        torch.cuda.empty_cache()  # the pool gets what the warm-up took
        self._graph = torch.cuda.CUDAGraph()
        # threads that load batches go on meanwhile
        self._graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")

    def end(self) -> Callable[[], None]:
        self._graph.capture_end()
        return self._graph.replay

    def break_off(self) -> None:
        try:
            self._graph.capture_end()
        except RuntimeError:  # it says again what failed
            end_captures_in(self.pool, self.device)
        torch.cuda.synchronize(self.device)
        release_generator(self.device)
