"""The plan of a sweep: its runs, checked before the first one starts, and the state of each."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from srtoolbox.apps.sweep.launch import Launch, PlannedRun, Todo
from srtoolbox.apps.sweep.names import name_runs
from srtoolbox.apps.sweep.values import Choices, list_hints
from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.hooks.checkpoint import score_fault
from srtoolbox.engine.job.report import Ending
from srtoolbox.engine.job.run_config import CONFIG, changes
from srtoolbox.engine.job.workdir import is_in_use, is_used, read_notes
from srtoolbox.errors import ConfigError, OptionError, RunError, SrtoolboxError
from srtoolbox.logger import LOGGER, progress_bar
from srtoolbox.text import first_line

_LISTED = 3  # runs in a message


def plan_runs(
    launch: Launch, choices: Sequence[Choices], all_overrides: Sequence[tuple[str, ...]], folder: Path
) -> list[PlannedRun]:
    """Return runs, their configs free of faults and their folders theirs.

    Args:
        all_overrides: those of each run, one text for each of `choices`.

    Raises:
        ConfigError: some combination has faults; all of them are in the message.
        RunError: the folder of a run holds one with another config.
    """
    swept = [number for number, each in enumerate(choices) if each.is_swept]
    values = [_values_of(overrides, choices, swept) for overrides in all_overrides]
    runs, faults = [], Faults()
    with _each_warning_once(), progress_bar("checking") as show:
        for number, (name, overrides) in enumerate(zip(name_runs(values), all_overrides, strict=True)):
            try:
                run = launch.plan(overrides, folder / name)
                check(run.config)
            except ConfigError as error:
                faults.add(name, error)
            else:
                runs.append(run)
            show(number + 1, len(values))
    if faults:
        raise faults.error(len(values), list_hints(Config.fromfile(launch.source), choices))
    for run in runs:
        refuse_another_config(run)
    return runs


def _values_of(overrides: Sequence[str], choices: Sequence[Choices], swept: Sequence[int]) -> dict[str, object]:
    """Return the values of a run by the keys that are swept."""
    return {choices[at].key: choices[at].values[choices[at].overrides.index(overrides[at])] for at in swept}


class Faults:
    """The faults of several configs, each one told once, with the runs that have it."""

    def __init__(self) -> None:
        self._runs: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, name: str, error: ConfigError) -> None:
        """Add those of one run."""
        for fault in error.faults:
            self._runs.setdefault(fault, []).append(name)

    def error(self, count: int, hints: Sequence[str] = ()) -> ConfigError:
        """Return the error of a sweep of so many runs; nothing has started then."""
        sentences = []
        for fault, names in self._runs.items():
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            where = f" (run {', '.join(names[:_LISTED])}{more})" if len(names) < count else ""
            sentences.append(f"{fault}{where}")
        return ConfigError([*sentences, *hints])


@contextlib.contextmanager
def _each_warning_once() -> Iterator[None]:
    """Let a sentence of the log pass once: the checks of many alike configs say the same."""
    told: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        is_first = record.getMessage() not in told
        told.add(record.getMessage())
        return is_first

    LOGGER.addFilter(is_new)
    try:
        yield
    finally:
        LOGGER.removeFilter(is_new)


def refuse_another_config(run: PlannedRun) -> None:
    """Raise RunError where the folder of a run holds one with another config."""
    if not is_used(run.work_dir):
        return
    file = run.work_dir / CONFIG
    advice = "choose another --work-dir for this sweep, or move that folder away"
    if not file.exists():  # a kill came before its config was written
        return
    try:
        differences = changes(Config.fromfile(file).to_dict(), run.config.to_dict())
    except (SrtoolboxError, OSError) as error:
        raise RunError(f"{file}: the config of that run cannot be read ({first_line(error)}): {advice}") from error
    if differences:
        texts = [str(change).rpartition(" (")[0] for change in differences[:_LISTED]]
        more = f" and {len(differences) - _LISTED} more" if len(differences) > _LISTED else ""
        raise RunError(f"{run.work_dir} holds a run with another config ({'; '.join(texts)}{more}): {advice}")


def check_score(runs: Sequence[PlannedRun], score: str | None) -> None:
    """Raise OptionError where the score that is to decide is none of the runs'."""
    for run in runs if score is not None else ():
        fault = score_fault(str(score), run.config.to_dict())
        if fault:
            raise OptionError(f"by: {fault}")


def todo(run: PlannedRun, *, retry: bool) -> tuple[Todo, str]:
    """Return what is to become of a run, and why.

    Args:
        retry: try those again that have failed or halted, from their newest checkpoint, or
            diverged, anew.
    """
    notes = read_notes(run.work_dir)
    ending = notes.get("ending")
    if is_in_use(run.work_dir):
        return Todo.LEAVE, "another process is training it"
    if ending == Ending.DIVERGED:
        return (Todo.BEGIN_ANEW if retry else Todo.LEAVE), _since(ending, notes)
    if ending in (Ending.FAILED, Ending.HALTED):
        return (Todo.GO_ON if retry else Todo.LEAVE), f"{ending} before"
    if ending == Ending.PRUNED:
        return Todo.LEAVE, str(ending)
    if notes.get("finished") is not None:
        return Todo.LEAVE, _since(str(ending or Ending.FINISHED), notes)
    return (Todo.GO_ON, "begun before") if is_used(run.work_dir) else (Todo.BEGIN, "")


def _since(ending: str, notes: Mapping[str, Any]) -> str:
    return f"{ending} at iteration {notes['finished']:,}"
