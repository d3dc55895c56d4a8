"""The step of an iteration: batches, forward and backward passes, optimizers.

`EagerStep` runs it operator by operator, `GraphStep` (`graph.py`) as one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from srtoolbox.data.datasets.base import Batch

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run


class Step(Protocol):
    """A way to take the steps of a run."""

    def take(self) -> dict[str, Tensor]:
        """Take one step of a run that has begun it.

        Return the loss terms, means over its batches.
        """


class PackedTerms(dict[str, Tensor]):
    """Loss terms that are elements of one tensor, `packed`: a device copies them at once."""

    def __init__(self, names: Sequence[str], packed: Tensor) -> None:
        super().__init__(zip(names, packed.unbind(), strict=True))
        self.packed = packed


class EagerStep:
    """Steps operator by operator."""

    def __init__(self, run: Run) -> None:
        self.run = run
        run.average_gradients()

    def take(self) -> dict[str, Tensor]:
        """Take one step, see `Step`."""
        return whole_step(self.run, self.run.next_batch)


def whole_step(run: Run, next_batch: Callable[[], Batch], *, ask: bool | None = None) -> dict[str, Tensor]:
    """Take one step: `accumulation` batches through the restorer; statistics of a bad one put back.

    With `ask=False` nothing waits for the device (default: only the CPU is asked).
    """
    terms = []
    for part in range(run.accumulation):
        with run.part_of_step(part):  # the ranks average their gradients in the last one
            terms.append(run.model.train_step(next_batch(), run.optims))
    flags = [optim.nonfinite_flag for optim in run.optims.values()]
    run.statistics.after_step([flag for flag in flags if flag is not None], ask=ask)
    return terms[0] if len(terms) == 1 else _means(terms)


def _means(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return each loss term's mean over the batches that have it."""
    names = dict.fromkeys(name for part in parts for name in part)
    rows = {name: [part[name] for part in parts if name in part] for name in names}
    return {name: sum(row[1:], start=row[0]) / len(row) for name, row in rows.items()}
