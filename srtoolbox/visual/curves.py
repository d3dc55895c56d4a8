"""Training curves from the `scores.jsonl` files that runs write: scores, loss terms, learning rates, one panel each."""

from __future__ import annotations

import difflib
import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from srtoolbox.errors import DataError
from srtoolbox.visual.charts import COLOURS, INK, check_suffix, new_figure, plain, write_figure
from srtoolbox.visual.run_log import Curve, Run, read_run

_BASELINE = "#555555"
_SMOOTH_FROM = 60  # points: a shorter curve is shown as it is


def plot_runs(
    logs: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    *,
    log_scale: bool = False,
    keys: Sequence[str] | None = None,
    baseline: Mapping[str, float] | None = None,
    join: bool = False,
) -> list[str]:
    """Draw the curves of one or more runs into a PNG, PDF or SVG.

    Args:
        logs: `scores.jsonl` files or work_dirs; runs with curves of one name share a panel.
        path: the file to write; its suffix says the format.
        log_scale: logarithmic axes for loss terms and learning rates.
        keys: which curves: a score (`set5/psnr`; joined `psnr`), a loss term (`pixel`), `lr`. None: all but timings.
        baseline: scores by `set/metric` to draw as dashed lines, see `read_baseline`.
        join: one panel per metric with a line per set (training and test pictures, say), instead of one per score.

    Returns:
        The keys drawn, in the order of their panels.

    Raises:
        DataError: another suffix, a log that cannot be read, a key that no run has, nothing to draw, a baseline of
            other scores.
    """
    check_suffix(path)
    runs = _with_distinct_names([read_run(log) for log in logs], logs)
    panels = _panels(runs, join)
    if keys:
        panels = {key: panels[key] for key in _checked(keys, panels)}
    else:
        panels = {key: curves for key, curves in panels.items() if key.rpartition("/")[2] != "seconds"}
    if not panels:
        raise DataError(f"{', '.join(map(os.fspath, logs))}: nothing to draw")
    scores = _scores_drawn(runs, panels, join)
    _check_baseline(baseline, [score for panel in scores.values() for score in panel.values()])
    colours = {run.name: COLOURS[number % len(COLOURS)] for number, run in enumerate(runs)}
    if join and len(runs) == 1:  # then colours tell sets apart
        colours = {runs[0].name: INK}
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(4.9 * columns, 3.5 * rows + 0.45)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (key, curves) in zip(axes, panels.items(), strict=False):
        lines = {label: (baseline or {}).get(score) for label, score in scores.get(key, {}).items()}
        _draw_panel(axis, key, curves, colours, lines)
        axis.set_title(_title(key, key in scores), fontsize=11, fontweight="bold", color=INK, loc="left")
        if log_scale and key not in scores:
            axis.set_yscale("log")
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    drawn = {score for panel in scores.values() for score in panel.values()}
    _add_legend(figure, colours, has_baseline=bool(drawn & set(baseline or {})))
    write_figure(path, figure)
    return list(panels)


def _with_distinct_names(runs: list[Run], logs: Sequence[str | os.PathLike]) -> list[Run]:
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return runs
    return [run._replace(name=os.fspath(log)) for run, log in zip(runs, logs, strict=True)]


def _panels(runs: Sequence[Run], join: bool) -> dict[str, list[tuple[str, str, Curve]]]:
    """key -> (run, label within the run, curve): scores first, then loss terms, then all learning rates together.

    Where scores are joined, a key is a metric, and the label the set.
    """
    panels: dict[str, list[tuple[str, str, Curve]]] = {}
    for group in ("scores", "terms"):
        scores = set(panels)
        for run in runs:
            for key, curve in getattr(run, group).items():
                name, label = _joined(key) if join and group == "scores" else (key, "")
                if group == "terms" and name in scores:  # a loss called as a metric is
                    name = f"loss/{name}"
                panels.setdefault(name, []).append((run.name, label, curve))
    for run in runs:
        for network, curve in run.rates.items():
            panels.setdefault("lr", []).append((run.name, network, curve))
    return panels


def _joined(score: str) -> tuple[str, str]:
    """'set5/psnr' -> ('psnr', 'set5')."""
    dataset, _, metric = score.rpartition("/")
    return metric, dataset


def _scores_drawn(runs: Sequence[Run], panels: Iterable[str], join: bool) -> dict[str, dict[str, str]]:
    """Panel -> label -> score, of the panels that show scores."""
    drawn: dict[str, dict[str, str]] = {}
    for score in dict.fromkeys(score for run in runs for score in run.scores):
        panel, label = _joined(score) if join else (score, "")
        if panel in panels:
            drawn.setdefault(panel, {})[label] = score
    return drawn


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
    baseline: Mapping[str, float | None],
) -> None:
    labels = list(dict.fromkeys(label for _, label, _ in curves))
    several = len(labels) > 1
    styles = dict(zip(labels, ("-", "--", ":", "-."), strict=False))
    by_set = dict(zip(labels, itertools.cycle(COLOURS))) if several and len(colours) == 1 and key != "lr" else {}
    for run, label, curve in curves:
        is_smoothed = key != "lr" and len(curve.iters) >= _SMOOTH_FROM
        colour, style = (by_set[label], "-") if by_set else (colours[run], styles.get(label, "-"))
        _draw_curve(axis, curve, colour, style, label if several else None, is_smoothed)
    for label, value in baseline.items():
        if value is not None and math.isfinite(value):
            axis.axhline(value, color=by_set.get(label, _BASELINE), linestyle=(0, (5, 3)), linewidth=1.4)
    axis.set_xlabel("iteration", fontsize=9, color=INK)
    plain(axis)
    axis.margins(x=0.02)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    if several:
        axis.legend(fontsize=8, framealpha=0.85, edgecolor="none")
    if not by_set:
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


def _title(key: str, is_score: bool) -> str:
    if not is_score:
        return "learning rate" if key == "lr" else f"loss: {key.removeprefix('loss/')}"
    dataset, slash, metric = key.rpartition("/")
    measure, _, protocol = re.fullmatch(r"(.+?)(_(y_direct|rgb|y))?", metric).groups()
    return f"{measure.upper()}{f' ({protocol})' if protocol else ''}" + (f" on {dataset}" if slash else "")


def _add_legend(figure: Figure, colours: Mapping[str, str], *, has_baseline: bool) -> None:
    handles = [Line2D([], [], color=colour, linewidth=2.5, label=name) for name, colour in colours.items()]
    if has_baseline:
        handles.append(Line2D([], [], color=_BASELINE, linestyle=(0, (5, 3)), linewidth=1.4, label="bicubic"))
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 4), frameon=False, fontsize=10)
