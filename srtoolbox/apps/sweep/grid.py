"""All combinations of some values, one run after the other."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from functools import partial

from srtoolbox.apps.sweep.launch import PlannedRun, Todo
from srtoolbox.apps.sweep.plan import todo
from srtoolbox.apps.sweep.processes import iteration_of_log
from srtoolbox.apps.sweep.trainer import Outcome, Trainer
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
        retry: try those again that failed, halted or diverged.

    Raises:
        Interrupted: a signal came.
    """
    states = [todo(run, retry=retry)[0] for run in runs]  # for the estimates; it changes where others train, too
    with trainer.trainings.active(), progress_bar("sweep", trainer.console) as show:
        for number, run in enumerate(runs):
            show(number, len(runs))
            label = f"[{number + 1}/{len(runs)}]"
            what, why = todo(run, retry=retry)
            if what is Todo.LEAVE:
                if read_notes(run.work_dir).get("ending") in (Ending.FAILED, Ending.HALTED):
                    trainer.unfinished[run.name] = why
                trainer.say(f"{label} {run.name}: {what.value}: {why}")
                continue
            outcome, text = trainer.train(run, what, label, partial(_show_part, show, number, len(runs)))
            if outcome in (Outcome.STOPPED, Outcome.FAILED, Outcome.HALTED):
                trainer.unfinished[run.name] = text
            left = [_iterations_of(*pair) for pair in zip(runs[number + 1 :], states[number + 1 :], strict=True)]
            times = trainer.times(sum(count > 0 for count in left), sum(left))
            trainer.say(f"{label} {run.name}: {text}{times}")


def _iterations_of(run: PlannedRun, what: Todo) -> int:
    """Return how many iterations are still to come for a run."""
    if what is Todo.LEAVE:
        return 0
    done = 0 if what is Todo.BEGIN_ANEW else iteration_of_log(run.work_dir)
    return max(run.max_iters - done, 0)


def _show_part(show: Callable[[float, int], object], number: int, count: int, part: float) -> None:
    show(number + part, count)
