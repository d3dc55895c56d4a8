"""Training curves from the `scores.jsonl` files that runs write: scores, loss terms, learning rates, one panel each."""

from __future__ import annotations

import difflib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from srtoolbox import files
from srtoolbox.errors import DataError

LOG_NAME = "scores.jsonl"
SUFFIXES = (".png", ".pdf", ".svg")
_COLOURS = ("#1f6fb4", "#d1495b", "#2a9d6f", "#e08e0b", "#7d4fa3", "#3aa6b9", "#8c5a3c", "#d15fa8")
_INK, _GRID, _BASELINE = "#222222", "#dddddd", "#555555"
_SMOOTH_FROM = 60  # points: a shorter curve is shown as it is


class Curve(NamedTuple):
    """One line of one panel: `values` (float64, may be inf or nan) at `iters` (ascending)."""

    iters: np.ndarray
    values: np.ndarray


class Run(NamedTuple):
    """What a log holds: curves of scores (`set5/psnr`), loss terms (`pixel`) and learning rates (`generator`)."""

    name: str
    scores: dict[str, Curve]
    terms: dict[str, Curve]
    rates: dict[str, Curve]


def read_run(path: str | os.PathLike) -> Run:
    """The curves in a `scores.jsonl`, or in the one of a work_dir.

    A last line that a killed run left half-written is ignored. Of two records of one iteration the later counts.

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
            raise DataError(f"{file}:{number}: not a record of a run ({error}); remove the line") from error
    if not any(points.values()):
        raise DataError(f"{file}: holds no records yet; train longer, or lower the logger's interval")
    name = file.parent.name if file.name == LOG_NAME and file.parent.name else file.stem
    return Run(name, *({key: _curve(curve) for key, curve in points[group].items()} for group in points))


def _curve(points: Mapping[int, float]) -> Curve:
    iters = sorted(points)
    return Curve(np.array(iters), np.array([points[number] for number in iters]))


def read_baseline(path: str | os.PathLike) -> dict[str, float]:
    """Bicubic's scores by `set/metric`, from the JSON of the quick start or of `test.py --json`.

    Raises:
        DataError: the file is missing, no JSON, or has no entry for bicubic.
    """
    try:
        content = files.read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)}: not a readable JSON file ({error})") from error
    names = list(content) if isinstance(content, dict) else []
    name = next((key for key in names if key.lower().startswith("bicubic") and isinstance(content[key], dict)), None)
    if name is None:
        raise DataError(
            f"{os.fspath(path)}: no entry named 'bicubic' (found: {', '.join(map(repr, names)) or 'no entries'}); "
            "`test.py configs/bicubic/... --json FILE` writes one"
        )
    return dict(_flat_scores(content[name]))


def _flat_scores(scores: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in scores.items():
        if isinstance(value, dict):
            if key != "images":
                yield from _flat_scores(value, f"{prefix}{key}/")
        else:
            yield prefix + key, float(value)


def plot_runs(
    logs: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    *,
    log_scale: bool = False,
    keys: Sequence[str] | None = None,
    baseline: Mapping[str, float] | None = None,
) -> list[str]:
    """Draw the curves of one or more runs into a PNG, PDF or SVG.

    Args:
        logs: `scores.jsonl` files or work_dirs; runs with curves of one name share a panel.
        path: the file to write; its suffix says the format.
        log_scale: logarithmic axes for loss terms and learning rates.
        keys: which curves: a score (`set5/psnr`), a loss term (`pixel`), `lr`. None: all but timings.
        baseline: scores by `set/metric` to draw as dashed lines, see `read_baseline`.

    Returns:
        The keys drawn, in the order of their panels.

    Raises:
        DataError: another suffix, a log that cannot be read, a key that no run has, nothing to draw, a baseline of
            other scores.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{os.fspath(path)}: the suffix says the format, and is one of {', '.join(SUFFIXES)}")
    runs = _with_distinct_names([read_run(log) for log in logs], logs)
    panels = _panels(runs)
    if keys:
        panels = {key: panels[key] for key in _checked(keys, panels)}
    else:
        panels = {key: curves for key, curves in panels.items() if not key.endswith("/seconds")}
    if not panels:
        raise DataError(f"{', '.join(map(os.fspath, logs))}: nothing to draw")
    _check_baseline(baseline, [key for key in panels if any(key in run.scores for run in runs)])
    colours = {run.name: _COLOURS[number % len(_COLOURS)] for number, run in enumerate(runs)}
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.9 * columns, 3.5 * rows + 0.45), dpi=110, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (key, curves) in zip(axes, panels.items(), strict=False):
        is_score = any(key in run.scores for run in runs)
        _draw_panel(axis, key, curves, colours, (baseline or {}).get(key))
        if log_scale and not is_score:
            axis.set_yscale("log")
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    _add_legend(figure, colours, has_baseline=any(key in (baseline or {}) for key in panels))
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix[1:])
    files.write_bytes(path, buffer.getvalue())
    return list(panels)


def _with_distinct_names(runs: list[Run], logs: Sequence[str | os.PathLike]) -> list[Run]:
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return runs
    return [run._replace(name=os.fspath(log)) for run, log in zip(runs, logs, strict=True)]


def _panels(runs: Sequence[Run]) -> dict[str, list[tuple[str, str, Curve]]]:
    """key -> (run, label within the run, curve): scores first, then loss terms, then all learning rates together."""
    panels: dict[str, list[tuple[str, str, Curve]]] = {}
    for group in ("scores", "terms"):
        for run in runs:
            for key, curve in getattr(run, group).items():
                panels.setdefault(key, []).append((run.name, "", curve))
    for run in runs:
        for network, curve in run.rates.items():
            panels.setdefault("lr", []).append((run.name, network, curve))
    return panels


def _checked(keys: Iterable[str], panels: Mapping[str, object]) -> list[str]:
    keys = list(dict.fromkeys(keys))
    for key in keys:
        if key not in panels:
            near = difflib.get_close_matches(key, panels, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(panels)}."
            raise DataError(f"no curve named {key!r} in these runs. {hint}")
    return keys


def _check_baseline(baseline: Mapping[str, float] | None, scores: Sequence[str]) -> None:
    if baseline is not None and scores and not set(baseline) & set(scores):
        raise DataError(f"the baseline has {', '.join(baseline) or 'no scores'}, the runs have {', '.join(scores)}")


# ---- drawing


def _draw_panel(
    axis: Axes,
    key: str,
    curves: Sequence[tuple[str, str, Curve]],
    colours: Mapping[str, str],
    baseline: float | None,
) -> None:
    several = len({label for _, label, _ in curves}) > 1
    styles = dict(zip(dict.fromkeys(label for _, label, _ in curves), ("-", "--", ":", "-."), strict=False))
    for run, label, curve in curves:
        is_smoothed = key != "lr" and len(curve.iters) >= _SMOOTH_FROM
        _draw_curve(axis, curve, colours[run], styles.get(label, "-"), label if several else None, is_smoothed)
    if baseline is not None and math.isfinite(baseline):
        axis.axhline(baseline, color=_BASELINE, linestyle=(0, (5, 3)), linewidth=1.4)
    axis.set_title(_title(key), fontsize=11, fontweight="bold", color=_INK, loc="left")
    axis.set_xlabel("iteration", fontsize=9, color=_INK)
    axis.tick_params(labelsize=9, colors=_INK)
    axis.grid(color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.margins(x=0.02)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    if several:
        axis.legend(fontsize=8, frameon=False)
    _write_last_values(axis, key, curves, colours)


def _draw_curve(axis: Axes, curve: Curve, colour: str, style: str, label: str | None, is_smoothed: bool) -> None:
    values = np.where(np.isfinite(curve.values), curve.values, np.nan)
    if is_smoothed:
        axis.plot(curve.iters, values, color=colour, linewidth=0.8, alpha=0.3)
        values = _smooth(values)
    marker = "o" if len(values) < 12 else None
    axis.plot(curve.iters, values, style, color=colour, linewidth=1.8, label=label, marker=marker, markersize=4)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over about a thirtieth of the curve, over what there is of the window at both ends."""
    half = max(1, len(values) // 60)
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    with np.errstate(invalid="ignore"):
        return (sums[high] - sums[low]) / (counts[high] - counts[low])


def _write_last_values(
    axis: Axes, key: str, curves: Sequence[tuple[str, str, Curve]], colours: Mapping[str, str]
) -> None:
    """The last value of each run, in its colour, right of the title."""
    if key == "lr":
        return
    digits = 4 if "/" in key else 3
    texts = [(f"{curve.values[-1]:.{digits}g}", colours[run]) for run, _, curve in curves[:4]]
    for number, (text, colour) in enumerate([*reversed(texts), ("last", _BASELINE)]):
        axis.annotate(
            text,
            (1, 1),
            xytext=(-48 * number, 7),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=colour,
        )


def _title(key: str) -> str:
    if key == "lr":
        return "learning rate"
    dataset, slash, metric = key.rpartition("/")
    if not slash:
        return f"loss: {key}"
    measure, _, protocol = re.fullmatch(r"(.+?)(_(y_direct|rgb|y))?", metric).groups()
    return f"{measure.upper()}{f' ({protocol})' if protocol else ''} on {dataset}"


def _add_legend(figure: Figure, colours: Mapping[str, str], *, has_baseline: bool) -> None:
    handles = [Line2D([], [], color=colour, linewidth=2.5, label=name) for name, colour in colours.items()]
    if has_baseline:
        handles.append(Line2D([], [], color=_BASELINE, linestyle=(0, (5, 3)), linewidth=1.4, label="bicubic"))
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 4), frameon=False, fontsize=10)
