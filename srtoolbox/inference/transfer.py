"""Pixels on their way to a device and back, in their files' bits, with one wait an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srtoolbox.image.tensors import carry


def upload(pixels: np.ndarray, device: torch.device | str) -> Tensor:
    """HWC uint8 or uint16 -> (1, H, W, C) of the same type on a device, which nothing waits for.

    Pinned memory is what a CUDA device reads by itself. PyTorch keeps it for the next image, once
    it has been read.
    """
    shape, dtype = (1, *pixels.shape), torch.uint8 if pixels.dtype == np.uint8 else torch.uint16
    batch = torch.empty(shape, dtype=dtype, pin_memory=str(device).startswith("cuda"))
    batch.numpy()[0] = pixels
    return carry(batch, device, non_blocking=True)


class Download:
    """Pixels on their way from a device, with flags that say if they are made of finite values.

    Both are copied behind the work that makes them; on the CPU they are there already.

    Args:
        levels: (H, W, C) uint8 or uint16.
        flags: booleans of one element.
    """

    def __init__(self, levels: Tensor, flags: Sequence[Tensor] = ()) -> None:
        self._parts = [levels, *([torch.stack(list(flags)).all()] if flags else [])]
        self._event: torch.cuda.Event | None = None
        if levels.device.type == "cuda":
            self._parts = [_to_pinned(part) for part in self._parts]
            self._event = torch.cuda.current_stream(levels.device).record_event()

    def result(self) -> tuple[np.ndarray, bool]:
        """Wait for the pixels, HWC; return them, and False if a flag is."""
        if self._event is not None:
            self._event.synchronize()
        levels, *flags = (part.cpu() for part in self._parts)
        pixels = levels.numpy()
        is_deep = levels.dtype == torch.int32  # as `to_levels` has 16 bits on MPS
        return pixels.astype(np.uint16) if is_deep else pixels, all(bool(flag) for flag in flags)


def _to_pinned(part: Tensor) -> Tensor:
    return torch.empty(part.shape, dtype=part.dtype, pin_memory=True).copy_(part, non_blocking=True)
