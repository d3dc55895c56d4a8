"""Tiles: a network on pictures that are too large for it in one piece, without seams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.dist import unwrap
from srtoolbox.errors import SrtoolboxError
from srtoolbox.logger import LOGGER

FEATHER = 32
"""Overlap in LR pixels where a network's receptive field is not known: tiles are cross-faded over it."""


class Span(NamedTuple):
    """A tile along an axis, in LR pixels: the network sees `start` ... `stop`, of which `low` ... `high` counts."""

    start: int
    stop: int
    low: int
    high: int


class Tiled(nn.Module):
    """A network with the same facts that works tile by tile.

    With a known receptive field r each tile sees r pixels around it, so the result is that of the whole picture: to the
    bit, or within rounding where a kernel depends on the size. Networks that see everything (attention) are cross-faded
    over an overlap instead. A tile that does not fit into a GPU's memory is halved, and so are all that follow.

    Args:
        network: one of NETWORKS.
        tile: side of a tile in LR pixels, without what it sees around it; rounded up to the network's `size_multiple`.

    Raises:
        SrtoolboxError: a tile of no size.
    """

    def __init__(self, network: nn.Module, tile: int) -> None:
        super().__init__()
        facts = unwrap(network)
        if tile < 1:
            raise SrtoolboxError(f"a tile has at least 1 pixel, got {tile}")
        self.network = network
        self.scale, self.in_channels, self.colour = facts.scale, facts.in_channels, facts.colour
        self.size_multiple, self.receptive_field = facts.size_multiple, facts.receptive_field
        self.tile = _up(tile, self.size_multiple)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W), H and W multiples of `size_multiple`."""
        while True:
            try:
                return self._tiled(lq) if max(lq.shape[-2:]) > self.tile else self.network(lq)
            except torch.OutOfMemoryError:
                smaller = _up(min(self.tile, max(lq.shape[-2:])) // 2, self.size_multiple)
                if smaller >= self.tile or smaller < 1:
                    raise
                self.tile = smaller
            torch.cuda.empty_cache()
            LOGGER.warning("out of memory: going on with tiles of %d pixels", self.tile)

    def _tiled(self, lq: Tensor) -> Tensor:
        scale, exact = self.scale, self.receptive_field is not None
        halo = _up(self.receptive_field if exact else FEATHER, self.size_multiple)
        result, weights = None, None
        for rows in spans(lq.shape[-2], self.tile, halo, self.size_multiple):
            for columns in spans(lq.shape[-1], self.tile, halo, self.size_multiple):
                part = self.network(lq[..., rows.start : rows.stop, columns.start : columns.stop])
                if result is None:
                    result = part.new_zeros(*part.shape[:2], lq.shape[-2] * scale, lq.shape[-1] * scale)
                    weights = result.new_zeros(result.shape[-2:])
                if exact:
                    _place(result, part, rows, columns, scale)
                else:
                    _fade_in(result, weights, part, (rows, columns), scale, lq.shape[-2:])
        return result if exact else result / weights


def spans(length: int, tile: int, halo: int, multiple: int) -> Iterator[Span]:
    """The tiles along an axis of `length` LR pixels, as equal as possible; all borders are multiples of `multiple`."""
    count = -(-length // tile)
    borders = [min(length, _up(length * number // count, multiple)) for number in range(count + 1)]
    for low, high in itertools.pairwise(borders):
        if low < high:
            yield Span(max(0, low - halo), min(length, high + halo), low, high)


def _place(result: Tensor, part: Tensor, rows: Span, columns: Span, scale: int) -> None:
    """Write what counts of a tile's result."""
    inside = [slice((span.low - span.start) * scale, (span.high - span.start) * scale) for span in (rows, columns)]
    target = [slice(span.low * scale, span.high * scale) for span in (rows, columns)]
    result[..., target[0], target[1]] = part[..., inside[0], inside[1]]


def _fade_in(
    result: Tensor, weights: Tensor, part: Tensor, spans: tuple[Span, Span], scale: int, size: tuple[int, int]
) -> None:
    """Add a tile's whole result, falling off towards the borders that lie inside the picture."""
    ramps = [_ramp(span, length, scale, part) for span, length in zip(spans, size, strict=True)]
    weight = ramps[0][:, None] * ramps[1]
    target = [slice(span.start * scale, span.stop * scale) for span in spans]
    result[..., target[0], target[1]] += part * weight
    weights[target[0], target[1]] += weight


def _ramp(span: Span, length: int, scale: int, like: Tensor) -> Tensor:
    """1 inside, falling linearly to almost 0 over the overlap; not where the picture ends."""
    places = torch.arange((span.stop - span.start) * scale, device=like.device, dtype=like.dtype)
    ramp = torch.ones_like(places)
    if span.start > 0:
        ramp = torch.minimum(ramp, (places + 0.5) / (2 * (span.low - span.start) * scale))
    if span.stop < length:
        ramp = torch.minimum(ramp, (len(places) - places - 0.5) / (2 * (span.stop - span.high) * scale))
    return ramp


def _up(value: int, multiple: int) -> int:
    """The next multiple from `value` up."""
    return -(-value // multiple) * multiple
