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
from srtoolbox.plots.charts import COLOURS, INK, add_legend, check_suffix, new_figure, plain, write_figure
from srtoolbox.text import did_you_mean, reason_of

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""network -> set -> metric -> mean."""
Panels = Mapping[str, Mapping[str, Sequence[float]]]
"""metric -> set -> value at each alpha."""
_BICUBIC = "#9a9a9a"
_FLAT = 2e-3  # a relative spread below this is no slope


def read_scores(paths: Sequence[str | os.PathLike]) -> dict[str, dict[str, dict[str, float]]]:
    """The means in files of `test.py --json`; networks of one name in several files are told apart by the file.

    Raises:
        DataError: a file that is missing, no JSON, or not of that form.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for path in paths:
        try:
            content = files.read_json(path)
            for network, sets in content.items():
                scores = {name: _means(entry) for name, entry in sets.items()}
                twice = found.get(network, scores) != scores
                found[f"{network} ({Path(path).stem})" if twice else network] = scores
        except FileNotFoundError as error:
            raise DataError(f"{os.fspath(path)}: no such file; `test.py ... --json FILE` writes one") from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"{os.fspath(path)}: not scores as `test.py ... --json FILE` writes them ({reason_of(error)})"
            ) from error
    return found


def _means(entry: Mapping[str, Any]) -> dict[str, float]:
    return {metric: float(value) for metric, value in entry.items() if metric not in ("images", "seconds")}


def plot_bars(path: str | os.PathLike, scores: Scores, *, metrics: Sequence[str] | None = None) -> list[str]:
    """Draw a panel per metric, with a group of bars per set and a bar per network.

    Args:
        path: the PNG, PDF or SVG to write.
        scores: see `Scores`; bars are drawn in its order.
        metrics: which, in this order; None: all.

    Returns:
        The metrics drawn.

    Raises:
        DataError: another suffix, no scores, or a metric that no network has.
    """
    check_suffix(path)
    known = list(dict.fromkeys(key for sets in scores.values() for means in sets.values() for key in means))
    wanted = list(metrics or known)
    for metric in wanted:
        if metric not in known:
            raise DataError(f"no scores by {metric!r}.{did_you_mean(metric, known, else_list=True)}")
    if not wanted:
        raise DataError("no scores to draw")
    sets = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    width = max(5.0, 0.62 * len(sets) * (len(scores) + 0.8))
    figure = new_figure(min(width, 24), 3.6 * len(wanted) + 0.5)
    axes = figure.subplots(len(wanted), 1, squeeze=False).ravel()
    for axis, metric in zip(axes, wanted, strict=True):
        _draw_bars(axis, metric, scores, sets)
    colours = _colours(scores)
    add_legend(figure, [Patch(color=colour, label=network) for network, colour in colours.items()])
    write_figure(path, figure)
    return wanted


def _draw_bars(axis: Axes, metric: str, scores: Scores, sets: Sequence[str]) -> None:
    share = 0.8 / len(scores)
    shown = []
    colours = _colours(scores)
    for number, (network, entry) in enumerate(scores.items()):
        values = [entry.get(name, {}).get(metric, math.nan) for name in sets]
        finite = [value if math.isfinite(value) else math.nan for value in values]
        shown += [value for value in finite if not math.isnan(value)]
        places = [group - 0.4 + share * (number + 0.5) for group in range(len(sets))]
        bars = axis.bar(places, finite, share * 0.92, color=colours[network])
        texts = ["" if math.isnan(value) else _text(value) for value in values]
        axis.bar_label(
            bars, texts, fontsize=8, color=INK, padding=2, rotation=90 if len(sets) * len(scores) > 14 else 0
        )
    axis.set_xticks(range(len(sets)), sets)
    cut = _set_floor(axis, shown)
    axis.set_title(metric.upper() + ("   (axis cut below)" if cut else ""), fontsize=11, color=INK, loc="left")
    plain(axis, grid="y")
    axis.tick_params(bottom=False)


def _colours(networks: Iterable[str]) -> dict[str, str]:
    """Gray for bicubic, a colour for each of the others."""
    others = itertools.cycle(COLOURS)
    return {name: _BICUBIC if name.lower().startswith("bicubic") else next(others) for name in networks}


def _text(value: float) -> str:
    return "inf" if math.isinf(value) else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def _set_floor(axis: Axes, values: Sequence[float]) -> bool:
    """Cut the axis where bars from 0 would all look alike, and say so. Returns whether it is cut."""
    if not values:
        return False
    low, high = min(values), max(values)
    spread = high - low or abs(high) * 0.1 or 1.0
    cut = low > 0 and low > 2 * spread
    axis.set_ylim((low - 0.6 * spread) if cut else min(0.0, low * 1.15), high + 0.35 * spread if cut else high * 1.15)
    return cut


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
    check_suffix(path)
    if not panels:
        raise DataError(f"{os.fspath(path)}: nothing to draw")
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(4.6 * columns, 3.4 * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (metric, curves) in zip(axes, panels.items(), strict=False):
        _draw_curves(axis, metric, alphas, curves)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel(f"alpha: 0 = {ends[0]}, 1 = {ends[1]}", fontsize=9, color=INK)
    write_figure(path, figure)


def _draw_curves(axis: Axes, metric: str, alphas: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    for number, (name, values) in enumerate(curves.items()):
        finite = [value if math.isfinite(value) else math.nan for value in values]
        axis.plot(alphas, finite, "o-", color=COLOURS[number % len(COLOURS)], linewidth=1.8, markersize=4, label=name)
    axis.set_title(metric, fontsize=11, fontweight="bold", color=INK, loc="left")
    plain(axis)
    axis.ticklabel_format(axis="y", useOffset=False)
    low, high = axis.get_ylim()
    if high - low < _FLAT * abs(high):  # noise in the last digits should look like it
        axis.set_ylim(high - _FLAT * abs(high), high + _FLAT * abs(high))
    axis.legend(fontsize=8, frameon=False)
