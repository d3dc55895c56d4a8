"""A search: values are drawn, and what was learned of earlier ones decides the next.

Several processes may work on one search, in one folder. A trial whose process was killed is taken
up again: it is running, as the study says, and nobody holds its lock.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from srtoolbox.apps.comparison.runs import ComparedRun
from srtoolbox.apps.sweep.launch import PlannedRun, Todo
from srtoolbox.apps.sweep.names import name_runs
from srtoolbox.apps.sweep.plan import refuse_another_config, todo
from srtoolbox.apps.sweep.processes import iteration_of_log
from srtoolbox.apps.sweep.study import Trial
from srtoolbox.apps.sweep.trainer import Outcome, Trainer
from srtoolbox.apps.sweep.values import Choices
from srtoolbox.engine.job.report import Ending
from srtoolbox.engine.job.run_config import shown
from srtoolbox.engine.job.workdir import is_in_use, note_ending, read_notes
from srtoolbox.errors import DataError
from srtoolbox.io.files import make_folder
from srtoolbox.logger import progress_bar
from srtoolbox.plots.run_log import Curve, read_run
from srtoolbox.system import FileLock, acquire_or_warn

_NONE = np.zeros(0)
_OUTCOMES = {
    Ending.FAILED.value: Outcome.FAILED,
    Ending.HALTED.value: Outcome.HALTED,
    Ending.PRUNED.value: Outcome.PRUNED,
}
_BEHIND = (Outcome.PRUNED, Outcome.HALTED)  # values that are worse than others, which a failure says nothing of
_PAUSE = 0.05  # seconds, while another process takes a trial


class AnyStudy(Protocol):
    """The record of a search, as it needs it: `study.Study`."""

    def trials(self) -> list[Trial]: ...
    def ask(self) -> Trial: ...
    def report(self, trial: Trial, iteration: int, score: float) -> bool: ...
    def tell(self, trial: Trial, score: float | None, *, is_pruned: bool = False) -> None: ...


@dataclass
class Search:
    """The trials of one process.

    Attributes:
        choices: what is searched, and what holds in all runs.
        folder: of the sweep.
        study: the record.
        trainer: trains.
        by: the score that is to become best.
        higher: True if it is to be high.
        count: how many trials there are to be, those of all processes and calls.
    """

    choices: Sequence[Choices]
    folder: Path
    study: AnyStudy
    trainer: Trainer
    by: str
    higher: bool
    count: int
    _tried: set[int] = field(default_factory=set)

    def train_all(self) -> None:
        """Train until there are as many trials as asked for.

        Raises:
            RunError: the folder of a trial holds a run with another config.
            Interrupted: a signal came.
        """
        make_folder(self.folder)
        for run in self.runs():
            refuse_another_config(run)
        with self.trainer.trainings.active(), progress_bar("search", self.trainer.console) as show:
            while (taken := self._take()) is not None:
                trial, lock = taken
                try:
                    self._train(trial, show)
                finally:
                    lock.release(remove=True)

    def runs(self) -> list[PlannedRun]:
        """Return the runs of all trials."""
        return [self._planned(trial) for trial in self.study.trials()]

    def _planned(self, trial: Trial) -> PlannedRun:
        overrides = []
        for each in self.choices:
            if not each.is_swept:
                overrides.append(each.overrides[0])
            elif each.range:
                overrides.append(f"{each.key}={trial.values[each.key]!r}")
            else:
                overrides.append(each.overrides[[*map(shown, each.values)].index(trial.values[each.key])])
        (name,) = name_runs([trial.values])
        return self.trainer.launch.plan(overrides, self.folder / f"trial_{trial.number:04d},{name}")

    def _take(self) -> tuple[Trial, FileLock] | None:
        """Return a trial that a kill left, else a new one, and its lock; None when there are enough."""
        with self._alone():
            trials = self.study.trials()
            for trial in trials:
                if trial.is_running and trial.number not in self._tried:
                    lock = self._lock(trial)
                    if acquire_or_warn(lock, "see that no trial runs twice at a time"):
                        if not is_in_use(lock.path.parent):
                            return trial, lock
                        lock.release(remove=True)
            if len(trials) >= self.count:
                return None
            trial = self.study.ask()
            lock = self._lock(trial)
            acquire_or_warn(lock, "see that no trial runs twice at a time")
            return trial, lock

    def _lock(self, trial: Trial) -> FileLock:
        work_dir = self._planned(trial).work_dir
        make_folder(work_dir)
        return FileLock(work_dir / "trial.lock")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process takes a trial."""
        lock = FileLock(self.folder / "search.lock")
        while not acquire_or_warn(lock, "start the calls of this search one after the other"):
            self.trainer.heed_signals()
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            lock.release(remove=True)

    def _train(self, trial: Trial, show: Callable[[float, int], object]) -> None:
        """Train a trial to its end, and tell the study what has come of it; of one that goes on later, nothing."""
        self._tried.add(trial.number)
        run, label = self._planned(trial), f"[{trial.number + 1}/{self.count}]"
        what, why = todo(run, retry=False)
        if what is Todo.LEAVE:  # a kill came before its result was told
            ending, text = read_notes(run.work_dir).get("ending"), f"{what.value}: {why}"
            outcome = _OUTCOMES.get(str(ending), Outcome.ENDED)
        else:
            outcome, text = self._watched(trial, run, what, label, show)
            later = max(self.count - trial.number - 1, 0)
            text += self.trainer.times(later, later * run.max_iters)
        score = self._best(run) if outcome is Outcome.ENDED else None
        if outcome is Outcome.ENDED and score is None:
            outcome, text = Outcome.FAILED, f"{text}; it has no {self.by}"
        if outcome in (Outcome.STOPPED, Outcome.FAILED):
            self.trainer.unfinished[run.name] = text
        if outcome in (Outcome.ENDED, Outcome.FAILED, *_BEHIND):
            self.study.tell(trial, score, is_pruned=outcome in _BEHIND)
        self.trainer.say(f"{label} {run.name}: {text}")

    def _watched(
        self, trial: Trial, run: PlannedRun, what: Todo, label: str, show: Callable[[float, int], object]
    ) -> tuple[Outcome, str]:
        """Train a trial, its scores reported as they come; end it where the study says so."""
        is_pruned = False

        def look(part: float) -> None:
            nonlocal is_pruned
            show(min(trial.number + part, self.count), self.count)
            for iteration, score in zip(*self._curve(run), strict=True):
                if not is_pruned and int(iteration) not in trial.reported:
                    is_pruned = self.study.report(trial, int(iteration), float(score))
                    if is_pruned:
                        self.trainer.trainings.stop()

        outcome, text = self.trainer.train(run, what, label, look)
        if is_pruned and outcome is not Outcome.ENDED:  # its end may have come before the signal
            note_ending(run.work_dir, Ending.PRUNED)
            place = f"at iteration {iteration_of_log(run.work_dir):,}{self.trainer.score_of(run)}"
            return Outcome.PRUNED, f"pruned {place}: others were better by then"
        return outcome, text

    def _best(self, run: PlannedRun) -> float | None:
        """Return the best value of the score, None without one."""
        best, _ = ComparedRun(run.name, run.work_dir, scores={self.by: self._curve(run)}).best(self.by, self.higher)
        return None if math.isnan(best) else best

    def _curve(self, run: PlannedRun) -> Curve:
        """Return the scores so far."""
        with contextlib.suppress(DataError):
            curves = read_run(run.work_dir).scores
            if self.by in curves:
                return curves[self.by]
        return Curve(_NONE, _NONE)
