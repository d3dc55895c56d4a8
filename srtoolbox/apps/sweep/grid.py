"""All combinations of some values, one run after the other."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence

from srtoolbox.apps.sweep.plan import PlannedRun, Todo, todo
from srtoolbox.apps.sweep.trainer import Outcome, Trainer
from srtoolbox.apps.sweep.training import iteration_of_log
from srtoolbox.engine.job.report import Ending
from srtoolbox.engine.job.workdir import read_notes
from srtoolbox.logger import progress_bar
from srtoolbox.system import IS_WINDOWS


def show_grid(runs: Sequence[PlannedRun], trainer: Trainer, *, retry: bool) -> None:
    """Print what would be done, with the commands."""
    for number, run in enumerate(runs, start=1):
        what, why = todo(run, retry=retry)
        trainer.say(f"[{number}/{len(runs)}] {run.name}: {what.value}{f' ({why})' if why else ''}")
        if what is not Todo.LEAVE:
            command = trainer.launch.command(run, what)
            trainer.say("  " + (subprocess.list2cmdline if IS_WINDOWS else shlex.join)(command))


def train_grid(runs: Sequence[PlannedRun], trainer: Trainer, *, retry: bool) -> None:
    """Train what is not finished.

    Args:
        retry: try those again that failed or diverged.

    Raises:
        Interrupted: a signal came.
    """
    with trainer.trainings.active(), progress_bar("sweep", trainer.console) as show:
        for number in range(len(runs)):
            _train(runs, number, trainer, retry, show)


def _train(
    runs: Sequence[PlannedRun], number: int, trainer: Trainer, retry: bool, show: Callable[[float, int], object]
) -> None:
    """Do what is to be done for one run, and say what has become of it."""
    run, label = runs[number], f"[{number + 1}/{len(runs)}]"
    show(number, len(runs))
    what, why = todo(run, retry=retry)
    if what is Todo.LEAVE:
        if read_notes(run.work_dir).get("ending") == Ending.FAILED:
            trainer.unfinished[run.name] = why
        trainer.say(f"{label} {run.name}: {what.value}: {why}")
        return
    outcome, text = trainer.train(run, what, label, lambda part: show(number + part, len(runs)))
    if outcome in (Outcome.STOPPED, Outcome.FAILED):
        trainer.unfinished[run.name] = text
    later = [run for run in runs[number + 1 :] if todo(run, retry=retry)[0] is not Todo.LEAVE]
    iterations = sum(max(run.max_iters - iteration_of_log(run.work_dir), 0) for run in later)
    trainer.say(f"{label} {run.name}: {text}{trainer.times(len(later), iterations)}")
