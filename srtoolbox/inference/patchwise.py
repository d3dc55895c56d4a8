"""A network run on small patches of the interpolated picture, each for itself: how the first SRCNN programs did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from srtoolbox.interfaces import NetworkWrapper, facts_of

PATCHES = ("overlapping", "non-overlapping")
SIDE = 33  # SRCNN's training patches
BATCH = 256


class Patchwise(NetworkWrapper):
    """A network of scale 1 with the same facts that sees patches of 33 x 33 pixels and nothing around them.

    'overlapping': all of them, one beginning at each pixel, and each pixel is the mean of what it is in all patches it
    lies in (about 1000 times the work). 'non-overlapping': side by side, each pixel once; the last ones are smaller.

    Args:
        network: a network of scale 1.
        patches: 'overlapping' or 'non-overlapping'.
    """

    def __init__(self, network: nn.Module, patches: str) -> None:
        radius = SIDE - 1 if patches == "overlapping" else None
        super().__init__(network, replace(facts_of(network), receptive_field=radius))
        self.step = 1 if patches == "overlapping" else SIDE

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        total, counts = torch.zeros_like(lq, dtype=torch.float32), lq.new_zeros(lq.shape[-2:], dtype=torch.float32)
        across = self._starts(lq.shape[-1])
        whole = [left for left in across if left + SIDE <= lq.shape[-1]]
        groups = [whole[first : first + BATCH] for first in range(0, len(whole), BATCH)]
        groups += [[left] for left in across if left + SIDE > lq.shape[-1]]
        for top in self._starts(lq.shape[-2]):
            rows = slice(top, top + SIDE)
            for lefts in groups:
                self._add(total[..., rows, :], counts[rows], lq[..., rows, :], lefts)
        return total / counts

    def _starts(self, length: int) -> range:
        return range(0, length if self.step == SIDE else max(1, length - SIDE + 1), self.step)

    def _add(self, total: Tensor, counts: Tensor, strip: Tensor, lefts: Sequence[int]) -> None:
        """Add the results of the patches of a strip of rows that begin at `lefts`."""
        places = [slice(left, left + SIDE) for left in lefts]
        results = self.network(torch.cat([strip[..., place] for place in places])).float()
        for place, result in zip(places, results.split(strip.shape[0]), strict=True):
            total[..., place] += result
            counts[:, place] += 1
