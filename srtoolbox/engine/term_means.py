"""Means of loss terms over iterations and ranks, which cost no wait for the device until they are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from srtoolbox import dist


class TermMeans:
    """Sums of named scalars, kept on their device. A term that only some iterations have is averaged over those.

    Sums, not a list of the values: small tensors kept alive between the big ones of an iteration fragment the
    allocator, which costs more than all the rest of logging.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, Tensor | float]) -> None:
        """Take in one iteration's terms: scalars, detached.

        On the CPU those that are not finite are left out, as their step is; on a GPU asking would be waiting.
        """
        for name, term in terms.items():
            total = self._sums.get(name, 0.0)
            if isinstance(term, Tensor) and term.device.type != "cpu":
                total = total if isinstance(total, Tensor) else _like(term, total)
            elif not math.isfinite(term := float(term)):
                continue
            self._sums[name] = total + term
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means over all iterations since the last call and all ranks, which must all ask. Starts anew."""
        states = dist.all_gather_object(self.state_dict())
        self._sums, self._counts = {}, {}
        return {
            name: sum(state[name][0] for state in states if name in state) / count
            for name in dict.fromkeys(name for state in states for name in state)
            if (count := sum(state[name][1] for state in states if name in state))
        }

    def state_dict(self) -> dict[str, tuple[float, int]]:
        """This rank's `{name: (sum, count)}`. Waits for the device."""
        return {name: (float(total), self._counts[name]) for name, total in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, tuple[float, int]]) -> None:
        """Go on from what `state_dict` gave."""
        self._sums = {name: total for name, (total, _) in state.items()}
        self._counts = {name: count for name, (_, count) in state.items()}


def _like(term: Tensor, total: float) -> Tensor:
    """A total to which such terms can be added without rounding to their precision."""
    dtype = torch.float32 if term.device.type == "mps" else torch.float64  # MPS has no float64
    return torch.tensor(total, dtype=dtype, device=term.device)
