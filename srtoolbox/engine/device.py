"""Where a run computes, and how torch is set up for it."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.devices import carry
from srtoolbox.errors import ConfigError


def select_device(name: str | None) -> torch.device:
    """The named device, or for None and 'auto' this rank's GPU where there is one, else the CPU.

    Raises:
        ConfigError: a device this machine does not have, or one GPU for several processes.
    """
    if name in (None, "auto"):
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} is not usable here ({str(error).splitlines()[0]}); try cpu or auto"
        ) from error
    if device.type != "cuda":
        return device
    if device.index is not None and dist.launched():
        raise ConfigError(f"device {name!r} would be shared by all processes; say 'cuda', and each takes its own")
    return torch.device("cuda", dist.local_rank()) if device.index is None else device


def set_up_torch(runtime: dict[str, Any]) -> None:
    """Threads, determinism and kernel choice by `runtime`."""
    if runtime.get("threads"):
        torch.set_num_threads(runtime["threads"])
    if runtime.get("deterministic"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS refuses later on
    torch.use_deterministic_algorithms(bool(runtime.get("deterministic")))
    torch.backends.cudnn.benchmark = not runtime.get("deterministic")


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its pictures on the device, copied without waiting where memory is pinned."""
    if device.type == "cpu":
        return batch
    return {k: carry(v, device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
