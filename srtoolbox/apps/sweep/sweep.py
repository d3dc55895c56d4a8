"""`sweep`: trainings of one config, one after the other, for all combinations of some values."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from srtoolbox.apps.comparison import ComparedRun, compare_runs
from srtoolbox.apps.sweep.plan import PlannedRun, Todo, check_score, plan_runs, todo
from srtoolbox.apps.sweep.training import OUTPUT, Launch, Trainings, is_stopped, iteration_of_log, reason_in, size_of
from srtoolbox.apps.sweep.values import Choices, read_choices, stop_rules
from srtoolbox.engine.hooks.logger import clock
from srtoolbox.engine.job.report import Ending
from srtoolbox.engine.job.workdir import is_in_use, is_used, note_ending, read_notes
from srtoolbox.engine.stop import EXIT_CODES, Interrupted
from srtoolbox.errors import ConfigError, DataError, OptionError
from srtoolbox.io.pieces import shard_of
from srtoolbox.logger import CONSOLE, progress_bar
from srtoolbox.plots.run_log import read_run
from srtoolbox.system import IS_WINDOWS
from srtoolbox.text import counted

RETRY = "--retry tries those again that failed, from their newest checkpoint, or diverged, anew"


@dataclass(frozen=True)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        folder: the runs' folders are in it.
        runs: those that have begun, the best first, as `compare_runs` returns them.
        unfinished: why not, by the names of runs that failed or were stopped.
    """

    folder: Path
    runs: Sequence[ComparedRun]
    unfinished: Mapping[str, str]


def sweep(
    config: str | os.PathLike[str],
    overrides: Sequence[str],
    *,
    work_dir: str | os.PathLike[str] | None = None,
    by: str | None = None,
    csv: str | os.PathLike[str] | None = None,
    page: str | os.PathLike[str] | None = None,
    shard: str | tuple[int, int] | None = None,
    stop_worse: Sequence[str] = (),
    retry: bool = False,
    dry_run: bool = False,
    launcher: str | None = None,
    device: str | None = None,
    plugins: Sequence[str | os.PathLike[str]] = (),
    console: Console = CONSOLE,
) -> SweepResult:
    """Train a config with all combinations of some values, one run after the other, and compare the runs.

    Each run is a process and a folder of its own. Called again, a sweep leaves finished runs alone
    and goes on with those that were stopped. All configs are checked before the first run starts.

    Args:
        config: a file, or the name of a packaged config.
        overrides: `key=[a, b]` is one run for each value, read as the value of an override is;
            `key=value` holds in all runs.
        work_dir: the folder of all runs; None is `work_dirs/<config's name>_sweep`.
        by: the score that sorts the runs, such as 'set5/psnr'; None: the first that is logged.
        csv, page: files for the comparison, see `compare_runs`.
        shard: (3, 8) or '3/8' trains every eighth run, from the third one on; others may train the
            rest in the same folder at the same time.
        stop_worse: end runs early by their scores: 'set5/psnr=25@1000' ends one that is worse than 25
            (of a metric that is to be low: higher) at an evaluation from iteration 1000 on.
        retry: try again what failed (from its newest checkpoint) or diverged (anew).
        dry_run: print names and commands, and train nothing.
        launcher: what starts `-m srtoolbox train ...`, such as 'torchrun --nproc-per-node 2';
            None is this Python.
        device: where the runs train; None is the config's.
        plugins: Python files with components.
        console: where lines, the progress bar and the table go.

    Raises:
        ConfigError: nothing is swept, or some combination has faults: all are in the message.
        OptionError: an argument that is not possible.
        RunError: the folder of a run holds one with another config.
        Interrupted: a signal came; the run at hand has saved its state.
    """
    choices = read_choices([*overrides, *stop_rules(stop_worse)])
    if not any(each.is_swept for each in choices):
        example = "optim.generator.optimizer.lr=[1e-3,1e-4] is two runs; `train` does a single one"
        raise ConfigError(f"command line: nothing is swept: give some key its values as a list: {example}")
    piece = shard_of(shard) if shard is not None else None
    launch = Launch(os.fspath(config), launcher, device, [os.fspath(plugin) for plugin in plugins])
    folder = Path(work_dir or Path("work_dirs") / f"{Path(config).stem}_sweep")
    runs = plan_runs(config, choices, folder, launch.plugins)
    check_score(runs, by)
    own = piece.take(runs) if piece else runs
    share = f", of which {piece} takes {len(own)}" if piece else ""
    _say(console, f"sweep of {counted(len(runs), 'run')}{share} in {folder}: {_summary(choices)}")
    job = _Sweep(own, launch, retry, by, console)
    if dry_run:
        job.show()
        return SweepResult(folder, [], {})
    job.train_all()
    compared = _compare(runs, by, csv, page, console)
    if job.unfinished:
        _say(console, f"{len(job.unfinished)} of {counted(len(own), 'run')} did not come to an end. {RETRY}")
    return SweepResult(folder, compared, job.unfinished)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _summary(choices: Sequence[Choices]) -> str:
    return ", ".join(f"{each.key} ({counted(len(each.values), 'value')})" for each in choices if each.is_swept)


def _compare(
    runs: Sequence[PlannedRun],
    by: str | None,
    csv: str | os.PathLike[str] | None,
    page: str | os.PathLike[str] | None,
    console: Console,
) -> list[ComparedRun]:
    begun = [run.work_dir for run in runs if is_used(run.work_dir)]
    if not begun:
        return []
    try:
        return compare_runs(begun, by=by, csv=csv, page=page, console=console)
    except OptionError as error:  # nothing was scored
        _say(console, str(error))
        return compare_runs(begun, csv=csv, page=page, console=console)


@dataclass
class _Sweep:
    """The runs of one process, one after the other."""

    runs: Sequence[PlannedRun]
    launch: Launch
    retry: bool
    by: str | None
    console: Console
    unfinished: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # of the iterations below
    iterations: int = 0

    def say(self, number: int, text: str) -> None:
        """Print what becomes of a run."""
        _say(self.console, f"[{number + 1}/{len(self.runs)}] {self.runs[number].name}: {text}")

    def show(self) -> None:
        """Print what would be done, with the commands."""
        for number, run in enumerate(self.runs):
            what, why = todo(run, retry=self.retry)
            self.say(number, what.value + (f" ({why})" if why else ""))
            if what is not Todo.LEAVE:
                command = self.launch.command(run, what)
                _say(self.console, "  " + (subprocess.list2cmdline if IS_WINDOWS else shlex.join)(command))

    def train_all(self) -> None:
        """Train what is not finished.

        Raises:
            Interrupted: a signal came.
        """
        trainings = Trainings()
        with trainings.active(), progress_bar("sweep", self.console) as show:
            for number in range(len(self.runs)):
                self._train(number, trainings, show)
                if trainings.received:
                    raise self._interrupted(number, trainings.received)

    def _train(self, number: int, trainings: Trainings, show: Callable[[float, int], object]) -> None:
        """Do what is to be done for one run, and say what has become of it."""
        run = self.runs[number]
        what, why = todo(run, retry=self.retry)
        if what is Todo.LEAVE:
            if read_notes(run.work_dir).get("ending") == Ending.FAILED:
                self.unfinished[run.name] = why
            self.say(number, f"{what.value}: {why}")
            return
        output, begin = run.work_dir / OUTPUT, iteration_of_log(run.work_dir)
        start, began = size_of(output), time.monotonic()
        if what is Todo.BEGIN_ANEW:
            begin = 0
        goes_on = f"goes on from about iteration {begin:,}" if begin else "begins"
        self.say(number, f"{goes_on}; its log is {run.work_dir / 'train.log'}")

        def look() -> None:
            show(number + min(iteration_of_log(run.work_dir) / run.max_iters, 1.0), len(self.runs))

        code = trainings.train(self.launch.command(run, what), output, look)
        self.iterations += max(iteration_of_log(run.work_dir) - begin, 0)
        self.seconds += time.monotonic() - began
        if not trainings.received:
            took = clock(time.monotonic() - began)
            self.say(number, f"{self._outcome(run, code, start)}, {took}{self._time_left(number)}")

    def _outcome(self, run: PlannedRun, code: int, start: int) -> str:
        """Return what has become of a run that has ended with this exit code, and note a failure."""
        if code == 0:
            notes = read_notes(run.work_dir)
            iteration = notes.get("finished") or iteration_of_log(run.work_dir)
            return f"{notes.get('ending') or Ending.FINISHED} at iteration {iteration:,}{self._score(run)}"
        if is_in_use(run.work_dir):
            return "left alone: another process is training it"
        if is_stopped(code):
            name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self.unfinished[run.name] = f"stopped ({name}); the same command goes on with it"
        else:
            note_ending(run.work_dir, Ending.FAILED)
            output = run.work_dir / OUTPUT
            self.unfinished[run.name] = f"failed (exit code {code}): {reason_in(output, start)} (all it said: {output})"
        return self.unfinished[run.name]

    def _score(self, run: PlannedRun) -> str:
        """Return the last value of the score that decides, else of the first."""
        with contextlib.suppress(DataError):
            curves = read_run(run.work_dir).scores
            key = self.by or next(iter(curves), None)
            if key in curves:
                return f", {key} {curves[key].values[-1]:.4f}"
        return ""

    def _time_left(self, number: int) -> str:
        """Return an estimate of the time that the runs behind this one take, by the iterations so far."""
        later = [run for run in self.runs[number + 1 :] if todo(run, retry=self.retry)[0] is not Todo.LEAVE]
        iterations = sum(max(run.max_iters - iteration_of_log(run.work_dir), 0) for run in later)
        if not later or not self.iterations:
            return ""
        left = clock(self.seconds / self.iterations * iterations)
        return f"; about {left} left for {counted(len(later), 'run')}"

    def _interrupted(self, number: int, signum: int) -> Interrupted:
        """Return the error of a sweep that a signal stopped, having said how to go on."""
        run = self.runs[number]
        place = f"run {run.name} (iteration {iteration_of_log(run.work_dir):,} or later)"
        message = f"stopped by {signal.Signals(signum).name} in {place}; the same command goes on from there"
        self.say(number, message)
        return Interrupted(message, EXIT_CODES[signum])
