"""Logs of runs as curves in panels, and scores in the JSON files of `test.py`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.errors import DataError
from srtoolbox.io import files
from srtoolbox.text import reason_of

LOG_NAME = "scores.jsonl"
RATES = "lr"
"""Key of the panel of learning rates."""


class Curve(NamedTuple):
    """One line of one panel: `values` (float64, may be inf or nan) at `iters` (ascending)."""

    iters: np.ndarray
    values: np.ndarray


class RunLog(NamedTuple):
    """The curves in a log: scores (`set5/psnr`), loss terms (`pixel`), rates (`generator`)."""

    name: str
    scores: dict[str, Curve]
    terms: dict[str, Curve]
    rates: dict[str, Curve]


class Panel(NamedTuple):
    """Curves of one key as (run, label, curve), and the score (`set5/psnr`) by label; else none."""

    curves: list[tuple[str, str, Curve]]
    scores: dict[str, str]


def read_run(path: str | os.PathLike) -> RunLog:
    """Read the curves in a `scores.jsonl`, or in the one of a work_dir.

    A last line that a killed run left half-written is ignored. Of two records of one iteration the
    later counts.

    Raises:
        DataError: no such file, a line that is no record, or no records; names file and line.
    """
    path = Path(path)
    file = path / LOG_NAME if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file}: no such log; a run writes it at its first log or evaluation")
    points: dict[str, dict[str, dict[int, float]]] = {"scores": {}, "terms": {}, RATES: {}}
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            for group, curves in points.items():
                for key, value in record.get(group, {}).items():
                    point = {int(record["iter"]): float(value)}
                    curves.setdefault(key, {}).update(point)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            if number == len(lines):
                continue
            fault = f"not a record of a run ({error}); remove the line"
            raise DataError(f"{file}:{number}: {fault}") from error
    if not any(points.values()):
        hint = "train longer, or lower the logger's interval"
        raise DataError(f"{file}: holds no records yet; {hint}")
    name = file.parent.name if file.name == LOG_NAME and file.parent.name else file.stem
    groups = [{key: _curve(part) for key, part in group.items()} for group in points.values()]
    return RunLog(name, *groups)


def training_seconds(work_dir: str | os.PathLike) -> float:
    """Return the seconds of all iterations in a run's log, without saves and evaluations."""
    total, last = 0.0, 0
    text = (Path(work_dir) / LOG_NAME).read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["kind"] == "train":
                total, last = total + record.get("time", 0.0) * (record["iter"] - last), record["iter"]
    return total


def _curve(points: Mapping[int, float]) -> Curve:
    iters = sorted(points)
    return Curve(np.array(iters), np.array([points[number] for number in iters]))


# ---- several runs in one chart


def read_runs(logs: Sequence[str | os.PathLike]) -> list[RunLog]:
    """Read logs; runs of one name get folders above theirs to tell them apart, at last a number."""
    runs = [read_run(log) for log in logs]
    paths = [Path(log).resolve() for log in logs]
    folders = [path.parent if path.is_file() else path for path in paths]
    names = [run.name for run in runs]
    for depth in range(2, max(len(folder.parts) for folder in folders)):
        if len(set(names)) == len(set(folders)):
            break
        parents = ["/".join([*folder.parts[-depth:-1], ""]) for folder in folders]
        names = [parent + run.name for parent, run in zip(parents, runs, strict=True)]
    counts: dict[str, int] = {}
    for number, name in enumerate(names):
        counts[name] = counts.get(name, 0) + 1
        names[number] = name if counts[name] == 1 else f"{name} ({counts[name]})"
    return [run._replace(name=name) for run, name in zip(runs, names, strict=True)]


def panels_of(runs: Sequence[RunLog], join: bool) -> dict[str, Panel]:
    """Return panels by key: scores, then loss terms, then all learning rates together.

    Where scores are joined, a panel's key is a metric, and the label of a curve the set.
    """
    panels: dict[str, Panel] = {}
    for run in runs:
        for score, curve in run.scores.items():
            dataset, _, metric = score.rpartition("/")
            key, label = (metric, dataset) if join else (score, "")
            panel = panels.setdefault(key, Panel([], {}))
            panel.curves.append((run.name, label, curve))
            panel.scores[label] = score
    scores = set(panels)
    for run in runs:
        for term, curve in run.terms.items():
            key = f"loss/{term}" if term in scores else term  # a loss called as a metric is
            panels.setdefault(key, Panel([], {})).curves.append((run.name, "", curve))
    for run in runs:
        for network, curve in run.rates.items():
            panels.setdefault(RATES, Panel([], {})).curves.append((run.name, network, curve))
    return panels


# ---- results of tests

REPORT_KIND = "srtoolbox report"
"""In the `scores.json` of every report: by its kind a folder is known as ours."""


@contextlib.contextmanager
def _reading(path: str | os.PathLike, command: str, fault: str) -> Iterator[None]:
    """Give errors their words: the command that writes the file, or what is wrong with it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{os.fspath(path)}: no such file; `{command}` writes one") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{os.fspath(path)}: {fault} ({reason_of(error)})") from error


def is_baseline(name: str) -> bool:
    """True for the name of bicubic's scores.

    At x1, where it changes nothing, they are the input's.
    """
    return name.lower().startswith("bicubic") or name == "Input"


class Baseline(NamedTuple):
    """The scores that networks are compared with."""

    name: str  # 'bicubic', or at x1 'input'
    scores: dict[str, float]  # by `set/metric`


def read_baseline(path: str | os.PathLike) -> Baseline:
    """Read bicubic's scores from the JSON of the quick start or `test.py --json`.

    At x1 the input's.

    Raises:
        DataError: the file is missing, no JSON, or has no entry for bicubic.
    """
    with _reading(path, "test.py ... --baseline --json FILE", "not a readable JSON file"):
        content = files.read_json(path)
    entries = content if isinstance(content, dict) else {}
    for name, scores in entries.items():
        if is_baseline(name) and isinstance(scores, dict):
            return Baseline("input" if name == "Input" else "bicubic", dict(_flat_scores(scores)))
    names = ", ".join(map(repr, entries)) or "no entries"
    raise DataError(
        f"{os.fspath(path)}: no entry named 'bicubic' (found: {names}); "
        "`test.py configs/bicubic/... --json FILE` writes one"
    )


def _flat_scores(scores: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in scores.items():
        if not isinstance(value, dict):
            yield prefix + key, float(value)
        elif key != "images":
            yield from _flat_scores(value, f"{prefix}{key}/")


def read_scores(paths: Sequence[str | os.PathLike]) -> dict[str, dict[str, dict[str, float]]]:
    """Read the means in files of `test.py --json` or of reports: network -> set -> metric -> mean.

    Networks of one name in several files get the file's name, too.

    Raises:
        DataError: a file that is missing, no JSON, or not of that form.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for path in paths:
        command = "test.py ... --json FILE"
        with _reading(path, command, f"not scores as `{command}` writes them"):
            content = files.read_json(path)
            networks = content["scores"] if content.get("kind") == REPORT_KIND else content
            for network, sets in networks.items():
                scores = {
                    name: {key: float(entry[key]) for key in entry if key not in ("images", "seconds")}
                    for name, entry in sets.items()
                }
                is_taken = result.get(network, scores) != scores
                result[f"{network} ({Path(path).stem})" if is_taken else network] = scores
    return result
