"""A captured step: its inputs, what it relies on, and if it equals the step it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from srtoolbox.data.datasets.base import Batch
from srtoolbox.engine.hooks.base import Hook
from srtoolbox.engine.step.frozen import Constants, State

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

TERMS, UPDATES = 1e-4, 0.05
"""Relative differences beyond rounding: of a loss term, and of all that a step changes.

Gradients may be summed in another order each time, and Adam makes much of little ones."""


class Outcome(NamedTuple):
    """The results of a step: its terms in one tensor, the flags of optimizers that stepped."""

    names: list[str]
    terms: Tensor
    flags: dict[str, Tensor]


class Capture:
    """A captured step: its inputs, the work to replay, what comes out, and on what it relies."""

    def __init__(self, inputs: Sequence[Batch], work: Sequence[Callable[[], object]], outcome: Outcome) -> None:
        self.inputs, self.work, self.outcome, self.replays = inputs, work, outcome, 0
        self.gradients: list[tuple[Tensor, Tensor]] = []

    def rely_on(self, run: Run, hooks: dict[str, Hook], state: State) -> None:
        """Keep what must be as it is now whenever the capture is replayed."""
        self._state, self._places, self._constants = state, state.places(), Constants(run, hooks)
        parameters = [parameter for optim in run.optims.values() for parameter in optim.parameters]
        self.gradients = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]

    def change(self) -> str | None:
        """Return what is no longer as captured, None if it may be replayed."""
        moved = None if self._state.places() == self._places else "where a tensor lies"
        return moved or self._constants.change()

    def fill(self, batches: Sequence[Batch]) -> None:
        """Copy batches into its inputs."""
        for target, batch in zip(self.inputs, batches, strict=True):
            for key, value in target.items():
                value.copy_(batch[key], non_blocking=True)

    def replay(self) -> None:
        """Do its work, and let the parameters have its gradients."""
        for part in self.work:
            part()
        for parameter, gradient in self.gradients:
            if parameter.grad is not gradient:
                parameter.grad = gradient


def difference(by_graph: Outcome, expected: Tensor) -> str | None:
    """Return the sentence about a term that a graph computes otherwise, None if none is."""
    for name, one, other in zip(by_graph.names, by_graph.terms.tolist(), expected.tolist(), strict=True):
        if one != other and not abs(one - other) <= TERMS * abs(other) and (one == one or other == other):
            return f"the term {name!r} is {other:.6g} by the step itself and {one:.6g} by its graph"
    return None


def distance(tensors: Sequence[Tensor], expected: Sequence[Tensor], start: Sequence[Tensor]) -> str | None:
    """Return the sentence about an update that a graph does otherwise, None if it is the same.

    Each tensor is judged by how far it should go, and counts by its size: weights, moments and
    counts of steps go so differently far that in one sum the larger would hide all others.
    """
    away = size = 0.0
    for now, value, first in zip(tensors, expected, start, strict=True):
        step, error = _squares(value, first), _squares(now, value)
        away += now.numel() * (min(error / step, 1.0) if step else float(error > 0))
        size += now.numel() * (step > 0 or error > 0)
    share = (away / size) ** 0.5 if size else 0.0
    if share <= UPDATES:
        return None
    return f"weights and moments after the step and after its graph differ by {share:.2g} of the update"


def _squares(one: Tensor, other: Tensor) -> float:
    """Return the sum of squared differences of two tensors of any kind, booleans too."""
    values = [(torch.view_as_real(value) if value.is_complex() else value).double() for value in (one.detach(), other)]
    return float((values[0] - values[1]).nan_to_num(posinf=1e100, neginf=-1e100).square().sum())
