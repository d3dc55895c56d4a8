"""The end of a run whose score has stopped rising, or is worse than asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from srtoolbox import dist
from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.engine.hooks.checkpoint import score_fault
from srtoolbox.errors import ConfigError, Fault
from srtoolbox.logger import LOGGER
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from srtoolbox.engine.evaluate import Evaluation
    from srtoolbox.engine.run import Run


class ScoreWatcher(Hook):
    """Base of hooks that end a run by one of its scores.

    Args:
        score: what is looked at, as '<set>/<metric>'.
        after: evaluations before this many iterations do not count.
    """

    phase = Phase.LOG  # its line follows the scores

    def __init__(self, score: str, after: int) -> None:
        self.score, self.after = score, after
        self.watched_keys = (score,)  # which is measured whatever the network's colour
        self._is_missing = False

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a score that no evaluation gives, or that has no better direction."""
        score = cfg.get("score")
        fault = score_fault(score, context) if isinstance(score, str) else None
        return [Fault("score", f"score={fault}")] if fault else []

    def value_of(self, run: Run, evaluation: Evaluation) -> float | None:
        """Return the score, None where this evaluation does not count."""
        value = evaluation.scores.get(self.score)
        if value is None and not self._is_missing:
            self._is_missing = True
            if dist.is_main():
                LOGGER.warning("no early stop by %s: that set is not there", self.score)
        if value is None or run.iter < self.after or run.last_step_skipped:
            return None
        return value

    def direction(self, run: Run) -> int:
        """Return 1 for a score that is to be high, -1 for one that is to be low."""
        return 1 if run.higher_is_better(self.score.rpartition("/")[2]) else -1


@HOOKS.register
class StopWorseHook(ScoreWatcher):
    """End the run as if `max_iters` were reached, at an evaluation whose score is worse than asked.

    Worse is lower, of a metric that is to be low higher; a score that is no number is worse, too. The
    state is saved, and the best network is kept, as `CheckpointHook` does both.

    Args:
        score: what is looked at, as '<set>/<metric>'.
        than: what it may be at worst.
        after: evaluations before this many iterations do not count.
    """

    def __init__(self, score: str, than: float, after: int = 0) -> None:
        super().__init__(score, after)
        self.than = than
        self.last = math.nan  # the score that was worse
        self.has_given_up = False

    def before_train(self, run: Run) -> None:
        self.has_given_up = self.has_given_up and self._is_worse(run, self.last)  # by what is asked now
        if self.has_given_up:
            self._end(run)

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        value = self.value_of(run, evaluation)
        if value is not None and run.iter < run.max_iters and self._is_worse(run, value):
            self.last = value
            self._end(run)

    def _is_worse(self, run: Run, value: float) -> bool:
        return not self.direction(run) * (value - self.than) >= 0

    def _end(self, run: Run) -> None:
        self.has_given_up = True
        if dist.is_main():
            LOGGER.info(
                "the run is given up at iteration %d of %d: %s is %.4f, worse than %g",
                run.iter, run.max_iters, self.score, self.last, self.than,
            )  # fmt: skip
        run.max_iters = run.iter

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last, "has_given_up": self.has_given_up}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last, self.has_given_up = state["last"], state["has_given_up"]


@HOOKS.register
class EarlyStopHook(ScoreWatcher):
    """End the run as if `max_iters` were reached, after `patience` evaluations without a better score.

    The evaluation of a run's start (`load_from`) counts: what tuning makes no better ends early. The
    state is saved, and the best network is kept, as `CheckpointHook` does both. A run that has ended so
    has nothing left to do when it is resumed, unless `patience` is then larger.

    Args:
        score: what is looked at, as '<set>/<metric>'.
        patience: evaluations in a row that may bring nothing better.
        min_delta: how much better than the best so far counts as better.
        after: evaluations before this many iterations do not count.
    """

    def __init__(self, score: str, patience: int = 5, min_delta: float = 0.0, after: int = 0) -> None:
        if patience < 1:
            raise ConfigError(f"EarlyStopHook: patience is at least 1 evaluation, got {patience}", key="patience")
        if not min_delta >= 0:
            raise ConfigError(f"EarlyStopHook: min_delta is 0 or more, got {min_delta}", key="min_delta")
        super().__init__(score, after)
        self.patience, self.min_delta = patience, min_delta
        self.best: dict[str, float] = {}  # 'iter' and 'score', empty before the first evaluation
        self.waited = 0  # evaluations since
        self.counted = 0  # the last iteration whose evaluation is among them: one made again counts once

    def before_train(self, run: Run) -> None:
        if self.waited >= self.patience:
            self._end(run)

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        value = self.value_of(run, evaluation)
        if value is None:
            return
        is_new, self.counted = run.iter > self.counted, run.iter
        if self._is_better(run, value):
            self.best, self.waited = {"iter": run.iter, "score": value}, 0
            return
        self.waited += is_new
        if self.waited >= self.patience and run.iter < run.max_iters:
            self._end(run)

    def _is_better(self, run: Run, value: float) -> bool:
        if math.isnan(value) or not self.best:
            return not math.isnan(value)
        return self.direction(run) * (value - self.best["score"]) > self.min_delta

    def _end(self, run: Run) -> None:
        if dist.is_main():
            best = f"the best is {self.best['score']:.4f} at iteration {self.best['iter']}" if self.best else "none"
            LOGGER.info(
                "the run ends at iteration %d of %d: no better %s in %d evaluations, %s",
                run.iter, run.max_iters, self.score, self.waited, best,
            )  # fmt: skip
        run.max_iters = run.iter

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "counted": self.counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited, self.counted = state["best"], state["waited"], state.get("counted", 0)
