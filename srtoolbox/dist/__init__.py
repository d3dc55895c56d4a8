"""The process as torchrun describes it, and the collectives; alone, a process is rank 0 of 1."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from srtoolbox.errors import RunError, SrtoolboxError
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line
from srtoolbox.dist.heartbeat import SLOW_FACTOR, Heartbeat, exit_now

_T = TypeVar("_T")
EXIT_INTERRUPT = 130
TIMEOUT = 600.0
"""Seconds a rank may be silent or hang before all end (default of `runtime.dist_timeout`)."""
GRACE = 15.0  # seconds that collectives wait longer: the heartbeat, first, names the rank
EXPLANATION = 8.0  # seconds in which to find out which rank made a collective fail


class _Group:
    """The memberships of this process: a group for all but gradients, and the heartbeat."""

    control: dist.ProcessGroup | None = None
    heartbeat: Heartbeat | None = None


def launched() -> bool:
    """True if torchrun (or anything that sets its variables) started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_main_launch() -> bool:
    """True if this process is or will be rank 0: `is_main` for before the process group exists."""
    return os.environ.get("RANK", "0") == "0"


def restarts() -> int:
    """Return the number of restarts by torchrun after a failure (`--max-restarts`)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def init(device: torch.device, timeout: float = TIMEOUT) -> None:
    """Join the process group, once, if launched by torchrun: NCCL for CUDA, gloo otherwise.

    Args:
        device: where this rank computes.
        timeout: seconds a rank may be silent or hang before all ranks end.

    Raises:
        RunError: the variables of the launch are incomplete, several processes cannot use the
            device here, or the ranks did not find each other.
    """
    if not launched() or dist.is_initialized():
        return
    where = f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}"
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise RunError(
            f"{where}: {' and '.join(missing)} not set. Start with tools/dist_train.sh or torchrun, or unset RANK"
        )
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not dist.is_nccl_available()):
        raise RunError(
            f"{where}: several processes cannot train on {device.type} here (that needs CUDA with NCCL, which is "
            "there on Linux). Train on the CPU, where they use gloo (runtime.device=cpu), or in one process"
        )
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        _join(device, timeout)
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(
            f"{where} at {address}: the processes did not find each other within {timeout:.0f} s, or the port is "
            f"taken ({first_line(error)}). Are all started, with one WORLD_SIZE and each its own RANK?"
        ) from error


def _join(device: torch.device, timeout: float) -> None:
    store, rank, world = next(rendezvous("env://", timeout=timedelta(seconds=timeout)))
    store.set_timeout(timedelta(seconds=timeout))
    if os.environ.get("LOCAL_WORLD_SIZE") == str(world):
        # torchrun may use one store for all attempts, with the last one's addresses in it. (On
        # several machines the counts differ: there dist_train.sh asks for a new store each time.)
        store = dist.PrefixStore(f"attempt{restarts()}", store)
    if world > 1:
        _Group.heartbeat = Heartbeat(store.clone(), rank, world, timeout, exit_now).start()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=dist.PrefixStore("group", store),
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout + GRACE),
        device_id=device if device.type == "cuda" else None,
    )
    # what rank 0 does alone (saving to a slow disk, say) may take longer than any collective of the
    # training should
    _Group.control = dist.new_group(backend="gloo", timeout=timedelta(seconds=SLOW_FACTOR * timeout + GRACE))


def enter(phase: str, iteration: int) -> None:
    """Tell the other ranks what this one does, with which it is named where it hangs or dies."""
    if _Group.heartbeat is not None:
        _Group.heartbeat.enter(phase, iteration)


def advance() -> None:
    """Tell the other ranks that this one gets on, in a phase that may be long."""
    if _Group.heartbeat is not None:
        _Group.heartbeat.advance()


def leave(exit_code: int) -> None:
    """End this process together with all ranks; returns where it is alone.

    The process group is left to the operating system: gloo's thread may still hold tensors of its
    last collectives, whose release needs Python's lock, while the group's destructor holds that
    lock and waits for the thread (a deadlock seen with torch 2.13; a barrier only makes it rare).
    """
    if dist.is_initialized():
        try:
            barrier()
            if _Group.heartbeat is not None:
                _Group.heartbeat.close()  # before rank 0, which may hold the store, is gone
            barrier()
        except RuntimeError as error:
            abort(error)
        exit_now(exit_code)


def abort(error: BaseException) -> None:
    """End this process now if others may wait for it; name the rank that is the cause."""
    heartbeat = _Group.heartbeat
    if heartbeat is None:
        return
    heartbeat.error = error
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, as soon as one rank is gone
    # a failed exchange with other ranks is a RuntimeError of gloo or NCCL, by its text
    words = ("gloo", "nccl", "connection", "timed out")
    text = str(error).lower()
    is_collective = isinstance(error, RuntimeError) and any(word in text for word in words)
    is_own = isinstance(error, SrtoolboxError) or not is_collective
    cause = None if is_own else heartbeat.explain(EXPLANATION)
    if cause is None:
        heartbeat.fail(f"{type(error).__name__}: {error}".splitlines()[0])
        known = isinstance(error, SrtoolboxError | KeyboardInterrupt | SystemExit)
        LOGGER.error("rank %d: %s", rank(), error or type(error).__name__, exc_info=None if known else error)
    else:
        LOGGER.error("rank %d ends: %s", rank(), cause)
    heartbeat.let_others_read()
    exit_now(EXIT_INTERRUPT if isinstance(error, KeyboardInterrupt) else 1)


def local_rank() -> int:
    """Return this process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def rank() -> int:
    """Return this process's number over all machines; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes; 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """True if this is rank 0, which alone writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Wait for all ranks, also for one that works alone for longer than a collective may take."""
    if dist.is_initialized():
        dist.barrier(group=_Group.control)


def all_gather_object(value: _T) -> list[_T]:
    """Return the values of all ranks, by rank."""
    if not dist.is_initialized():
        return [value]
    gathered = [value] * world_size()
    dist.all_gather_object(gathered, value, group=_Group.control)
    return gathered


class Vote:
    """The largest value of any rank, asked for now and read later: it travels meanwhile.

    So a signal to one rank reaches all at the same iteration.
    """

    def __init__(self, value: int) -> None:
        self._value = torch.tensor([value])
        self._work = None
        if dist.is_initialized():
            self._work = dist.all_reduce(self._value, dist.ReduceOp.MAX, group=_Group.control, async_op=True)

    def result(self) -> int:
        """Wait until all ranks have voted."""
        if self._work is not None:
            self._work.wait()
        return int(self._value)


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Overwrite the buffers of all ranks with rank 0's, before saving or evaluating."""
    for buffer in module.buffers() if dist.is_initialized() else ():
        if buffer.numel():
            # as bytes, which all backends take: gloo knows no int16, some NCCL no bool
            data = buffer.detach().contiguous().flatten().view(torch.uint8)
            dist.broadcast(data, src=0)
            buffer.copy_(data.view(buffer.dtype).view(buffer.shape))


def sum_over_ranks(value: Tensor) -> None:
    """Replace a tensor by its sum over ranks, in place."""
    if dist.is_initialized():
        dist.all_reduce(value)


def mean_over_ranks(value: Tensor) -> Tensor:
    """Return the mean of a tensor over ranks, differentiable."""
    if not dist.is_initialized():
        return value
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(value) / world_size()


def averaging_gradients(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network wrapped so that the ranks average its gradients as they are computed."""
    devices = [device.index] if device.type == "cuda" else None
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of broadcast_buffers
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)
