"""Read a run: its config, scores, time, and how it ended. Damage is told, not hidden."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from srtoolbox.config import Config
from srtoolbox.engine.job.report import Ending
from srtoolbox.engine.job.run_config import CONFIG, changes, shown
from srtoolbox.engine.job.workdir import is_used, read_notes
from srtoolbox.errors import DataError, OptionError, SrtoolboxError
from srtoolbox.plots.run_log import LOG_NAME, Curve, read_runs, training_seconds
from srtoolbox.registry import METRICS
from srtoolbox.text import did_you_mean, first_line

NO_SCORES = "no scores"
_DEEPEST = 3
"""Folders below the one that is given in which runs are looked for."""
_SECTIONS = ("model", "optim", "hooks", "runtime", "data")


@dataclass(frozen=True)
class ComparedRun:
    """One run.

    Attributes:
        name: its folder, behind those above it where two bear one name.
        work_dir: its folder.
        config: as it is kept there; {} where that cannot be read.
        scores: curves by `set/metric`.
        iteration: the last one in its log.
        max_iters: how many it was to have; None where nobody knows.
        seconds: of its iterations, without saves and evaluations.
        state: 'finished', 'diverged', 'given up', 'unfinished', 'halted', 'damaged' ...
        fault: the sentence of what cannot be read; '' where all can.
    """

    name: str
    work_dir: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Curve] = field(default_factory=dict)
    iteration: int = 0
    max_iters: int | None = None
    seconds: float = 0.0
    state: str = "damaged"
    fault: str = ""

    def last(self, score: str) -> float:
        """Return the last value of a score, nan without one."""
        return float(self.scores[score].values[-1]) if score in self.scores else math.nan

    def best(self, score: str, higher: bool | None) -> tuple[float, int | None]:
        """Return the best value of a score (see `direction`) and its iteration; (nan, None) without one."""
        if score not in self.scores or higher is None or np.isnan(self.scores[score].values).all():
            return math.nan, None
        iters, values = self.scores[score]
        place = int(np.nanargmax(values) if higher else np.nanargmin(values))
        return float(values[place]), int(iters[place])

    def higher_is_better(self, score: str) -> bool | None:
        """Return the direction of a score; None where neither is better, or its metric is not known."""
        metric = score.rpartition("/")[2]
        if metric == "seconds":
            return False
        kind = str(_at(self.config, f"data.val.metrics.{metric}.type"))
        return getattr(METRICS.get(kind), "higher_is_better", None) if kind in METRICS else None


def find_runs(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the work dirs among paths, and those in the folders among them, up to `_DEEPEST` down, each once.

    Raises:
        DataError: a path that is neither.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        runs = list(_runs_in(path, _DEEPEST))
        if not runs:
            fault = "is a file" if path.is_file() else "no such folder"
            fault = "is no run, and holds none" if path.is_dir() else fault
            raise DataError(f"{path}: {fault}: give the work dirs of runs, or a folder of them")
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def _runs_in(folder: Path, depth: int) -> Iterator[Path]:
    """Yield a folder that is a run, or else the runs in it; hidden folders are left out."""
    if is_used(folder):
        yield folder
    elif depth:
        for each in sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")):
            yield from _runs_in(each, depth - 1)


def read_all(work_dirs: Sequence[Path]) -> list[ComparedRun]:
    """Read runs; names of one kind get the folders above them."""
    runs = [_read(work_dir) for work_dir in work_dirs]
    whole = [run for run in runs if not run.fault]
    names = [log.name for log in read_runs([run.work_dir for run in whole])] if whole else []
    renamed = dict(zip((run.work_dir for run in whole), names, strict=True))
    return [ComparedRun(**{**vars(run), "name": renamed.get(run.work_dir, str(run.work_dir))}) for run in runs]


def _read(work_dir: Path) -> ComparedRun:
    config, faults = {}, []
    try:
        config = _read_config(work_dir / CONFIG)
    except (SrtoolboxError, OSError) as error:
        faults.append(first_line(error))
    max_iters = config.get("max_iters")
    max_iters = max_iters if isinstance(max_iters, int) else None
    try:
        (log,) = read_runs([work_dir])
        seconds = training_seconds(work_dir)
    except (SrtoolboxError, OSError) as error:
        is_new = not faults and not _size(work_dir / LOG_NAME)
        state = "unfinished: nothing logged yet" if is_new else "damaged"
        fault = "; ".join([*faults, first_line(error)])
        return ComparedRun(work_dir.name, work_dir, config, max_iters=max_iters, state=state, fault=fault)
    curves = [*log.scores.values(), *log.terms.values(), *log.rates.values()]
    iteration = max(int(curve.iters[-1]) for curve in curves)
    return ComparedRun(
        work_dir.name,
        work_dir,
        config,
        log.scores,
        iteration,
        max_iters,
        seconds,
        state="damaged" if faults else _state(work_dir, iteration, max_iters, bool(log.scores)),
        fault="; ".join(faults),
    )


def _read_config(file: Path) -> dict[str, Any]:
    """Return a config whose sections are dicts, as all else here takes them to be."""
    config = Config.fromfile(file).to_dict()
    for name in _SECTIONS:
        if not isinstance(config.get(name) or {}, Mapping):
            raise DataError(f"{file}: {name} is a dict, got {shown(config[name])}")
    return config


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _state(work_dir: Path, iteration: int, max_iters: int | None, is_scored: bool) -> str:
    """Return how a run ended, as it noted itself, or as far as its log tells."""
    notes = read_notes(work_dir)
    is_finished = notes.get("finished") is not None or (not notes and iteration == max_iters)
    if is_finished:
        finished = str(notes.get("ending") or Ending.FINISHED)
        return finished if is_scored or finished != Ending.FINISHED else f"{finished}, {NO_SCORES}"
    ending = notes.get("ending")
    if ending == Ending.HALTED or ("ending" not in notes and any((work_dir / "faults").glob("*"))):
        return f"halted at {iteration:,}: its steps failed (see faults)"
    if ending in (Ending.FAILED, Ending.PRUNED):
        return f"{ending} at {iteration:,}"
    return f"unfinished: {iteration:,} of {max_iters:,}" if max_iters is not None else f"unfinished: {iteration:,}"


def all_scores(runs: Sequence[ComparedRun]) -> list[str]:
    """Return the scores of all runs, each once, without the time of an image."""
    keys = dict.fromkeys(key for run in runs for key in run.scores)
    return [key for key in keys if key.rpartition("/")[2] != "seconds"]


def choose_score(runs: Sequence[ComparedRun], by: str | None) -> str | None:
    """Return the score that decides: `by`, or the first with a direction, or else the first.

    Raises:
        OptionError: none of the runs has it.
    """
    existing = all_scores(runs)
    if by is not None:
        if by not in existing:
            raise OptionError(f"by: none of the runs has a score {by!r}.{did_you_mean(by, existing, else_list=True)}")
        return by
    directed = [key for key in existing if direction(runs, key) is not None]
    return next(iter([*directed, *existing]), None)


def direction(runs: Sequence[ComparedRun], score: str) -> bool | None:
    """Return whether a score is to be high, as the first run says that has a direction for it."""
    found = (run.higher_is_better(score) for run in runs if score in run.scores)
    return next((each for each in found if each is not None), None)


def sort_runs(runs: Sequence[ComparedRun], score: str | None) -> list[ComparedRun]:
    """Return the runs, the best first by their best value; those without come last, in their order."""
    if score is None:
        return list(runs)
    higher = direction(runs, score)
    sign = -1 if higher else 1

    def rank(run: ComparedRun) -> tuple[bool, float]:
        value = run.best(score, higher)[0]
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value

    return sorted(runs, key=rank)


def differences(runs: Sequence[ComparedRun]) -> dict[str, list[object]]:
    """Return what differs between configs: `{key: a value for each run}`, without damaged configs."""
    readable = [run.config for run in runs if run.config]
    paths = dict.fromkeys(change.path for other in readable[1:] for change in changes(readable[0], other))
    shallow = [path for path in paths if not any(path.startswith(f"{above}.") for above in paths)]
    return {path: [_at(run.config, path) for run in runs] for path in shallow}


def _at(config: object, path: str) -> object:
    """Return what stands at a path of keys, which may hold dots themselves; None where nothing does."""
    items: Iterable[tuple[object, object]] = ()
    if isinstance(config, Mapping):
        items = config.items()
    elif isinstance(config, list | tuple):
        items = enumerate(config)
    for key, value in items:
        if path == str(key):
            return value
        if path.startswith(f"{key}.") and (found := _at(value, path.removeprefix(f"{key}."))) is not None:
            return found
    return None
