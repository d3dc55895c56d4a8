"""The device of a run, and torch's settings on it."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.devices import carry
from srtoolbox.errors import ConfigError


def select_device(name: str | None) -> torch.device:
    """Return the named device; for None and 'auto' this rank's GPU if there is one, else the CPU.

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
    """Return the batch with its images on the device, copied without waiting from pinned memory."""
    if device.type == "cpu":
        return batch
    images = {k: carry(v, device, non_blocking=True) for k, v in batch.items() if isinstance(v, Tensor)}
    return {**batch, **images}
