"""A batch in one piece of memory on its way from a worker: the same values and types, one tensor to hand over."""

from __future__ import annotations

from typing import Any

import torch

from srtoolbox.data.loading.loader import Packed, pack

BATCH: dict[str, Any] = {
    "lq": torch.arange(2 * 3 * 5 * 3, dtype=torch.uint8).view(2, 3, 5, 3),  # its end is no multiple of 8
    "gt": torch.arange(2 * 6 * 10 * 3, dtype=torch.int32).to(torch.uint16).view(2, 6, 10, 3),
    "key": ["a", "b"],
    "index": torch.tensor([3, 1]),
    "turned": torch.arange(6.0, dtype=torch.float64).view(2, 3).T,
    "count": torch.tensor(7),
    "none": torch.empty(0, 4),
    "sparse": torch.eye(2).to_sparse(),
}


def test_a_batch_comes_out_as_it_went_in() -> None:
    packed = pack(BATCH)
    tensors = [value for value in packed.entries.values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 2 and packed.memory.dtype == torch.uint8  # the empty one and the sparse one go as they are
    batch = packed.unpack()
    assert list(batch) == list(BATCH) and batch["key"] == ["a", "b"]
    for name, value in BATCH.items():
        if name not in ("key", "sparse"):
            assert batch[name].dtype == value.dtype and batch[name].shape == value.shape, name
            assert torch.equal(batch[name].long(), value.long()) and batch[name].is_contiguous(), name
    assert batch["sparse"].is_sparse


def test_a_batch_without_tensors_is_packed_too() -> None:
    packed = pack({"key": ["a"]})
    assert isinstance(packed, Packed) and packed.unpack() == {"key": ["a"]}
