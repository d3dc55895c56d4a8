"""Networks made of another one: run in eight orientations, on patches, or with pieces upsampled."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from srtoolbox.inference.tiling import Tile, cut_axis
from srtoolbox.interfaces import NetworkWrapper, Refinable, Splittable, facts_of, unwrap

FLIPS: Sequence[tuple[int, ...]] = ((), (-1,), (-2,), (-2, -1))
PATCHES = ("overlapping", "non-overlapping")
PATCH_SIDE = 33  # SRCNN's training patches
PATCH_BATCH = 256
PIECE = 8192
"""Most LR pixels of a piece: small enough for the caches, which pays for what it sees around it.
On MSRResNet a little faster than 32768, with three quarters of the memory (docs/large_images.md)."""


class SelfEnsemble(NetworkWrapper):
    """A network averaged over the eight flips and quarter turns of its input.

    The "x8" or "+" of the papers (Timofte et al. 2016, "Seven ways to improve example-based single
    image super resolution", arXiv:1511.02228; Lim et al. 2017, EDSR+): some hundredths to tenths
    of a dB for eight times the work.

    Args:
        network: one of NETWORKS.
    """

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W): the float32 mean of eight results."""
        orientations = itertools.product((False, True), FLIPS)
        total = self._run(lq, *next(orientations)).contiguous()
        for orientation in orientations:
            total.add_(self._run(lq, *orientation))
        return total / 8

    def _run(self, lq: Tensor, is_transposed: bool, flips: tuple[int, ...]) -> Tensor:
        """Run the network on one orientation of `lq`, and turn its result back."""
        oriented = torch.flip(lq.transpose(-2, -1) if is_transposed else lq, flips)
        result = torch.flip(self.network(oriented).float(), flips)
        return result.transpose(-2, -1) if is_transposed else result


class RefinementOnly(NetworkWrapper):
    """A pre-upsampling network (`Refinable`) without its interpolation: a network of scale 1."""

    def __init__(self, network: nn.Module) -> None:
        bare = unwrap(network)
        assert isinstance(bare, Refinable)
        facts = replace(facts_of(bare), scale=1, size_multiple=1, receptive_field=bare.refine_field)
        super().__init__(bare, facts)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""
        assert isinstance(self.network, Refinable)
        return self.network.refine(lq)


class Patchwise(NetworkWrapper):
    """A network of scale 1 on patches of 33 x 33 pixels, as the first programs of SRCNN ran it.

    'overlapping': all of them, one beginning at each pixel, and each pixel is the mean of its
    values in all patches that it lies in (about 1000 times the work). 'non-overlapping': side by
    side, each pixel once; the last ones are smaller. A patch sees nothing around it.

    Args:
        network: a network of scale 1.
        patches: 'overlapping' or 'non-overlapping'.
    """

    def __init__(self, network: nn.Module, patches: str) -> None:
        field = PATCH_SIDE - 1 if patches == "overlapping" else None
        super().__init__(network, replace(facts_of(network), receptive_field=field))
        self.step = 1 if patches == "overlapping" else PATCH_SIDE

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        total = torch.zeros_like(lq, dtype=torch.float32)
        counts = lq.new_zeros(lq.shape[-2:], dtype=torch.float32)
        lefts = self._starts(lq.shape[-1])
        full = [left for left in lefts if left + PATCH_SIDE <= lq.shape[-1]]
        groups = [full[first : first + PATCH_BATCH] for first in range(0, len(full), PATCH_BATCH)]
        groups += [[left] for left in lefts if left + PATCH_SIDE > lq.shape[-1]]
        for top in self._starts(lq.shape[-2]):
            rows = slice(top, top + PATCH_SIDE)
            for group in groups:
                self._add_patches(total[..., rows, :], counts[rows], lq[..., rows, :], group)
        return total / counts

    def _starts(self, length: int) -> range:
        overlapping = self.step == 1
        return range(0, max(1, length - PATCH_SIDE + 1) if overlapping else length, self.step)

    def _add_patches(self, total: Tensor, counts: Tensor, strip: Tensor, lefts: Sequence[int]) -> None:
        """Add the results of the patches of a strip of rows that begin at `lefts`."""
        places = [slice(left, left + PATCH_SIDE) for left in lefts]
        results = self.network(torch.cat([strip[..., place] for place in places])).float()
        for place, result in zip(places, results.split(strip.shape[0]), strict=True):
            total[..., place] += result
            counts[:, place] += 1


class PiecewiseUpsampling(NetworkWrapper):
    """A network that upsamples the features of the whole image piece by piece: exact and small.

    At four times the size a feature map takes sixteen times the memory; so nearly all that a
    network with several upsampling steps needs, it needs there, but there it sees few pixels around.

    Args:
        network: one of NETWORKS that is `Splittable`, bare.
    """

    piece: int | None = PIECE
    """The most LR pixels of a piece, to be changed at will; None: all in one."""

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        height, width = lq.shape[-2:]
        if self.piece is None or height * width <= self.piece:
            return self.network(lq)
        network, scale = self.network, self.scale
        assert isinstance(network, Splittable)
        features = network.extract(lq)
        cell, halo = width // features.shape[-1], network.reconstruct_field
        side = int(self.piece**0.5)
        across = width if width <= 4 * side else side  # whole rows lie in one stretch of memory
        result: Tensor | None = None
        for rows in cut_axis(height, max(1, self.piece // across), halo, cell):
            for columns in cut_axis(width, across, halo, cell):
                part = network.reconstruct(_window(features, rows, columns, cell), _window(lq, rows, columns))
                if result is None:
                    result = part.new_empty(*part.shape[:2], height * scale, width * scale)
                kept = part[..., rows.source(scale), columns.source(scale)]
                result[..., rows.target(scale), columns.target(scale)] = kept
        assert result is not None
        return result


def _window(tensor: Tensor, rows: Tile, columns: Tile, cell: int = 1) -> Tensor:
    tall, wide = (slice(tile.read_start // cell, tile.read_stop // cell) for tile in (rows, columns))
    return tensor[..., tall, wide]
