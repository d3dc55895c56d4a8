"""How much memory there is, and what running out of it looks like."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srtoolbox.errors import SrtoolboxError
from srtoolbox.system import address_space_left
from srtoolbox.system.memory import available_bytes

UNKNOWN = 2 << 30
"""Bytes assumed to be free where the system does not tell (of another GPU than CUDA's, say)."""
_COMPLAINTS = (
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad_alloc"),
    *("could not create a primitive", "could not create a memory", "could not execute a primitive"),  # oneDNN's words
    *("cudnn_status_alloc_failed", "cublas_status_alloc_failed"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or numpy says that memory did not suffice; only in words on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _COMPLAINTS)


def first_line(error: BaseException) -> str:
    """What an error says, without the lines of places that torch adds."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def shortage_told(what: str) -> Iterator[None]:
    """Turns running out of memory into a SrtoolboxError: memory does not suffice `what`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise SrtoolboxError(f"memory does not suffice {what} ({first_line(error)})") from error


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on a device; on the CPU within the limits of the process and its control group."""
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
    """What the limit of the address space (`ulimit -v`) leaves."""
    lines = _lines(statm)
    left = address_space_left(int(lines[0].split()[0])) if lines else None
    if left is not None:
        yield left


def _group(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What the limits of the control group (containers, Slurm, systemd) and of those around it leave."""
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


_OLD_NAMES = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _reclaimable(stat: Path) -> int:
    """Bytes of cached files, which count as used but are given up when memory is wanted."""
    found = dict(line.split(" ", 1) for line in _lines(stat))
    return int(found.get("total_inactive_file", found.get("inactive_file", 0)))


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None  # 'max': no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def peak_bytes(run: Callable[[], object]) -> int:
    """Most bytes of tensors alive at once that operators make during `run`: the CPU's allocator keeps no books."""
    with _LiveBytes() as live:
        run()
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operators make while they are alive."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; otherwise torch would import its compiler first: a second, and 100 MB."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - what func gives
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        place, count = storage.data_ptr(), storage.nbytes()
        if count and place not in self._known:  # an address is taken again only after its owner is gone
            self._known.add(place)
            self.now += count
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, place, count)

    def _forget(self, place: int, count: int) -> None:
        self._known.discard(place)
        self.now -= count
