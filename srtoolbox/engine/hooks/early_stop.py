"""The end of a run whose score has stopped rising."""

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


@HOOKS.register
class EarlyStopHook(Hook):
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

    phase = Phase.LOG  # its line follows the scores

    def __init__(self, score: str, patience: int = 5, min_delta: float = 0.0, after: int = 0) -> None:
        if patience < 1:
            raise ConfigError(f"EarlyStopHook: patience is at least 1 evaluation, got {patience}", key="patience")
        if not min_delta >= 0:
            raise ConfigError(f"EarlyStopHook: min_delta is 0 or more, got {min_delta}", key="min_delta")
        self.score, self.patience, self.min_delta, self.after = score, patience, min_delta, after
        self.best: dict[str, float] = {}  # 'iter' and 'score', empty before the first evaluation
        self.waited = 0  # evaluations since
        self.watched_keys = (score,)  # which is measured whatever the network's colour
        self._is_missing = False
        self.counted = 0  # the last iteration whose evaluation is among them: one made again counts once

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a score that no evaluation gives, or that has no better direction."""
        score = cfg.get("score")
        fault = score_fault(score, context) if isinstance(score, str) else None
        return [Fault("score", f"score={fault}")] if fault else []

    def before_train(self, run: Run) -> None:
        if self.waited >= self.patience:
            self._end(run)

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        value = evaluation.scores.get(self.score)
        if value is None and not self._is_missing:
            self._is_missing = True
            if dist.is_main():
                LOGGER.warning("no early stop by %s: that set is not there", self.score)
        if value is None or run.iter < self.after or run.last_step_skipped:
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
        direction = 1 if run.higher_is_better(self.score.rpartition("/")[2]) else -1
        return direction * (value - self.best["score"]) > self.min_delta

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
