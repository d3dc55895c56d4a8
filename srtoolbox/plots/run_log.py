"""Logs of runs: curves of scores, loss terms and learning rates, and bicubic's scores."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.errors import DataError
from srtoolbox.io import files
from srtoolbox.text import reason_of

LOG_NAME = "scores.jsonl"


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
    points: dict[str, dict[str, dict[int, float]]] = {"scores": {}, "terms": {}, "lr": {}}
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            for group, curves in points.items():
                for key, value in record.get(group, {}).items():
                    curves.setdefault(key, {})[int(record["iter"])] = float(value)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
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


def _curve(points: Mapping[int, float]) -> Curve:
    iters = sorted(points)
    return Curve(np.array(iters), np.array([points[number] for number in iters]))


def read_baseline(path: str | os.PathLike) -> dict[str, float]:
    """Read bicubic's scores by `set/metric` from the JSON of the quick start or `test.py --json`.

    Raises:
        DataError: the file is missing, no JSON, or has no entry for bicubic.
    """
    try:
        content = files.read_json(path)
    except FileNotFoundError as error:
        hint = "`test.py ... --baseline --json FILE` writes one"
        raise DataError(f"{os.fspath(path)}: no such file; {hint}") from error
    except (OSError, ValueError) as error:
        fault = f"not a readable JSON file ({reason_of(error)})"
        raise DataError(f"{os.fspath(path)}: {fault}") from error
    entries = content if isinstance(content, dict) else {}
    for name, scores in entries.items():
        if name.lower().startswith("bicubic") and isinstance(scores, dict):
            return dict(_flat_scores(scores))
    names = ", ".join(map(repr, entries)) or "no entries"
    raise DataError(
        f"{os.fspath(path)}: no entry named 'bicubic' (found: {names}); "
        "`test.py configs/bicubic/... --json FILE` writes one"
    )


def _flat_scores(scores: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in scores.items():
        if isinstance(value, dict):
            if key != "images":
                yield from _flat_scores(value, f"{prefix}{key}/")
        else:
            yield prefix + key, float(value)
