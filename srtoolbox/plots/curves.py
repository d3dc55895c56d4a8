"""Charts of runs, from the `scores.jsonl` that they write: a panel per score, loss term, rate."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D

from srtoolbox.errors import DataError
from srtoolbox.plots import charts
from srtoolbox.plots.charts import COLOURS, INK, SOFT
from srtoolbox.plots.curve_panel import (
    BASELINE_STYLE,
    LabelledCurve,
    draw_panel,
    is_signed,
    panel_title,
)
from srtoolbox.plots.run_log import RunLog, read_run


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

    Runs are listed from the highest last value of the first panel down, so legend and lines have
    one order.

    Args:
        logs: `scores.jsonl` files or work_dirs; runs with curves of one name share a panel.
        path: the file to write; its suffix says the format.
        log_scale: logarithmic axes for loss terms and learning rates.
        keys: which curves: a score (`set5/psnr`; joined `psnr`), a loss term (`pixel`), `lr`. None:
            all but timings.
        baseline: scores by `set/metric` to draw as dashed lines, see `read_baseline`.
        join: one panel per metric with a line per set (training and test images, say), instead of
            one per score.

    Returns:
        The keys drawn, in the order of their panels.

    Raises:
        DataError: another suffix, a log that cannot be read, a key that no run has, nothing to
            draw, a baseline of other scores.
    """
    charts.check_suffix(path)
    runs = _with_distinct_names([read_run(log) for log in logs], logs)
    panels = _panels(runs, join)
    keys = _check_keys(keys, panels) if keys else _all_but_timings(panels)
    panels = {key: panels[key] for key in keys}
    if not panels:
        raise DataError(f"{', '.join(os.fspath(log) for log in logs)}: nothing to draw")
    scores = _scores_in(panels, runs, join)
    _check_baseline(baseline, [score for panel in scores.values() for score in panel.values()])
    names = _from_the_highest([run.name for run in runs], next(iter(panels.values())))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    if join and len(runs) == 1:  # then colours tell sets apart
        colours = {names[0]: INK}
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    figure, axes = charts.new_panels(len(panels), columns, (4.9, 3.5), 0.45)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    for axis, (key, curves) in zip(axes, panels.items(), strict=True):
        lines = {label: (baseline or {}).get(score) for label, score in scores.get(key, {}).items()}
        is_log = log_scale and key not in scores and not is_signed(key)
        if is_log:
            axis.set_yscale("log", nonpositive="mask")
        ordered = sorted(curves, key=lambda curve: names.index(curve[0]))
        draw_panel(axis, key, ordered, colours, lines, is_score=key in scores, is_log=is_log)
        title = panel_title(key, key in scores)
        axis.set_title(title, fontsize=11, fontweight="bold", color=INK, loc="left")
    has_line = any(score in (baseline or {}) for part in scores.values() for score in part.values())
    charts.add_legend(figure, _legend_handles(colours, has_baseline=has_line))
    charts.write_figure(path, figure)
    return list(panels)


def _with_distinct_names(runs: list[RunLog], logs: Sequence[str | os.PathLike]) -> list[RunLog]:
    """Give runs of one name as many of their folders as distinguish them, and a number at last."""
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


def _from_the_highest(names: Sequence[str], curves: Sequence[LabelledCurve]) -> list[str]:
    """Order runs by their last finite value in a panel; those without one come last."""
    last: dict[str, float] = {}
    for name, _, curve in curves:
        finite = curve.values[np.isfinite(curve.values)]
        if len(finite):
            last.setdefault(name, finite[-1])
    return sorted(names, key=lambda name: -last.get(name, -math.inf))


def _panels(runs: Sequence[RunLog], join: bool) -> dict[str, list[LabelledCurve]]:
    """Return the curves of each panel: scores, then loss terms, then all learning rates together.

    Where scores are joined, a panel's key is a metric, and the label of a curve the set.
    """
    panels: dict[str, list[LabelledCurve]] = {}
    for group in ("scores", "terms"):
        scores = set(panels)
        for run in runs:
            for key, curve in getattr(run, group).items():
                name, label = _split_score(key) if join and group == "scores" else (key, "")
                if group == "terms" and name in scores:  # a loss called as a metric is
                    name = f"loss/{name}"
                panels.setdefault(name, []).append((run.name, label, curve))
    for run in runs:
        for network, curve in run.rates.items():
            panels.setdefault("lr", []).append((run.name, network, curve))
    return panels


def _split_score(score: str) -> tuple[str, str]:
    """Return ('psnr', 'set5') for 'set5/psnr'."""
    dataset, _, metric = score.rpartition("/")
    return metric, dataset


def _scores_in(panels: Iterable[str], runs: Sequence[RunLog], join: bool) -> dict[str, dict[str, str]]:
    """Return panel -> label -> score, of the panels that show scores."""
    scores: dict[str, dict[str, str]] = {}
    for score in dict.fromkeys(score for run in runs for score in run.scores):
        panel, label = _split_score(score) if join else (score, "")
        if panel in panels:
            scores.setdefault(panel, {})[label] = score
    return scores


def _all_but_timings(panels: Iterable[str]) -> list[str]:
    return [key for key in panels if key.rpartition("/")[2] != "seconds"]


def _check_keys(keys: Iterable[str], panels: Mapping[str, object]) -> list[str]:
    keys = list(dict.fromkeys(keys))
    for key in keys:
        if key not in panels:
            near = difflib.get_close_matches(key, panels, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(panels)}."
            raise DataError(f"no curve named {key!r} in these runs. {hint}")
    return keys


def _check_baseline(baseline: Mapping[str, float] | None, scores: Sequence[str]) -> None:
    if baseline is not None and scores and not set(baseline) & set(scores):
        own = ", ".join(baseline) or "no scores"
        raise DataError(f"the baseline has {own}, the runs have {', '.join(scores)}")


def _legend_handles(colours: Mapping[str, str], *, has_baseline: bool) -> list[Line2D]:
    handles = [Line2D([], [], color=hue, linewidth=2.5, label=name) for name, hue in colours.items()]
    if has_baseline:
        line = Line2D([], [], color=SOFT, linestyle=BASELINE_STYLE, linewidth=1.4)
        line.set_label("bicubic")
        handles.append(line)
    return handles
