"""A batch on its way from a worker process, all its tensors in one piece of memory.

PyTorch hands over each tensor by a file of its own, for which both processes open a connection:
that takes longer than to make a batch of crops from a raw LMDB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srtoolbox.data.datasets.base import Batch

_STEP = 64  # bytes: each tensor begins at a multiple


class _Part(NamedTuple):
    """The place of a tensor in the memory of a `Packed`."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def of(self, memory: Tensor) -> Tensor:
        size = math.prod(self.shape) * self.dtype.itemsize
        return memory[self.start : self.start + size].view(self.dtype).view(self.shape)


class Packed(NamedTuple):
    """A batch: one tensor for all, and what is none as it is."""

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
