"""`sweep`: trainings of one config, one after the other, for all combinations of some values, or as a search."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from srtoolbox.apps.comparison import ComparedRun, compare_runs
from srtoolbox.apps.sweep.grid import show_grid, train_grid
from srtoolbox.apps.sweep.launch import Launch, PlannedRun
from srtoolbox.apps.sweep.plan import check_score, plan_runs
from srtoolbox.apps.sweep.search import Search
from srtoolbox.apps.sweep.study import Study
from srtoolbox.apps.sweep.trainer import Trainer
from srtoolbox.apps.sweep.values import Choices, combinations, ends, read_choices, stop_rules
from srtoolbox.config import Config
from srtoolbox.engine.job.workdir import is_used
from srtoolbox.errors import ConfigError, OptionError
from srtoolbox.io.pieces import Shard, shard_of
from srtoolbox.logger import CONSOLE
from srtoolbox.text import counted

RETRY = "--retry tries those again that failed or halted, from their newest checkpoint, or diverged, anew"

_WARM_UP = 0.2  # the part of a run in which a search does not end it


@dataclass(frozen=True)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        folder: the runs' folders are in it.
        runs: those that have begun, the best first, as `compare_runs` returns them.
        unfinished: why not, by the names of runs that failed or were stopped, and in a grid of
            those that halted, their losses no numbers.
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
    trials: int | None = None,
    search_seed: int = 0,
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
        retry: try again what failed or halted (from its newest checkpoint) or diverged (anew).
        trials: search instead: train so many runs, the values of each drawn from lists and ranges
            (`key=log(1e-5,1e-2)`, `uniform(0,1)`, `int(4,16)`) by what earlier ones gave, and end
            those early that fall behind. Needs `by`, and Optuna.
        search_seed: of what a search draws.
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
    piece = shard_of(shard) if shard is not None else None
    _check_options(choices, by, piece, retry, trials)
    launch = Launch(os.fspath(config), launcher, device, [os.fspath(plugin) for plugin in plugins])
    folder = Path(work_dir or Path("work_dirs") / f"{Path(config).stem}_sweep")
    return _run(_Request(folder, by, csv, page, piece, retry, dry_run, trials, search_seed), choices, launch, console)


class _Request(NamedTuple):
    """A sweep as asked for, see the arguments of `sweep`."""

    folder: Path
    by: str | None
    csv: str | os.PathLike[str] | None
    page: str | os.PathLike[str] | None
    piece: Shard | None
    retry: bool
    dry_run: bool
    trials: int | None
    search_seed: int


def _run(request: _Request, choices: Sequence[Choices], launch: Launch, console: Console) -> SweepResult:
    """Plan the runs, train them and compare them."""
    folder, by, trials, dry_run = request.folder, request.by, request.trials, request.dry_run
    planned = combinations(choices) if trials is None else ends(choices)
    runs = plan_runs(launch, choices, planned, folder)
    check_score(runs, by)
    trainer = Trainer(launch, by, console)
    if trials is None:
        _grid(runs, folder, choices, trainer, piece=request.piece, retry=request.retry, dry_run=dry_run)
    else:
        config, seed = runs[0].config, request.search_seed
        runs = _search(config, folder, choices, trainer, count=trials, seed=seed, dry_run=dry_run)
    if dry_run:
        return SweepResult(folder, [], {})
    compared = _compare(runs, by, request.csv, request.page, console)
    if trainer.unfinished:
        more = f". {RETRY}" if trials is None else ""
        trainer.say(f"{counted(len(trainer.unfinished), 'run')} did not come to an end{more}")
    return SweepResult(folder, compared, trainer.unfinished)


def _check_options(
    choices: Sequence[Choices], by: str | None, piece: Shard | None, retry: bool, trials: int | None
) -> None:
    """Raise where options do not go together, or nothing is swept."""
    ranges = [each.key for each in choices if each.range]
    if not any(each.is_swept for each in choices):
        example = "optim.generator.optimizer.lr=[1e-3,1e-4] is two runs; `train` does a single one"
        raise ConfigError(f"command line: nothing is swept: give some key its values as a list: {example}")
    if trials is None:
        if ranges:
            raise OptionError(f"trials: {ranges[0]} has a range: say how many values are to be tried, as --trials 20")
        return
    if trials < 1:
        raise OptionError(f"trials is the number of runs, 1 or more, got {trials}")
    if by is None:
        raise OptionError("by: a search needs the score that is to become best, as --by set5/psnr")
    if piece is not None:
        raise OptionError("shard: a search needs none: start the same command several times, they share the trials")
    if retry:
        raise OptionError("retry: a search tries other values instead; --trials with a larger number tries more")


def _grid(
    runs: Sequence[PlannedRun],
    folder: Path,
    choices: Sequence[Choices],
    trainer: Trainer,
    *,
    piece: Shard | None,
    retry: bool,
    dry_run: bool,
) -> None:
    own = piece.take(runs) if piece else runs
    share = f", of which {piece} takes {len(own)}" if piece else ""
    trainer.say(f"sweep of {counted(len(runs), 'run')}{share} in {folder}: {_summary(choices)}")
    (show_grid if dry_run else train_grid)(own, trainer, retry=retry)


def _search(
    config: Config, folder: Path, choices: Sequence[Choices], trainer: Trainer, *, count: int, seed: int, dry_run: bool
) -> list[PlannedRun]:
    """Train the trials; return the runs of all."""
    by = str(trainer.by)
    higher = ComparedRun("", folder, config.to_dict()).higher_is_better(by)
    trainer.say(f"search of {counted(count, 'trial')} in {folder} for the best {by}: {_summary(choices)}")
    if dry_run:
        return []
    warm_up = int(config["max_iters"] * _WARM_UP)
    study = Study(folder, choices, by, higher=bool(higher), seed=seed, warm_up=warm_up)
    search = Search(choices, folder, study, trainer, by, bool(higher), count)
    search.train_all()
    return search.runs()


def _summary(choices: Sequence[Choices]) -> str:
    swept = [each for each in choices if each.is_swept]
    return ", ".join(f"{each.key} ({each.range or counted(len(each.values), 'value')})" for each in swept)


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
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return compare_runs(begun, csv=csv, page=page, console=console)
