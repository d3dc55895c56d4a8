"""Figures of charts: formats, colours, legends and files, with no display; charts of scores."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from srtoolbox.errors import DataError
from srtoolbox.io import files
from srtoolbox.plots.run_log import is_baseline
from srtoolbox.text import did_you_mean

SUFFIXES = (".png", ".pdf", ".svg")
COLOURS = ("#1f6fb4", "#d1495b", "#2a9d6f", "#e08e0b", "#7d4fa3", "#3aa6b9", "#8c5a3c", "#d15fa8")
INK, SOFT, GRID = "#222222", "#555555", "#dddddd"
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""network -> set -> metric -> mean."""
_BICUBIC = "#9a9a9a"
_FLAT = 2e-3  # a relative spread below this is no slope


def check_suffix(path: str | os.PathLike) -> None:
    """Raise a DataError for a file of another suffix than a chart's."""
    if Path(path).suffix.lower() not in SUFFIXES:
        name, listing = os.fspath(path), ", ".join(SUFFIXES)
        raise DataError(f"{name}: the suffix says the format, and is one of {listing}")


def new_panels(count: int, columns: int, size: tuple[float, float], header: float) -> tuple[Figure, list[Axes]]:
    """Return a white figure and its panels, each of (width, height) inches, below a header."""
    rows = math.ceil(count / columns)
    figsize = (size[0] * columns, size[1] * rows + header)
    figure = Figure(figsize=figsize, dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend above the panels, in as many columns as fit.

    Names too long are shortened in the middle.
    """
    names = [str(handle.get_label()) for handle in handles]
    columns, length = min(len(names), 4), max(map(len, names))
    while True:
        first, last = (length - 1) // 2, length // 2
        labels = [name if len(name) <= length else f"{name[:first]}…{name[-last:]}" for name in names]
        options = {"ncols": columns, "frameon": False, "fontsize": 10}
        legend = figure.legend(handles, labels, loc="outside upper left", **options)
        width = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width
        if width <= 0.98 * figure.bbox.width or (columns == 1 and length <= 12):
            return
        legend.remove()
        columns, length = (columns - 1, length) if columns > 1 else (1, int(length * 0.9))


def set_title(axis: Axes, title: str, *, bold: bool = True) -> None:
    """Write a panel's title above its left corner."""
    weight = "bold" if bold else "normal"
    axis.set_title(title, fontsize=11, fontweight=weight, color=INK, loc="left")


def simplify(axis: Axes, *, grid: Literal["both", "x", "y"] = "both") -> None:
    """Give a panel small figures and a light grid, and take its frame at the top and right."""
    axis.tick_params(labelsize=9, colors=INK)
    axis.grid(axis=grid, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def write_figure(path: str | os.PathLike, figure: Figure) -> None:
    """Write a figure in the format its file's suffix says."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lower()[1:])
    files.write_bytes(path, buffer.getvalue())


# ---- bars by set and network


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
    check_suffix(path)
    entries = [means for sets in scores.values() for means in sets.values()]
    existing = list(dict.fromkeys(key for means in entries for key in means))
    panels = list(metrics or existing)
    for metric in panels:
        if metric not in existing:
            hint = did_you_mean(metric, existing, else_list=True)
            raise DataError(f"no scores by {metric!r}.{hint}")
    if not panels:
        raise DataError("no scores to draw")
    others = itertools.cycle(COLOURS)
    is_gray = {name: is_baseline(name) for name in scores}
    colours = {name: _BICUBIC if gray else next(others) for name, gray in is_gray.items()}
    sets = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    width = max(5.0, 0.62 * len(sets) * (len(scores) + 0.8))
    figure, axes = new_panels(len(panels), 1, (min(width, 24), 3.6), 0.5)
    for axis, metric in zip(axes, panels, strict=True):
        _draw_bars(axis, metric, scores, sets, colours)
    add_legend(figure, [Patch(color=colour, label=name) for name, colour in colours.items()])
    write_figure(path, figure)
    return panels


def _draw_bars(axis: Axes, metric: str, scores: Scores, sets: Sequence[str], colours: Mapping[str, str]) -> None:
    share = 0.8 / len(scores)
    heights: list[float] = []
    for number, (network, entry) in enumerate(scores.items()):
        values = [entry.get(name, {}).get(metric, math.nan) for name in sets]
        finite = _finite(values)
        heights += [value for value in finite if not math.isnan(value)]
        places = [group - 0.4 + share * (number + 0.5) for group in range(len(sets))]
        bars = axis.bar(places, finite, share * 0.92, color=colours[network])
        texts = ["" if math.isnan(value) else _text(value) for value in values]
        angle = 90 if len(sets) * len(scores) > 14 else 0
        axis.bar_label(bars, texts, fontsize=8, color=INK, padding=2, rotation=angle)
    axis.set_xticks(range(len(sets)), sets)
    note = "   (axis cut below)" if _set_floor(axis, heights) else ""
    set_title(axis, metric.upper() + note, bold=False)
    simplify(axis, grid="y")
    axis.tick_params(bottom=False)


def _finite(values: Sequence[float]) -> list[float]:
    """Return the values, NaN in place of infinite ones, which nothing can draw."""
    return [value if math.isfinite(value) else math.nan for value in values]


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


# ---- metrics over the share of an interpolation


def plot_alpha(
    path: str | os.PathLike,
    alphas: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    ends: tuple[str, str],
) -> None:
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
    figure, axes = new_panels(len(panels), min(len(panels), 3), (4.6, 3.4), 0.4)
    for axis, (metric, curves) in zip(axes, panels.items(), strict=True):
        for colour, (name, values) in zip(itertools.cycle(COLOURS), curves.items(), strict=False):
            axis.plot(alphas, _finite(values), "o-", color=colour, linewidth=1.8, markersize=4, label=name)
        set_title(axis, metric)
        simplify(axis)
        axis.ticklabel_format(axis="y", useOffset=False)
        low, high = axis.get_ylim()
        if high - low < _FLAT * abs(high):  # noise in the last digits should look like it
            axis.set_ylim(high - _FLAT * abs(high), high + _FLAT * abs(high))
        axis.legend(fontsize=8, frameon=False)
    figure.supxlabel(f"alpha: 0 = {ends[0]}, 1 = {ends[1]}", fontsize=9, color=INK)
    write_figure(path, figure)
