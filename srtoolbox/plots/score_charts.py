"""Charts of scores: bars by set and network, and metrics over the share of an interpolation."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from srtoolbox.errors import DataError
from srtoolbox.io import files
from srtoolbox.plots import charts
from srtoolbox.plots.charts import COLOURS, INK, simplify
from srtoolbox.text import did_you_mean, reason_of

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""network -> set -> metric -> mean."""
Panels = Mapping[str, Mapping[str, Sequence[float]]]
"""metric -> set -> value at each alpha."""
_BICUBIC = "#9a9a9a"
_FLAT = 2e-3  # a relative spread below this is no slope


def read_scores(paths: Sequence[str | os.PathLike]) -> dict[str, dict[str, dict[str, float]]]:
    """Read the means in files of `test.py --json`.

    Networks of one name in several files get the file's name, too.

    Raises:
        DataError: a file that is missing, no JSON, or not of that form.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for path in paths:
        try:
            content = files.read_json(path)
            for network, sets in content.items():
                scores = {name: _means(entry) for name, entry in sets.items()}
                is_taken = result.get(network, scores) != scores
                result[f"{network} ({Path(path).stem})" if is_taken else network] = scores
        except FileNotFoundError as error:
            hint = "`test.py ... --json FILE` writes one"
            raise DataError(f"{os.fspath(path)}: no such file; {hint}") from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            fault = f"not scores as `test.py ... --json FILE` writes them ({reason_of(error)})"
            raise DataError(f"{os.fspath(path)}: {fault}") from error
    return result


def _means(entry: Mapping[str, Any]) -> dict[str, float]:
    names = [name for name in entry if name not in ("images", "seconds")]
    return {name: float(entry[name]) for name in names}


def plot_bars(path: str | os.PathLike, scores: Scores, *, metrics: Sequence[str] | None = None) -> list[str]:
    """Draw a panel per metric, with a group of bars per set and a bar per network.

    Args:
        path: the PNG, PDF or SVG to write.
        scores: see `Scores`; bars are drawn in its order.
        metrics: a panel for each, in this order; None: all.

    Returns:
        The metrics drawn.

    Raises:
        DataError: another suffix, no scores, or a metric that no network has.
    """
    charts.check_suffix(path)
    entries = [means for sets in scores.values() for means in sets.values()]
    existing = list(dict.fromkeys(key for means in entries for key in means))
    panels = list(metrics or existing)
    for metric in panels:
        if metric not in existing:
            hint = did_you_mean(metric, existing, else_list=True)
            raise DataError(f"no scores by {metric!r}.{hint}")
    if not panels:
        raise DataError("no scores to draw")
    sets = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    width = max(5.0, 0.62 * len(sets) * (len(scores) + 0.8))
    figure = charts.new_figure(min(width, 24), 3.6 * len(panels) + 0.5)
    axes = figure.subplots(len(panels), 1, squeeze=False).ravel()
    for axis, metric in zip(axes, panels, strict=True):
        _draw_bars(axis, metric, scores, sets)
    handles = [Patch(color=colour, label=name) for name, colour in _colours(scores).items()]
    charts.add_legend(figure, handles)
    charts.write_figure(path, figure)
    return panels


def _draw_bars(axis: Axes, metric: str, scores: Scores, sets: Sequence[str]) -> None:
    share = 0.8 / len(scores)
    heights: list[float] = []
    colours = _colours(scores)
    for number, (network, entry) in enumerate(scores.items()):
        values = [entry.get(name, {}).get(metric, math.nan) for name in sets]
        finite = [value if math.isfinite(value) else math.nan for value in values]
        heights += [value for value in finite if not math.isnan(value)]
        places = [group - 0.4 + share * (number + 0.5) for group in range(len(sets))]
        bars = axis.bar(places, finite, share * 0.92, color=colours[network])
        texts = ["" if math.isnan(value) else _text(value) for value in values]
        angle = 90 if len(sets) * len(scores) > 14 else 0
        axis.bar_label(bars, texts, fontsize=8, color=INK, padding=2, rotation=angle)
    axis.set_xticks(range(len(sets)), sets)
    note = "   (axis cut below)" if _set_floor(axis, heights) else ""
    axis.set_title(metric.upper() + note, fontsize=11, color=INK, loc="left")
    simplify(axis, grid="y")
    axis.tick_params(bottom=False)


def _colours(networks: Iterable[str]) -> dict[str, str]:
    """Return gray for bicubic, a colour for each of the others."""
    others = itertools.cycle(COLOURS)
    is_bicubic = {name: name.lower().startswith("bicubic") for name in networks}
    return {name: _BICUBIC if gray else next(others) for name, gray in is_bicubic.items()}


def _text(value: float) -> str:
    return "inf" if math.isinf(value) else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def _set_floor(axis: Axes, values: Sequence[float]) -> bool:
    """Cut the axis where bars from 0 would all look alike; return True if it is cut."""
    if not values:
        return False
    low, high = min(values), max(values)
    spread = high - low or abs(high) * 0.1 or 1.0
    if low <= 0 or low <= 2 * spread:
        axis.set_ylim(min(0.0, low * 1.15), high * 1.15)
        return False
    axis.set_ylim(low - 0.6 * spread, high + 0.35 * spread)
    return True


def plot_alpha(path: str | os.PathLike, alphas: Sequence[float], panels: Panels, *, ends: tuple[str, str]) -> None:
    """Draw metrics over alpha.

    Args:
        path: the PNG, PDF or SVG to write.
        alphas: share of the second network, ascending.
        panels: `{metric: {set: value at each alpha}}`.
        ends: names of the networks at alpha 0 and 1.

    Raises:
        DataError: another suffix, or nothing to draw.
    """
    charts.check_suffix(path)
    if not panels:
        raise DataError(f"{os.fspath(path)}: nothing to draw")
    columns = min(len(panels), 3)
    figure, axes = charts.new_panels(len(panels), columns, (4.6, 3.4), 0.4)
    for axis, (metric, curves) in zip(axes, panels.items(), strict=True):
        _draw_curves(axis, metric, alphas, curves)
    figure.supxlabel(f"alpha: 0 = {ends[0]}, 1 = {ends[1]}", fontsize=9, color=INK)
    charts.write_figure(path, figure)


def _draw_curves(axis: Axes, metric: str, alphas: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    for colour, (name, values) in zip(itertools.cycle(COLOURS), curves.items(), strict=False):
        finite = [value if math.isfinite(value) else math.nan for value in values]
        axis.plot(alphas, finite, "o-", color=colour, linewidth=1.8, markersize=4, label=name)
    axis.set_title(metric, fontsize=11, fontweight="bold", color=INK, loc="left")
    simplify(axis)
    axis.ticklabel_format(axis="y", useOffset=False)
    low, high = axis.get_ylim()
    if high - low < _FLAT * abs(high):  # noise in the last digits should look like it
        axis.set_ylim(high - _FLAT * abs(high), high + _FLAT * abs(high))
    axis.legend(fontsize=8, frameon=False)
