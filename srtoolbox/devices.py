"""Detours around what Metal (MPS) has not got, float64 and 16-bit pixels: the CPU does it, which is said once."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from srtoolbox.logger import LOGGER


def lacks_float64(device: torch.device | str | None) -> bool:
    """True if a device cannot compute in float64, as MPS."""
    return device is not None and torch.device(device).type == "mps"


def to_exact(tensor: Tensor) -> Tensor:
    """Return the tensor where it can be summed in float64: on its device, or on the CPU where that cannot."""
    if not lacks_float64(tensor.device):
        return tensor
    _tell_once("MPS has no float64: metrics are computed on the CPU")
    return tensor.cpu()


def carry(tensor: Tensor, device: torch.device | str | None, *, non_blocking: bool = False) -> Tensor:
    """Move a batch of pixels to a device: 16-bit ones to MPS as int32, which `batch_to_float` takes for the same."""
    if tensor.dtype == torch.uint16 and lacks_float64(device):
        _tell_once("MPS has no 16-bit pixels: they go there as 32-bit ones")
        tensor = tensor.to(torch.int32)
    return tensor.to(device, non_blocking=non_blocking)


@functools.cache
def _tell_once(text: str) -> None:
    LOGGER.info(text)
