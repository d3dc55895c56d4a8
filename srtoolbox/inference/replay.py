"""Images of one size, as the frames of a video are, replayed from a graph of the device's work."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from srtoolbox.compat.pytorch import end_captures_in
from srtoolbox.devices import release_generator
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line

WARM_UPS = 2
"""Images of a size before a capture: kernels are chosen in them, single images need no graph."""


class Upscaled(NamedTuple):
    """An image on its device."""

    levels: Tensor  # (H, W, C) uint8 or uint16
    is_finite: Tensor  # one boolean


class Graphs(Protocol):
    """A way to capture graphs on a device."""

    def capture(self, work: Callable[[], Upscaled]) -> tuple[Upscaled, Callable[[], None]]:
        """Record work; return the place of its result, and what does it again on these tensors."""


class CudaGraphs:
    """Graphs of a CUDA device, captured on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def capture(self, work: Callable[[], Upscaled]) -> tuple[Upscaled, Callable[[], None]]:
        """Record work, see `Graphs`; other threads go on meanwhile."""
        pool = torch.cuda.graph_pool_handle()
        try:
            with torch.cuda.device(self.device):
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool, self.stream, capture_error_mode="thread_local"):
                    result = work()
        except BaseException:
            torch.cuda.synchronize(self.device)
            end_captures_in(pool, self.device)
            release_generator(self.device)
            raise
        return result, graph.replay


class _Captured(NamedTuple):
    """A graph, its input and its result."""

    source: Tensor
    result: Upscaled
    replay: Callable[[], None]

    def again(self, batch: Tensor) -> Upscaled:
        """Do the work on another batch."""
        self.source.copy_(batch, non_blocking=True)
        self.replay()
        return self.result


class Replays:
    """Does the same work on one image after another, from a graph where one can hold it.

    A graph belongs to one size and to what else the key says, and is given up for the next: it
    keeps the memory that its work takes. Its first result is compared with that of the operators.

    Args:
        graphs: what captures; None: nothing does.
    """

    def __init__(self, graphs: Graphs | None) -> None:
        self.graphs = graphs
        self._key: object = None
        self.forget()

    def forget(self) -> None:
        """Give up the graph, and its memory."""
        self._seen = 0
        self._captured: _Captured | None = None

    def run(self, key: object, batch: Tensor, work: Callable[[Tensor], Upscaled]) -> Upscaled:
        """Return `work(batch)`; a replay writes the next result over it.

        Args:
            key: equal for what one graph may hold, beside the batch's size.
            batch: (1, h, w, C) on the device.
            work: what is done to it.
        """
        if self.graphs is None:
            return work(batch)
        key = (key, batch.shape, batch.dtype)
        if key != self._key:
            self.forget()
            self._key = key
        self._seen += 1
        if self._seen <= WARM_UPS:
            return work(batch)
        return self._begin(self.graphs, batch, work) if self._captured is None else self._captured.again(batch)

    def _begin(self, graphs: Graphs, batch: Tensor, work: Callable[[Tensor], Upscaled]) -> Upscaled:
        """Capture, and compare a replay with the operators."""
        expected, source = work(batch), batch.clone()
        try:
            captured = _Captured(source, *graphs.capture(lambda: work(source)))
        except torch.OutOfMemoryError:
            fault = "memory does not suffice for it"
        except Exception as error:  # whatever a network does that no graph can hold
            fault = first_line(error)
        else:
            captured.result.levels.zero_()  # else a graph that does nothing would have them, too
            distance = (captured.again(batch).levels.int() - expected.levels.int()).abs().max()
            if int(distance) <= 1:  # level, where the order of sums differs
                self._captured = captured
                return captured.result
            fault = "its results are not those of the operators"
        LOGGER.info("a graph cannot hold this network, each operator is started by itself: %s", fault)
        self.forget()
        self.graphs = None
        return expected


def graphs_for(device: torch.device) -> Graphs | None:
    """Return what captures graphs on a device, None where nothing does."""
    return CudaGraphs(device) if device.type == "cuda" else None
