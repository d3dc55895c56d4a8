"""Charts of runs, from the `scores.jsonl` that they write: a panel per score, loss term, rate."""

from __future__ import annotations

import difflib
import itertools
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from srtoolbox.errors import DataError
from srtoolbox.plots import charts
from srtoolbox.plots.charts import COLOURS, INK, SOFT
from srtoolbox.plots.run_log import RATES, Curve, Panel, panels_of, read_runs

_DASHES = (0, (5, 3))
_Style = Literal["-", "--", ":", "-."]
_STYLES: tuple[_Style, ...] = ("-", "--", ":", "-.")
_FEWEST = 6  # points of a rate by which a jump can be told from a slope
_SMOOTH_FROM = 60  # points: a shorter curve is shown as it is
# a run that ends this many times the others' spread away from them does not decide the limits
_FAR = 5.0
_LEAST_SPREAD = 0.1  # of the others' level: runs that agree to a hair make nobody an outlier
# of what they lack of 1: SSIM ends at 0, where PSNR goes on falling
_FAR_SSIM, _LEAST_SSIM_SPREAD = 3.0, 0.5
# terms that go below zero, which a logarithmic axis cannot show
_SIGNED = {"d_real": "D(GT), mean output (d_real)", "d_fake": "D(SR), mean output (d_fake)"}


def plot_runs(
    logs: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    *,
    log_scale: bool = False,
    keys: Sequence[str] | None = None,
    baseline: Mapping[str, float] | None = None,
    baseline_name: str = "bicubic",
    join: bool = False,
) -> list[str]:
    """Draw the curves of one or more runs into a PNG, PDF or SVG.

    Legend and lines list the runs by their last value in the first panel, the highest first.

    Args:
        logs: `scores.jsonl` files or work_dirs; runs with curves of one name share a panel.
        path: the file to write; its suffix says the format.
        log_scale: logarithmic axes for loss terms and learning rates.
        keys: which curves: a score (`set5/psnr`; joined `psnr`), a loss term (`pixel`), `lr`. None:
            all but timings.
        baseline: scores by `set/metric` to draw as dashed lines, see `read_baseline`.
        baseline_name: whose these are, for the legend.
        join: one panel per metric with a line per set (training and test images, say), instead of
            one per score.

    Returns:
        The keys drawn, in the order of their panels.

    Raises:
        DataError: another suffix, a log that cannot be read, a key that no run has, nothing to
            draw, a baseline of other scores.
    """
    charts.check_suffix(path)
    runs = read_runs(logs)
    existing = panels_of(runs, join)
    keys = _choose(existing, keys)
    if not keys:
        raise DataError(f"{', '.join(os.fspath(log) for log in logs)}: nothing to draw")
    panels = {key: existing[key] for key in keys}
    scores = [score for key in existing if key in panels for score in panels[key].scores.values()]
    if baseline is not None and scores and not set(baseline) & set(scores):
        own = ", ".join(baseline) or "no scores"
        raise DataError(f"the baseline has {own}, the runs have {', '.join(scores)}")
    baseline = baseline or {}
    looks = _looks([run.name for run in runs], panels[keys[0]], join)
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    figure, axes = charts.new_panels(len(panels), columns, (4.9, 3.5), 0.45)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    for axis, (key, panel) in zip(axes, panels.items(), strict=True):
        is_log = log_scale and not panel.scores and key not in _SIGNED
        _draw_panel(axis, key, panel, looks, baseline, is_log=is_log)
    lines = [
        Line2D([], [], color=hue, linestyle=style, linewidth=2.5, label=run) for run, (hue, style) in looks.items()
    ]
    if set(baseline) & set(scores):
        lines.append(Line2D([], [], color=SOFT, linestyle=_DASHES, linewidth=1.4, label=baseline_name))
    charts.add_legend(figure, lines)
    charts.write_figure(path, figure)
    return keys


def _choose(existing: Mapping[str, Panel], keys: Sequence[str] | None) -> list[str]:
    """Return `keys` once each, or all but timings; raises DataError for one that no run has."""
    for key in keys or ():
        if key not in existing:
            near = difflib.get_close_matches(key, existing, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(existing)}."
            raise DataError(f"no curve named {key!r} in these runs. {hint}")
    untimed = [key for key in existing if key.rpartition("/")[2] != "seconds"]
    return list(dict.fromkeys(keys or untimed))


def _looks(runs: Sequence[str], first: Panel, join: bool) -> dict[str, tuple[str, _Style]]:
    """Return colour and line of each run, from the highest last value in the first panel down.

    More runs than colours have the same ones in other lines, which tell sets apart where these are joined.
    """
    last: dict[str, float] = {}
    for name, _, curve in first.curves:
        finite = curve.values[np.isfinite(curve.values)]
        if len(finite):
            last.setdefault(name, finite[-1])
    names = sorted(runs, key=lambda name: -last.get(name, -math.inf))
    if join and len(runs) == 1:  # then colours tell sets apart
        return {names[0]: (INK, _STYLES[0])}
    looks = [(hue, style) for style in (_STYLES[:1] if join else _STYLES) for hue in COLOURS]
    return dict(zip(names, itertools.cycle(looks)))


def panel_title(key: str, is_score: bool) -> str:
    """Return the title of a panel: 'PSNR (y_direct) on set5', 'loss: pixel', 'learning rate'."""
    if is_score:
        dataset, slash, metric = key.rpartition("/")
        match = re.fullmatch(r"(.+?)_(y_direct|rgb|y)", metric)
        title = f"{match[1].upper()} ({match[2]})" if match else metric.upper()
        return f"{title} on {dataset}" if slash else title
    if key == RATES:
        return "learning rate"
    if key in _SIGNED:
        return _SIGNED[key]
    if re.fullmatch(r"grad_norm(_.+)?", key):
        network = key.removeprefix("grad_norm").removeprefix("_")
        return f"gradient norm: {network}" if network else "gradient norm"
    return f"loss: {key.removeprefix('loss/')}"


def _draw_panel(
    axis: Axes,
    key: str,
    panel: Panel,
    looks: Mapping[str, tuple[str, _Style]],
    baseline: Mapping[str, float],
    *,
    is_log: bool,
) -> None:
    """Draw the curves of one key, in the order of `looks`, and its baseline as dashed lines.

    Last values of scores have four digits, as 31.42 dB; a logarithmic axis flattens no outliers.
    """
    curves = sorted(panel.curves, key=lambda curve: list(looks).index(curve[0]))
    labels = list(dict.fromkeys(label for _, label, _ in curves))
    several = len(labels) > 1
    by_label = dict(zip(labels, itertools.cycle(COLOURS))) if several and len(looks) == 1 else {}
    styles = dict(zip(labels, itertools.cycle(_STYLES[:1] if by_label else _STYLES)))
    if is_log:
        axis.set_yscale("log", nonpositive="mask")
    draw = _draw_rate if key == RATES else _draw_curve
    for run, label, curve in curves:
        hue, style = looks[run]
        draw(axis, curve, by_label.get(label, hue), styles[label] if several else style)  # of sets, else of runs
    dashed = []
    for label, score in panel.scores.items():
        if math.isfinite(value := baseline.get(score, math.nan)):
            dashed.append(value)
            axis.axhline(value, color=by_label.get(label, SOFT), linestyle=_DASHES, linewidth=1.4)
    if not is_log:  # "30.1455" at its tick, not "0.0005" below "+3.0145e1"
        axis.ticklabel_format(axis="y", useOffset=False)
    if key == RATES:
        highest = [value for _, _, curve in curves if (value := curve.values.max()) > 0]
        if highest and max(highest) > 20 * min(highest):  # else the lower ones lie on the axis
            axis.set_yscale("log", nonpositive="mask")  # a rate of 0 ends its line
    charts.simplify(axis)
    axis.margins(x=0.02)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    if several:
        handles = [
            Line2D([], [], color=by_label.get(label, INK), linestyle=style, label=label)
            for label, style in styles.items()
        ]
        axis.legend(handles=handles, fontsize=8, framealpha=0.85, edgecolor="none")
    notes = []
    if key != RATES and not is_log:
        is_ssim = bool(panel.scores) and "ssim" in key.rpartition("/")[2].lower()
        named = [(f"{run}, {label}" if several else run, curve.values) for run, label, curve in curves]
        notes = _leave_out_outliers(axis, named, dashed, is_ssim=is_ssim)
    axis.set_xlabel("\n".join(["iteration", *notes]), fontsize=9, color=INK)
    if not by_label and key != RATES:
        last = [(curve.values[-1], looks[run][0]) for run, _, curve in curves]
        _write_last_values(axis, last, digits=4 if panel.scores else 3)
    charts.set_title(axis, panel_title(key, bool(panel.scores)))


def _draw_curve(axis: Axes, curve: Curve, colour: str, style: str) -> None:
    values = np.where(np.isfinite(curve.values), curve.values, np.nan)
    if len(values) >= _SMOOTH_FROM:
        axis.plot(curve.iters, values, color=colour, linewidth=0.8, alpha=0.3)
        values = _smooth(values)
    marker = "o" if len(values) < 12 else None
    axis.plot(curve.iters, values, style, color=colour, linewidth=1.8, marker=marker, markersize=4)


def _draw_rate(axis: Axes, curve: Curve, colour: str, style: str) -> None:
    """Draw a learning rate, jumps upright, and points where it swings faster than its samples.

    A zigzag through them would show a schedule that nobody set.
    """
    iters, values = curve
    steps = np.diff(values)
    turns = np.count_nonzero(np.sign(steps[1:]) * np.sign(steps[:-1]) < 0)
    if turns > len(values) / 4 and len(values) >= 8:
        axis.plot(iters, values, "o", color=colour, markersize=2.5)
        return
    large = np.abs(steps) > 0.4 * np.ptp(values)
    jumps = np.flatnonzero(large) + 1 if len(values) >= _FEWEST else np.empty(0, int)
    before = values[np.subtract(jumps, 1)]
    iters, values = np.insert(iters, jumps, iters[jumps]), np.insert(values, jumps, before)
    axis.plot(iters, values, style, color=colour, linewidth=1.8)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the running mean over about a thirtieth of the curve, at both ends over less."""
    half = max(1, len(values) // 60)
    is_finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(is_finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(is_finite)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    with np.errstate(invalid="ignore"):
        return (sums[high] - sums[low]) / (counts[high] - counts[low])


# ---- limits


def _leave_out_outliers(
    axis: Axes, curves: Sequence[tuple[str, np.ndarray]], dashed: Sequence[float], *, is_ssim: bool
) -> list[str]:
    """Set the limits by the runs that did not diverge and the dashed lines.

    Returns:
        A note on each run that lies beyond them.
    """
    notes = []
    finite = [values[np.isfinite(values)] for _, values in curves]
    outliers = _outliers(finite, is_ssim=is_ssim)
    for number, (name, values) in enumerate(curves):
        if number in outliers:
            notes.append(f"{name} lies beyond: {finite[number][-1]:.3g}")
        if len(values) and not np.isfinite(values[-1]):
            notes.append(f"{name}: not finite at its end")
    if outliers:
        inside = [values for number, values in enumerate(finite) if number not in outliers]
        within = np.concatenate([*inside, dashed])
        low, high = within.min(), within.max()
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        axis.set_ylim(low - margin, high + margin)
    return notes


def _outliers(curves: Sequence[np.ndarray], *, is_ssim: bool) -> set[int]:
    """Return the numbers of the curves that end far from all others, at most half of them.

    Of two curves only one that moved far is an outlier.
    """
    factor = _FAR_SSIM if is_ssim else _FAR
    far: set[int] = set()
    filled = [number for number, values in enumerate(curves) if len(values)]
    for number in sorted(filled, key=lambda each: np.ptp(curves[each]), reverse=True):
        others = [curves[other] for other in filled if other not in far | {number}]
        if not others or len(far) + 1 > len(filled) / 2:
            break
        low, high = min(map(np.min, others)), max(map(np.max, others))
        level = np.median(np.concatenate(others))
        least = _LEAST_SSIM_SPREAD * abs(1 - level) if is_ssim else _LEAST_SPREAD * abs(level)
        spread = max(high - low, least)
        if len(filled) == 2 and np.ptp(curves[number]) < factor * spread:
            break  # two runs that differ: neither is the odd one
        end = np.median(curves[number][-max(1, len(curves[number]) // 4) :])
        if end > high + factor * spread or end < low - factor * spread:
            far.add(number)
    return far


# ---- last values


def _write_last_values(axis: Axes, last: Sequence[tuple[float, str]], *, digits: int) -> None:
    """Write last values (value, colour) right of the panel, each near the end of its line."""
    last = sorted(last, key=lambda pair: -pair[0] if math.isfinite(pair[0]) else math.inf)
    gap = min(0.085, 1 / len(last))
    places = _spread_out([_height(axis, value) for value, _ in last], gap)
    for (value, colour), place in zip(last, places, strict=True):
        axis.annotate(
            f"{value:#.{digits}g}".rstrip("."),  # 29.00 beside 29.04, of one length
            (1, place),
            xytext=(5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=9 if gap > 0.06 else 7,
            color=colour,
        )


def _height(axis: Axes, value: float) -> float:
    """Return a value's height in a panel, from 0 at its bottom to 1; 0 if it cannot be shown."""
    axis.get_ylim()  # settles limits that are still automatic
    if not math.isfinite(value) or (axis.get_yscale() == "log" and value <= 0):
        return 0.0
    pixels = axis.transData.transform((axis.get_xlim()[1], value))
    return min(max(float(axis.transAxes.inverted().transform(pixels)[1]), 0.0), 1.0)


def _spread_out(places: Sequence[float], gap: float) -> list[float]:
    """Move descending heights in [0, 1] so far that none is nearer to the next than `gap`."""
    moved: list[float] = []
    for number, place in enumerate(places):
        highest = moved[-1] - gap if moved else 1.0
        lowest = gap * (len(places) - 1 - number)
        moved.append(max(min(place, highest), lowest))
    return moved
