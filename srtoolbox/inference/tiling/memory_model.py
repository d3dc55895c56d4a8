"""The memory that a network takes, measured on two small images."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.compat.pytorch import DispatchMode, OpOverload, tree_leaves
from srtoolbox.inference.restore import DTYPES, AutocastRestore, device_of
from srtoolbox.interfaces import NetworkWrapper, Splittable, facts_of

PROBE = 16
KERNEL_FACTOR = 1.3
"""The most that kernels take, as a multiple of the tensors that can be counted: measured on
MSRResNet, RRDBNet and ESPCN."""


class MemoryModel(NamedTuple):
    """Bytes for each LR pixel of a window."""

    network: float
    """The whole network."""
    around: float
    """The tensors of `restore` and an ensemble around the network: the result, chroma, sums."""
    body: float = 0.0
    features: float = 0.0
    """The body's result, which stays while the upsampling goes on piece by piece."""
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


_Key = tuple[bool, str, torch.device]
_measured: weakref.WeakKeyDictionary[nn.Module, dict[_Key, MemoryModel]] = weakref.WeakKeyDictionary()


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

    whole = slope(AutocastRestore(network, dtype, ensemble=ensemble), 3)
    around = slope(AutocastRestore(_Stub(network), "fp32", ensemble=ensemble), 3)
    if not isinstance(network, Splittable):
        return MemoryModel(whole, around)
    split = network
    with torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "fp32"):
        body = slope(split.extract, channels)
        small = torch.zeros(1, channels, side, side, device=device)
        features = split.extract(small)
        tail = slope(lambda lq: split.reconstruct(_zeros_like(features, lq, side), lq), channels)
    return MemoryModel(whole, around, body, features.nbytes / small[0, 0].numel(), tail)


def _zeros_like(features: Tensor, lq: Tensor, side: int) -> Tensor:
    """Return features for `lq` in the type and proportion of those of an image of `side` pixels."""
    size = [features.shape[axis] * lq.shape[axis] // side for axis in (2, 3)]
    return features.new_zeros(*features.shape[:2], *size)


class _Stub(NetworkWrapper):
    """Takes a network's place, to measure what is needed around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, replace(facts_of(network), receptive_field=None))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        return F.interpolate(lq, scale_factor=self.scale, mode="nearest")


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the most bytes of tensors alive at once that operators make during `run`.

    They are counted, since the CPU's allocator keeps no books.
    """
    with _LiveBytes() as live:
        run()
    return live.peak


class _LiveBytes(DispatchMode):
    """Counts the bytes of the tensors that operators make while they are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._places: set[int] = set()

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Run an operator, and count the memory that is new in its result."""
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        old = {tensor.untyped_storage().data_ptr() for tensor in inputs}
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in old:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        place, count = storage.data_ptr(), storage.nbytes()
        if count and place not in self._places:  # an address is reused only after its owner is gone
            self._places.add(place)
            self.now += count
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, place, count)

    def _forget(self, place: int, count: int) -> None:
        self._places.discard(place)
        self.now -= count
