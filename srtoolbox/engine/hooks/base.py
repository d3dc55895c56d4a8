"""The base class of hooks. docs/hooks.md says when they act and what they may touch."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from srtoolbox.errors import ConfigError

if TYPE_CHECKING:
    from srtoolbox.engine.evaluate import Evaluation
    from srtoolbox.engine.run import Run


def positive_interval(hook: str, interval: int) -> int:
    """Return the interval, or raise ConfigError where it is no number of iterations above 0."""
    if not isinstance(interval, int) or interval < 1:
        raise ConfigError(f"{hook}: interval is a number of iterations above 0, got {interval!r}", key="interval")
    return interval


def fit_interval(max_iters: int, *, most: int, times: int) -> int:
    """Return the interval, `most` at most, of what happens so many times in a run or more often."""
    return max(min(most, max_iters // times), 1)


class Phase(IntEnum):
    """The turn of a hook among those of one point; ties keep the config's order."""

    UPDATE = 0
    SAVE = 1  # before EVALUATE: a crash in an evaluation loses nothing
    EVALUATE = 2
    LOG = 3


class Hook:
    """Base of hooks: override what you need. In the first `after_iter`, `run.iter` is 1."""

    phase: Phase = Phase.LOG
    capturable = False
    """True if `after_iter` is work of the device alone, the same in each iteration: then a graph
    may hold it with the step. A class says it in its own body, subclasses do not inherit it."""
    leaves_weights = False
    """True if `after_iter` neither reads nor changes weights: what comes next may be captured.
    Said like `capturable`."""

    def set_up(self, run: Run) -> None:
        """Add to the run what checkpoints hold, on its device, before one loads. Write nothing."""

    def before_train(self, run: Run) -> None:
        """Act once, with everything built and loaded."""

    def at_start(self, run: Run) -> None:
        """Act once, before the first iteration of a run at iteration 0, with all hooks ready."""

    def after_iter(self, run: Run) -> None:
        """Act after each optimizer step."""

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        """Act after each evaluation; `run.iter` is 0 in the one of a run's start."""

    def after_train(self, run: Run, error: BaseException | None = None) -> None:
        """Act once as the run ends, also by a crash or a signal (`error`)."""

    def when_written(self, call: Callable[[], object]) -> None:
        """Call `call` as soon as no thread of this hook writes to the run's folder."""
        call()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors and plain values only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
