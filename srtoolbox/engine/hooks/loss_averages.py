"""Means of loss terms over iterations and ranks; only to read them waits for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.compat.pytorch import foreach_add_


class LossAverages:
    """Sums of named scalars, kept on their device; a term is averaged over iterations that have it.

    Sums, not a list of the values: small tensors kept alive between the big ones of an iteration
    fragment the allocator, which costs more than all the rest of logging.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._far: dict[str, Tensor] = {}  # (sum, count) of terms that are on a GPU

    def add(self, terms: Mapping[str, Tensor | float]) -> None:
        """Take in one iteration's terms: scalars, detached. None that is not finite counts.

        Nothing here waits for a GPU.
        """
        far: dict[str, Tensor] = {}
        for name, term in terms.items():
            if isinstance(term, Tensor) and _is_far(term):
                far[name] = term
            elif math.isfinite(value := float(term)):
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1
        if far:
            self._add_far(far)

    def _add_far(self, terms: Mapping[str, Tensor]) -> None:
        values = torch.stack(list(terms.values()))
        # MPS has no float64
        values = values.to(torch.float32 if values.device.type == "mps" else torch.float64)
        pairs = torch.stack((values, torch.ones_like(values)), dim=1)
        # NaN and infinity less themselves are NaN
        pairs = torch.where((values - values == 0)[:, None], pairs, 0)
        for name in terms.keys() - self._far.keys():  # a resumed run goes on from numbers
            start = [self._sums.pop(name, 0.0), self._counts.pop(name, 0)]
            self._far[name] = values.new_tensor(start)
        foreach_add_([self._far[name] for name in terms], list(pairs.unbind()))

    def take(self) -> dict[str, float]:
        """Return the means over all ranks, which must all ask, since the last call; start anew."""
        states = dist.all_gather_object(self.state_dict())
        self._sums, self._counts, self._far = {}, {}, {}
        return {
            name: sum(state[name][0] for state in states if name in state) / count
            for name in dict.fromkeys(name for state in states for name in state)
            if (count := sum(state[name][1] for state in states if name in state))
        }

    def state_dict(self) -> dict[str, tuple[float, int]]:
        """Return this rank's `{name: (sum, count)}`. Waits for the device."""
        near = {name: (total, self._counts[name]) for name, total in self._sums.items()}
        far = _fetch(self._far)
        return near | {name: (total, int(count)) for name, (total, count) in far.items()}

    def load_state_dict(self, state: Mapping[str, tuple[float, int]]) -> None:
        """Go on from what `state_dict` gave."""
        self._far = {}
        self._sums = {name: total for name, (total, _) in state.items()}
        self._counts = {name: count for name, (_, count) in state.items()}


def _is_far(term: Tensor) -> bool:
    """True if to read a value would be to wait for a device."""
    return not term.is_cpu


def _fetch(tensors: Mapping[str, Tensor]) -> dict[str, list[float]]:
    rows = torch.stack(list(tensors.values())).tolist() if tensors else []
    return dict(zip(tensors, rows, strict=True))
