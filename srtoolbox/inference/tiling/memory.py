"""The free memory, and what running out of it looks like."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from srtoolbox.errors import SrtoolboxError
from srtoolbox.system import address_space_left
from srtoolbox.system.memory import available_bytes

UNKNOWN = 2 << 30
"""Bytes assumed to be free where the system does not say (of another GPU than CUDA's, say)."""
_MESSAGES = (
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory"),
    *("bad_alloc", "cudnn_status_alloc_failed", "cublas_status_alloc_failed"),
    # of oneDNN
    *("could not create a primitive", "could not create a memory", "could not execute a primitive"),
)
_OLD_NAMES = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def is_out_of_memory(error: BaseException) -> bool:
    """True if torch or numpy says that memory did not suffice; on the CPU only in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MESSAGES)


def first_line(error: BaseException) -> str:
    """Return the message of an error without the lines of places that torch adds."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def shortage_as_error(purpose: str) -> Iterator[None]:
    """Turn running out of memory into a SrtoolboxError: memory does not suffice `purpose`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise SrtoolboxError(f"memory does not suffice {purpose} ({first_line(error)})") from error


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be taken on a device.

    On the CPU, the limits of the process and of its control group count, too.
    """
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type == "mps":  # memory is the system's, of which Metal takes a part at most
        own = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, min([own, *_system()]))
    if device.type != "cpu":
        return UNKNOWN
    return max(0, min([*_system(), *_group(), *_process()], default=UNKNOWN))


def _system(meminfo: Path = Path("/proc/meminfo")) -> Iterator[int]:
    lines = _lines(meminfo)
    for line in lines:
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10
    free = None if lines else available_bytes()
    if free is not None:
        yield free


def _process(statm: Path = Path("/proc/self/statm")) -> Iterator[int]:
    """Yield what the limit of the address space (`ulimit -v`) leaves."""
    lines = _lines(statm)
    left = address_space_left(int(lines[0].split()[0])) if lines else None
    if left is not None:
        yield left


def _group(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Yield what the limits of the control group (containers, Slurm) and of those around it leave."""
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = root if controllers == "" else root / "memory"
        names = ("memory.max", "memory.current") if controllers == "" else _OLD_NAMES
        folder = base / path.lstrip("/")
        for place in (folder, *folder.parents):
            limit, used = (_number(place / name) for name in names)
            if limit is not None and used is not None:
                yield limit - used + _reclaimable(place / "memory.stat")
            if place == base:
                break


def _reclaimable(stat: Path) -> int:
    """Return the bytes of cached files, which count as used but are given up on demand."""
    counts = dict(line.split(" ", 1) for line in _lines(stat))
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _number(path: Path) -> int | None:
    lines = _lines(path)
    is_limited = bool(lines) and lines[0].isdigit()  # else 'max'
    return int(lines[0]) if is_limited else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
