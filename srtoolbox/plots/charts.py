"""Figures of charts: formats, colours, legends and files, with no display involved."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from srtoolbox.errors import DataError
from srtoolbox.io import files

SUFFIXES = (".png", ".pdf", ".svg")
COLOURS = ("#1f6fb4", "#d1495b", "#2a9d6f", "#e08e0b", "#7d4fa3", "#3aa6b9", "#8c5a3c", "#d15fa8")
INK, SOFT, GRID = "#222222", "#555555", "#dddddd"


def check_suffix(path: str | os.PathLike) -> None:
    """Raise a DataError for a file of another suffix than a chart's."""
    if Path(path).suffix.lower() not in SUFFIXES:
        name, listing = os.fspath(path), ", ".join(SUFFIXES)
        raise DataError(f"{name}: the suffix says the format, and is one of {listing}")


def new_figure(width: float, height: float) -> Figure:
    """Return a white figure of (width, height) inches whose parts make room for each other."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_panels(count: int, columns: int, size: tuple[float, float], header: float) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, each of (width, height) inches, below a header."""
    rows = math.ceil(count / columns)
    figure = new_figure(size[0] * columns, size[1] * rows + header)
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
        labels = [_shortened(name, length) for name in names]
        options = {"ncols": columns, "frameon": False, "fontsize": 10}
        legend = figure.legend(handles, labels, loc="outside upper left", **options)
        width = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width
        if width <= 0.98 * figure.bbox.width or (columns == 1 and length <= 12):
            return
        legend.remove()
        columns, length = (columns - 1, length) if columns > 1 else (1, int(length * 0.9))


def _shortened(name: str, length: int) -> str:
    """Return the name, or its beginning and end with an ellipsis between."""
    return name if len(name) <= length else f"{name[: (length - 1) // 2]}…{name[-(length // 2) :]}"


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
