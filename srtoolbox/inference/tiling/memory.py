"""The free memory, and what running out of it looks like."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.compat.pytorch import DispatchMode, OpOverload, tree_leaves
from srtoolbox.devices import is_out_of_memory
from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.restore import DTYPES, AutocastRestore, device_of
from srtoolbox.interfaces import NetworkWrapper, Opaque, Splittable, facts_of
from srtoolbox.system import address_space_left, available_bytes
from srtoolbox.text import first_line

UNKNOWN = 2 << 30  # bytes assumed to be free where the system does not say (of other GPUs, say)


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
    """Yield what the limits of the control group (containers, Slurm) and those around it leave."""
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base, names = root, ("memory.max", "memory.current")
        if controllers:  # of version 1
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        folder = base / path.lstrip("/")
        for place in (folder, *folder.parents):
            limit, used = (_number(place / name) for name in names)
            if limit is not None and used is not None:
                counts = dict(line.split(" ", 1) for line in _lines(place / "memory.stat"))
                # cached files count as used, but are given up on demand
                cached = counts.get("total_inactive_file", counts.get("inactive_file", 0))
                yield limit - used + int(cached)
            if place == base:
                break


def _number(path: Path) -> int | None:
    lines = _lines(path)
    is_limited = bool(lines) and lines[0].isdigit()  # else 'max'
    return int(lines[0]) if is_limited else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


PROBE = 16
KERNEL_FACTOR = 1.3  # the most that kernels take to what can be counted, of three networks


class MemoryModel(NamedTuple):
    """Bytes for each LR pixel of a window."""

    network: float  # the whole
    around: float  # the tensors of `restore` and an ensemble around it: the result, chroma, sums
    body: float = 0.0
    features: float = 0.0  # the body's result, which stays while it is upsampled piece by piece
    tail: float = 0.0

    def bytes_of(self, window: int, piece: int | None, halo: int) -> float:
        """Return the bytes that a window takes.

        Args:
            window: LR pixels.
            piece: LR pixels of the pieces of the upsampling; None: in one.
            halo: what the upsampling sees around a piece.
        """
        if piece is None or window <= piece:
            return KERNEL_FACTOR * self.network * window
        area = (piece**0.5 + 2 * halo) ** 2
        inner = max(self.body * window, self.features * window + self.tail * area)
        return KERNEL_FACTOR * (self.around * window + inner)


_Models = dict[tuple[bool, str, torch.device], MemoryModel]
_measured: weakref.WeakKeyDictionary[nn.Module, _Models] = weakref.WeakKeyDictionary()


def memory_model_of(network: nn.Module, dtype: str, *, ensemble: bool = False) -> MemoryModel:
    """Return what a network takes, measured at first use and remembered as long as it lives.

    Args:
        network: one of NETWORKS, bare; on its device, in evaluation mode.
        dtype: one of `restore.DTYPES`.
        ensemble: with eight orientations, see `SelfEnsemble`.
    """
    models, key = _measured.setdefault(network, {}), (ensemble, dtype, device_of(network))
    if key not in models:
        models[key] = _measure(network, dtype, ensemble)
    return models[key]


def _measure(network: nn.Module, dtype: str, ensemble: bool) -> MemoryModel:
    facts, device = facts_of(network), device_of(network)
    side, channels = facts.fit(PROBE), facts.in_channels

    def slope(run: Callable[[Tensor], object], channels: int) -> float:
        """Return the bytes for each pixel, without those that do not grow with the image."""
        probes = (torch.zeros(1, channels, n, n, device=device) for n in (side, 2 * side))
        small, large = (peak_bytes(partial(run, probe)) for probe in probes)
        return max(0.0, (large - small) / (3 * side * side))

    around = slope(AutocastRestore(_Stub(network), "fp32", ensemble=ensemble), 3)
    if isinstance(network, Opaque):
        return MemoryModel(around + network.hidden_bytes, around)
    whole = slope(AutocastRestore(network, dtype, ensemble=ensemble), 3)
    if not isinstance(network, Splittable):
        return MemoryModel(whole, around)
    split = network
    with torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "fp32"):
        body = slope(split.extract, channels)
        small = torch.zeros(1, channels, side, side, device=device)
        features = split.extract(small)

        def reconstruct(lq: Tensor) -> Tensor:
            size = [features.shape[axis] * lq.shape[axis] // side for axis in (2, 3)]
            return split.reconstruct(features.new_zeros(*features.shape[:2], *size), lq)

        tail = slope(reconstruct, channels)
    return MemoryModel(whole, around, body, features.nbytes / small[0, 0].numel(), tail)


class _Stub(NetworkWrapper):
    """Takes a network's place, to measure what is needed around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, replace(facts_of(network), receptive_field=None))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        return F.interpolate(lq, scale_factor=self.scale, mode="nearest")


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the most bytes of tensors alive at once that operators make during `run`."""
    with _LiveBytes() as live:
        run()
    return live.peak


class _LiveBytes(DispatchMode):
    """Counts the bytes of tensors while they are alive: the CPU's allocator keeps no books."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._places: set[int] = set()

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Run an operator, and count the memory that is new in its result."""
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        old = {tensor.untyped_storage().data_ptr() for tensor in inputs}
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        for storage in [tensor.untyped_storage() for tensor in outputs]:
            place, count = storage.data_ptr(), storage.nbytes()
            # an address is reused only after its owner is gone
            if count and place not in old and place not in self._places:
                self._places.add(place)
                self.now += count
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, place, count)
        return result

    def _forget(self, place: int, count: int) -> None:
        self._places.discard(place)
        self.now -= count
