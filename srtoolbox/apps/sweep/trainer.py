"""The start, the watch and the report of one run of a sweep after the other."""

from __future__ import annotations

import contextlib
import enum
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console

from srtoolbox.apps.sweep.launch import Launch, PlannedRun, Todo
from srtoolbox.apps.sweep.processes import OUTPUT, Trainings, is_stopped, iteration_of_log, reason_in, size_of
from srtoolbox.engine.hooks.logger import clock
from srtoolbox.engine.job.report import Ending
from srtoolbox.engine.job.workdir import is_in_use, note_ending, read_notes
from srtoolbox.engine.stop import EXIT_CODES, Interrupted
from srtoolbox.errors import DataError
from srtoolbox.plots.run_log import read_run
from srtoolbox.text import counted


class Outcome(enum.Enum):
    """Ways in which a run's process ends."""

    ENDED = "ended"
    STOPPED = "stopped"
    FAILED = "failed"
    HALTED = "halted"  # its losses are no numbers
    PRUNED = "pruned"  # by a search
    BUSY = "busy"  # another process trains it


@dataclass
class Trainer:
    """Trains runs, and says what becomes of them.

    Attributes:
        launch: how they are started.
        by: the score that is told; None: the first.
        console: where lines go.
        trainings: the process at hand.
        unfinished: why not, by the names of runs that failed, halted or were stopped.
    """

    launch: Launch
    by: str | None
    console: Console
    trainings: Trainings = field(default_factory=Trainings)
    unfinished: dict[str, str] = field(default_factory=dict)
    _took: float = 0.0  # seconds, the last one
    _seconds: float = 0.0  # of the iterations below
    _iterations: int = 0

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def train(self, run: PlannedRun, what: Todo, label: str, look: Callable[[float], object]) -> tuple[Outcome, str]:
        """Train a run to its end; return what has become of it, and the sentence of that.

        Args:
            label: what stands before its name in lines.
            look: called now and then with the part that is done, 0 ... 1; it may stop the training.

        Raises:
            Interrupted: a signal came, and the run has saved its state.
        """
        self.heed_signals()
        output = run.work_dir / OUTPUT
        begin = 0 if what is Todo.BEGIN_ANEW else iteration_of_log(run.work_dir)
        start, began = size_of(output), time.monotonic()
        goes_on = f"goes on from about iteration {begin:,}" if begin else "begins"
        self.say(f"{label} {run.name}: {goes_on}; its log is {run.work_dir / 'train.log'}")

        def part() -> None:
            look(min(iteration_of_log(run.work_dir) / run.max_iters, 1.0))

        code = self.trainings.train(self.launch.command(run, what), output, part)
        self._iterations += max(iteration_of_log(run.work_dir) - begin, 0)
        self._seconds += time.monotonic() - began
        self.heed_signals(f" in run {run.name} (iteration {iteration_of_log(run.work_dir):,} or later)")
        self._took = time.monotonic() - began
        return self._outcome(run, code, start)

    def _outcome(self, run: PlannedRun, code: int, start: int) -> tuple[Outcome, str]:
        """Return what has become of a run that has ended with this exit code, and note a failure."""
        if code == 0:
            notes = read_notes(run.work_dir)
            iteration = notes.get("finished") or iteration_of_log(run.work_dir)
            ending = notes.get("ending") or Ending.FINISHED
            return Outcome.ENDED, f"{ending} at iteration {iteration:,}{self.score_of(run)}"
        if is_in_use(run.work_dir):
            return Outcome.BUSY, "left alone: another process is training it"
        if is_stopped(code):
            name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return Outcome.STOPPED, f"stopped ({name}); the same command goes on with it"
        outcome = Outcome.HALTED if read_notes(run.work_dir).get("ending") == Ending.HALTED else Outcome.FAILED
        if outcome is Outcome.FAILED:
            note_ending(run.work_dir, Ending.FAILED)
        output = run.work_dir / OUTPUT
        return outcome, f"{outcome.value} (exit code {code}): {reason_in(output, start)} (all it said: {output})"

    def score_of(self, run: PlannedRun) -> str:
        """Return ', set5/psnr 30.1234', the last value of the score that decides, else of the first; '' without one."""
        with contextlib.suppress(DataError):
            curves = read_run(run.work_dir).scores
            key = self.by or next(iter(curves), None)
            if key in curves:
                return f", {key} {curves[key].values[-1]:.4f}"
        return ""

    def times(self, runs: int, iterations: int) -> str:
        """Return the time of the last run, and an estimate of what more runs take, by the iterations so far."""
        took = f", {clock(self._took)}"
        if not runs or not self._iterations:
            return took
        left = clock(self._seconds / self._iterations * iterations)
        return f"{took}; about {left} left for {counted(runs, 'run')}"

    def heed_signals(self, place: str = "") -> None:
        """Raise Interrupted where a signal came, having said how to go on."""
        signum = self.trainings.received
        if signum:
            message = f"stopped by {signal.Signals(signum).name}{place}; the same command goes on from there"
            self.say(message)
            raise Interrupted(message, EXIT_CODES[signum])
