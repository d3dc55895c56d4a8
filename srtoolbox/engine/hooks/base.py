"""The base class of hooks, and the order in which they act; docs/hooks.md says what they may touch.

for hook in hooks: hook.set_up(run)                     # while the run is built; then a checkpoint is loaded
for hook in hooks: hook.before_train(run)
for hook in hooks: hook.at_start(run)                   # of a run at iteration 0
while run.iter < run.max_iters:
    run.terms = model.train_step(next(batches), optims)
    run.iter += 1
    for hook in hooks: hook.after_iter(run)             # by phase: UPDATE, SAVE, EVALUATE, LOG
        (the evaluating hook calls hook.after_eval(run, evaluation) of all)
for hook in hooks: hook.after_train(run, error)         # always, with the exception that ended the run, if any
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from srtoolbox.errors import ConfigError

if TYPE_CHECKING:
    from srtoolbox.engine.evaluate import Evaluation
    from srtoolbox.engine.run import Run


def positive_interval(hook: str, interval: int) -> int:
    """Return the interval.

    Raises:
        ConfigError: it is not a whole number of iterations above 0.
    """
    if not isinstance(interval, int) or interval < 1:
        raise ConfigError(f"{hook}: interval is a number of iterations above 0, got {interval!r}", key="interval")
    return interval


def fit_interval(max_iters: int, *, most: int, times: int) -> int:
    """Return an interval by which something happens so many times in a run, and more often in a long one.

    Args:
        max_iters: of the run.
        most: the longest interval.
        times: in a run no longer than that many intervals.
    """
    return max(min(most, max_iters // times), 1)


class Phase(IntEnum):
    """When a hook acts among those of one point; ties keep the config's order.

    Saving precedes evaluating, so that a crash in an evaluation loses nothing.
    """

    UPDATE = 0
    SAVE = 1
    EVALUATE = 2
    LOG = 3


class Hook:
    """Override what you need. `iter` counts finished iterations: in the first `after_iter`, `run.iter` is 1."""

    phase: Phase = Phase.LOG

    def set_up(self, run: Run) -> None:
        """Add to the run what checkpoints hold, on its device, before one is loaded. Writes nothing."""

    def before_train(self, run: Run) -> None:
        """Once, with everything built and loaded."""

    def at_start(self, run: Run) -> None:
        """Once, before the first iteration of a run that begins at iteration 0, when all hooks are ready."""

    def after_iter(self, run: Run) -> None:
        """After each optimizer step."""

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        """After each evaluation; `run.iter` is 0 in the one of a run's start."""

    def after_train(self, run: Run, error: BaseException | None = None) -> None:
        """Once, also after a crash or a signal (`error`)."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: tensors and plain values only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
