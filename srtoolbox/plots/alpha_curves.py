"""Metrics over the share of a blend: one panel per metric, one line per set of pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from srtoolbox.errors import DataError
from srtoolbox.plots.charts import COLOURS, INK, check_suffix, new_figure, plain, write_figure

Panels = Mapping[str, Mapping[str, Sequence[float]]]
_FLAT = 2e-3  # a relative spread below this is no slope


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
        _draw(axis, metric, alphas, curves)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel(f"alpha: 0 = {ends[0]}, 1 = {ends[1]}", fontsize=9, color=INK)
    write_figure(path, figure)


def _draw(axis: Axes, metric: str, alphas: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
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
