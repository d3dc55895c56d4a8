"""What torchrun says about this process, and the few collectives the toolbox uses. Alone, a process is rank 0 of 1."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox.errors import SrtoolboxError
from srtoolbox.logger import LOGGER


def launched() -> bool:
    """Whether torchrun (or anything that sets its variables) started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_main_launch() -> bool:
    """Whether this process is or will be rank 0: `is_main` for before the process group exists."""
    return os.environ.get("RANK", "0") == "0"


def init(device: torch.device) -> None:
    """Join the process group if launched by torchrun: NCCL for CUDA, gloo otherwise. A second call does nothing."""
    if launched() and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
            dist.init_process_group("nccl", device_id=device)
        else:
            dist.init_process_group("gloo")


def leave(exit_code: int) -> None:
    """End this process together with all ranks; returns where it is alone.

    The process group is not destroyed but left to the operating system: gloo's thread may still hold tensors of its
    last collectives, whose release needs Python's lock, while the group's destructor holds that lock and waits for the
    thread: a deadlock (seen with torch 2.13; a barrier before it only makes it rare).
    """
    if dist.is_initialized():
        dist.barrier()
        _exit(exit_code)


def abort(error: Exception) -> None:
    """End this process now if there are others: they may wait for it, and leaving the group would wait for them."""
    if world_size() > 1:
        LOGGER.error("rank %d: %s", rank(), error, exc_info=None if isinstance(error, SrtoolboxError) else error)
        _exit(1)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def local_rank() -> int:
    """This process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def rank() -> int:
    """This process's number over all machines; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes; 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is rank 0, which alone writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Wait for all ranks."""
    if dist.is_initialized():
        dist.barrier()


def all_gather_object(value: Any) -> list[Any]:  # noqa: ANN401 - any picklable value
    """The values of all ranks, by rank."""
    if not dist.is_initialized():
        return [value]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def max_over_ranks(value: int) -> int:
    """The largest value of any rank: how a signal or fault on one rank is told to all."""
    return max(all_gather_object(value))


def broadcast_buffers(module: nn.Module) -> None:
    """Overwrite the buffers of all ranks with rank 0's (BatchNorm statistics, before saving or evaluating)."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a tensor over ranks, differentiable."""
    if not dist.is_initialized():
        return value
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(value) / world_size()


def unwrap(module: nn.Module) -> nn.Module:
    """The network inside a DistributedDataParallel wrapper, or the module itself."""
    return module.module if isinstance(module, DistributedDataParallel) else module
