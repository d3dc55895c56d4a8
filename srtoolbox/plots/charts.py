"""What all charts share: formats, colours, and the way of a figure to its file, with no display involved."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

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
        raise DataError(f"{os.fspath(path)}: the suffix says the format, and is one of {', '.join(SUFFIXES)}")


def new_figure(width: float, height: float) -> Figure:
    """A white figure of (width, height) inches whose parts make room for each other."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """List what is drawn above the panels, in as many columns as fit; names too long are shortened in the middle."""
    names = [handle.get_label() for handle in handles]
    columns, length = min(len(names), 4), max(map(len, names))
    while True:
        labels = [_shortened(name, length) for name in names]
        legend = figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=10)
        width = legend.get_window_extent(figure.canvas.get_renderer()).width
        if width <= 0.98 * figure.bbox.width or (columns == 1 and length <= 12):
            return
        legend.remove()
        columns, length = (columns - 1, length) if columns > 1 else (1, int(length * 0.9))


def _shortened(name: str, length: int) -> str:
    """The name, or its beginning and end with an ellipsis between."""
    return name if len(name) <= length else f"{name[: (length - 1) // 2]}…{name[-(length // 2) :]}"


def plain(axis: Axes, *, grid: str = "both") -> None:
    """Small figures at the axes, a light grid ('both', 'x', 'y') below what is drawn, no frame at the top and right."""
    axis.tick_params(labelsize=9, colors=INK)
    axis.grid(axis=grid, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def write_figure(path: str | os.PathLike, figure: Figure) -> None:
    """Write a figure in the format its file's suffix says."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lower()[1:])
    files.write_bytes(path, buffer.getvalue())
