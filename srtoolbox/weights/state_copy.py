"""A run's state, copied to where nothing changes it while it is written."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from srtoolbox.compat.pytorch import foreach_copy_
from srtoolbox.io.threads import BackgroundCall

_ALIGNMENT = 64  # bytes, as torch's own allocator has it
_SCALARS = (int, float, str, bool, type(None))


class StateCopy:
    """Copies of states, one at a time, all in the same memory.

    The memory is kept, since to get it anew takes several times as long as to fill it. It is
    pinned where tensors come from CUDA, which then sends them at the full speed of its bus.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._layout: list[tuple[Any, ...]] = []
        self._places: list[Tensor] = []

    def take(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return a deep copy of a state, its tensors on the CPU, to be used up to the next `take`.

        `torch.save` writes it byte for byte as a state on the CPU itself; weights that networks or
        layers share are shared in the copy.
        """
        with self.taking(state) as copied:
            return copied

    @contextlib.contextmanager
    def taking(self, state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what `take` returns, whose values are there when the block ends.

        They are copied meanwhile, by the device or by a thread. The state must stay as it is.
        """
        names: dict[int, tuple[Any, ...]] = {}
        sources: dict[tuple[Any, ...], Tensor] = {}
        for tensor in _tensors_in(state, []):
            if _is_plain(tensor):  # the others are left to `deepcopy`
                memory = tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
                names[id(tensor)] = memory
                sources[memory] = tensor
        devices = {tensor.device for tensor in sources.values() if _is_on_cuda(tensor)}
        self._make_places(list(sources), pinned=bool(devices))
        with _copying(self._places[: len(sources)], list(sources.values()), devices):
            places = dict(zip(sources, self._places, strict=False))
            # some share memory: each is a tensor of its own nevertheless
            if len(names) > len(places):
                copies = {number: places[memory].detach() for number, memory in names.items()}
            else:
                copies = {number: places[memory] for number, memory in names.items()}
            yield copy.deepcopy(dict(state), copies)

    def _make_places(self, memories: Sequence[tuple[Any, ...]], *, pinned: bool) -> None:
        """Lay out a tensor on the CPU for each (address, dtype, shape, stride), if none fits."""
        layout = [memory[1:] for memory in memories]
        if self._layout[: len(layout)] == layout:  # networks alone begin as the whole state does
            return
        sizes = [shape.numel() * dtype.itemsize for dtype, shape, _ in layout]
        total = sum(map(_room, sizes))
        self._places, start = [], 0
        if len(self._memory) < total:
            self._memory = torch.empty(0, dtype=torch.uint8)  # gives the old memory back first
            self._memory = torch.empty(total, dtype=torch.uint8, pin_memory=pinned)
        array = self._memory.numpy()
        for (dtype, shape, stride), size in zip(layout, sizes, strict=True):
            # a storage of its own for each, since torch.save writes whole storages
            values = torch.frombuffer(array, dtype=torch.uint8, count=size, offset=start)
            self._places.append(torch.empty(0, dtype=dtype).set_(values.untyped_storage(), 0, shape, stride))
            start += _room(size)
        self._layout = layout


@contextlib.contextmanager
def _copying(places: list[Tensor], sources: list[Tensor], devices: set[torch.device]) -> Iterator[None]:
    """Copy tensors while the block does something else, and wait for that at its end."""
    thread = BackgroundCall("copy")
    try:
        if devices:
            for place, source in zip(places, sources, strict=True):
                place.copy_(source, non_blocking=True)
        elif all(source.device.type == "cpu" for source in sources):  # one call, which leaves Python's lock to others
            thread.start(partial(foreach_copy_, places, sources))
        else:  # MPS takes no calls of several threads
            foreach_copy_(places, sources)
        yield
    finally:
        thread.wait()
        for device in devices:
            torch.cuda.synchronize(device)  # once, not for each tensor


def _is_on_cuda(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _room(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _tensors_in(value: object, tensors: list[Tensor]) -> list[Tensor]:
    """Add all tensors inside a value to a list, and return that."""
    if isinstance(value, Tensor):
        tensors.append(value)
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            if type(item) not in _SCALARS:
                _tensors_in(item, tensors)
    return tensors


def _is_plain(tensor: Tensor) -> bool:
    """True if a tensor fills its storage without gaps, and is nothing more than its values."""
    if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.requires_grad:
        return False
    size = tensor.nbytes
    is_dense = tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)
    return is_dense and 0 < size == tensor.untyped_storage().nbytes()
