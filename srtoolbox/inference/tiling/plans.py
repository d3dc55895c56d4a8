"""How a picture is cut so that it fits into the memory there is, with the least work."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.dist import unwrap
from srtoolbox.inference.ensemble import SelfEnsemble
from srtoolbox.inference.precision import Restoring
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.inference.tiling.split import AREA, Split, Splits
from srtoolbox.inference.tiling.stitch import Grid
from srtoolbox.inference.tiling.tiles import round_up, spans
from srtoolbox.interfaces import facts_of, set_facts

SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32)
AREAS = (AREA, AREA // 4, AREA // 16)
PROBE = 16
MARGIN = 1.3
"""What kernels take beside the tensors that can be counted, at most: measured on MSRResNet, RRDBNet and ESPCN."""


class Plan(NamedTuple):
    """How to run: on windows of a grid, the upsampling in pieces of `area` LR pixels (None: in one)."""

    tile: tuple[int, int] | None
    area: int | None


class Way(NamedTuple):
    """What decides how windows overlap."""

    halo: int
    multiple: int
    fade: bool

    def grid(self, height: int, width: int, tile: tuple[int, int] | None, batch: int = 1) -> Grid:
        """The windows of a picture; `tile` None: one."""
        rows, columns = tile or (height, width)
        pairs = ((height, rows), (width, columns))
        return Grid(*(spans(n, side, self.halo, self.multiple, fade=self.fade) for n, side in pairs), batch)

    def largest(self, size: tuple[int, int], tile: tuple[int, int] | None) -> int:
        """Pixels of the largest window of a picture."""
        return math.prod(max(span.stop - span.start for span in axis) for axis in self.grid(*size, tile)[:2])

    def work(self, size: tuple[int, int], tile: tuple[int, int] | None) -> float:
        """Pixels of all windows, as a multiple of the picture's."""
        axes = self.grid(*size, tile)[:2]
        return math.prod(sum(span.stop - span.start for span in axis) for axis in axes) / math.prod(size)


class Needs(NamedTuple):
    """Bytes for each LR pixel of a window."""

    plain: float
    """The whole network."""
    around: float
    """What `restore` and an ensemble make around the network: the result, chroma, sums."""
    body: float = 0.0
    features: float = 0.0
    """What the body leaves, which stays while the upsampling goes on piece by piece."""
    tail: float = 0.0

    def of(self, window: int, area: int | None, halo: int) -> float:
        """Bytes that a window of so many pixels takes, in pieces of `area` with a halo."""
        if area is None or window <= area:
            return MARGIN * self.plain * window
        piece = (area**0.5 + 2 * halo) ** 2
        inner = max(self.body * window, self.features * window + self.tail * piece)
        return MARGIN * (self.around * window + inner)


_measured: weakref.WeakKeyDictionary[nn.Module, dict[tuple, Needs]] = weakref.WeakKeyDictionary()


class Planner:
    """Chooses the plan of least work that fits.

    Args:
        network: one of NETWORKS, bare; on its device, in evaluation mode when it is asked.
        wrap: what makes of the network what is run: an ensemble, or nothing.
        dtype: one of `precision.DTYPES`.
    """

    def __init__(self, network: nn.Module, wrap: Callable[[nn.Module], nn.Module], dtype: str) -> None:
        self.network, self.wrap, self.dtype = network, wrap, dtype

    @property
    def needs(self) -> Needs:
        """What the network takes, measured at first use and remembered as long as the network lives."""
        known = _measured.setdefault(self.network, {})
        key = self.wrap, self.dtype, _device(self.network)
        if key not in known:
            known[key] = self._measure()
        return known[key]

    def plan(self, way: Way, size: tuple[int, int], row_bytes: int, room: float, batch: int = 1) -> Plan | None:
        """The best plan for a picture; None: none fits.

        Args:
            way: how windows overlap.
            size: (height, width) of the picture in LR pixels.
            row_bytes: what the part of the result that belongs to one row of LR pixels takes while it is put together.
            room: bytes that may be used.
            batch: how many windows of a row are run together.
        """
        halo = self.network.reconstruct_field if isinstance(self.network, Splits) else 0
        areas = AREAS if isinstance(self.network, Splits) else (None,)
        tiles = [None, *((rows, columns) for columns in SIDES for rows in SIDES if rows <= columns)]
        best: tuple[float, Plan] | None = None
        for tile in tiles:
            window, work = way.largest(size, tile), way.work(size, tile)
            grid = way.grid(*size, tile)
            band = max(span.high - span.low for span in grid.rows) * row_bytes
            together = min(batch, len(grid.columns))
            for area in areas:
                work_here = work * (_overhead(area, halo) if area else 1.0)
                fits = together * self.needs.of(window, area, halo) + band <= room
                if fits and (best is None or work_here < best[0]):
                    best = work_here, Plan(tile, area)
        return best[1] if best else None

    def _measure(self) -> Needs:
        """Run on two small pictures: the difference is free of what does not grow with the picture."""
        plain = self._slope(Restoring(self.wrap(self.network), self.dtype), 3)
        around = self._slope(Restoring(self.wrap(_Nothing(self.network)), "fp32"), 3)
        if not isinstance(self.network, Splits):
            return Needs(plain, around)
        network, channels = self.network, self.network.in_channels
        device = _device(network)
        with torch.autocast(device.type, Restoring(network, self.dtype).dtype, enabled=self.dtype != "fp32"):
            body = self._slope(network.extract, channels)
            small = torch.zeros(1, channels, *[round_up(PROBE, network.size_multiple)] * 2, device=device)
            features = network.extract(small)
            kept = features.nbytes / small[0, 0].numel()
            tail = self._slope(lambda lq: network.reconstruct(_like(features, lq, small), lq), channels)
        return Needs(plain, around, body, kept, tail)

    def _slope(self, run: Callable[[Tensor], object], channels: int) -> float:
        found = []
        side = round_up(PROBE, self.network.size_multiple)
        for length in (side, 2 * side):
            probe = torch.zeros(1, channels, length, length, device=_device(self.network))
            found.append(peak_bytes(lambda probe=probe: run(probe)))
        return max(0.0, (found[1] - found[0]) / (3 * side * side))


class _Nothing(nn.Module):
    """Takes a network's place to find what is needed around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        set_facts(self, replace(facts_of(network), receptive_field=None))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        return F.interpolate(lq, scale_factor=self.scale, mode="nearest")


def wrapper(ensemble: bool) -> Callable[[nn.Module], nn.Module]:
    """What turns a network into what is run."""
    return SelfEnsemble if ensemble else _itself


def split(network: nn.Module, area: int | None) -> nn.Module:
    """The network, its upsampling in pieces of `area` LR pixels if that is not None."""
    return network if area is None else Split(network, area)


def _itself(network: nn.Module) -> nn.Module:
    return network


def _like(features: Tensor, lq: Tensor, small: Tensor) -> Tensor:
    """Features for `lq`, by the sizes of those of `small`."""
    size = [features.shape[axis] * lq.shape[axis] // small.shape[axis] for axis in (2, 3)]
    return features.new_zeros(*features.shape[:2], *size)


def _overhead(area: int, halo: int) -> float:
    """The work with the upsampling, about half of the network, in pieces of `area` with a halo."""
    return (1 + (area**0.5 + 2 * halo) ** 2 / area) / 2


def _device(network: nn.Module) -> torch.device:
    return next(unwrap(network).parameters(), torch.empty(0)).device
