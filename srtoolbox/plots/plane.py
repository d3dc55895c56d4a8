"""The perception-distortion plane: how near to the truth networks come, and how natural they look.

Blau, Michaeli: "The perception-distortion tradeoff" (CVPR 2018, arXiv:1711.06077): beyond some
curve no network is better in both.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from srtoolbox.errors import DataError
from srtoolbox.plots.charts import COLOURS, INK, SOFT, check_suffix, new_panels, set_title, simplify, write_figure
from srtoolbox.plots.run_log import is_baseline

BASELINE = "#8a8a8a"
NUMBERED = re.compile(r"(.*?)(\d+(?:\.\d+)?)")
_REACHES = (7, 22, 40)  # points of type from a network's point to its name, the first choice first
_PLACES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Where a name may stand beside its point, the first choice first."""
_ALIGN = {-1: ("right", "top"), 0: ("center", "center"), 1: ("left", "bottom")}


class Measure(NamedTuple):
    """A metric as an axis."""

    name: str
    higher_is_better: bool


class Plane(NamedTuple):
    """One plane: a title, its axes, and (x, y) by the name of each network."""

    title: str
    x: Measure
    y: Measure
    points: Mapping[str, tuple[float, float]]


def routes_of(names: Iterable[str], folders: Mapping[str, str] | None = None) -> list[list[str]]:
    """Return the networks that are of one run, or between two: each in order, two or more.

    They have names that differ in a number at the end only ('iter_5000', 'alpha 0.2'), and are of
    one folder, where that is known.
    """
    groups: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for name in names:
        if match := NUMBERED.fullmatch(name):
            key = (match[1], (folders or {}).get(name, ""))
            groups.setdefault(key, []).append((float(match[2]), name))
    return [[name for _, name in sorted(group)] for group in groups.values() if len(group) > 1]


def plot_planes(path: str | os.PathLike, planes: Sequence[Plane], routes: Sequence[Sequence[str]] = ()) -> None:
    """Draw planes, better always to the right and up.

    Args:
        path: the PNG, PDF or SVG to write.
        planes: a panel for each; points that are not finite are left out.
        routes: names of networks to be connected, in order.

    Raises:
        DataError: another suffix, or nothing to draw.
    """
    check_suffix(path)
    if not any(_finite(plane) for plane in planes):
        raise DataError(f"{os.fspath(path)}: no plane has a point to draw")
    names = list(dict.fromkeys(name for plane in planes for name in plane.points))
    colours = _colours(names, routes)
    figure, axes = new_panels(len(planes), min(len(planes), 2), (5.6, 4.4), 0.0)
    for axis, plane in zip(axes, planes, strict=True):
        _draw(axis, plane, routes, colours)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what stands, stands: names are placed beside it
    for axis, plane in zip(axes, planes, strict=True):
        _write_names(figure, axis, plane)
    write_figure(path, figure)


def _finite(plane: Plane) -> dict[str, tuple[float, float]]:
    return {name: point for name, point in plane.points.items() if all(map(math.isfinite, point))}


def _colours(names: Sequence[str], routes: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return a colour for each network, the same along a route; bicubic is gray."""
    route_of = {name: number for number, route in enumerate(routes) for name in route}
    free = itertools.cycle(COLOURS)
    found: dict[object, str] = {}
    for name in names:
        key = route_of.get(name, name)
        if key not in found:
            found[key] = BASELINE if is_baseline(name) else next(free)
    return {name: found[route_of.get(name, name)] for name in names}


def _draw(axis: Axes, plane: Plane, routes: Sequence[Sequence[str]], colours: Mapping[str, str]) -> None:
    points = _finite(plane)
    for route in routes:
        stops = [points[name] for name in route if name in points]
        if len(stops) > 1:
            axis.plot(*zip(*stops, strict=True), color=colours[route[0]], linewidth=1.4, alpha=0.55, zorder=2)
    for name, (x, y) in points.items():
        axis.plot(x, y, "o", color=colours[name], markersize=7, markeredgecolor="white", zorder=3)
    axis.margins(0.18, 0.16)
    axis.ticklabel_format(useOffset=False)
    set_title(axis, plane.title)
    simplify(axis)
    for measure, write, invert in (
        (plane.x, axis.set_xlabel, axis.invert_xaxis),
        (plane.y, axis.set_ylabel, axis.invert_yaxis),
    ):
        if not measure.higher_is_better:
            invert()
        direction = "higher" if measure.higher_is_better else "lower"
        write(f"{measure.name}, {direction} is better  \N{RIGHTWARDS ARROW}", fontsize=9, color=INK)


def _write_names(figure: Figure, axis: Axes, plane: Plane) -> None:
    """Write the networks' names beside their points, where they hide least."""
    points = _finite(plane)
    renderer = FigureCanvasAgg(figure).get_renderer()
    frame = axis.get_window_extent(renderer)
    spots = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in axis.transData.transform(list(points.values()))]
    taken: list[Bbox] = []
    for name, point in points.items():
        choices: list[tuple[float, Bbox, Annotation]] = []
        for reach, place in itertools.product(_REACHES, _PLACES):
            label = _annotate(axis, name, point, place, reach)
            label.update_positions(renderer)
            box = Text.get_window_extent(label, renderer)  # without the line
            cost = sum(_overlap(box, other) for other in [*taken, *spots])
            cost += 4 * (box.width * box.height - _overlap(box, frame)) + reach
            choices.append((cost, box, label))
        best = min(choices, key=lambda choice: choice[0])
        taken.append(best[1])
        for _, _, label in choices:
            if label is not best[2]:
                label.remove()


def _annotate(axis: Axes, name: str, point: tuple[float, float], place: tuple[int, int], reach: float) -> Annotation:
    """Write a name at a place beside a point, with a line to it where that is farther away."""
    (horizontal, _), (_, vertical) = _ALIGN[place[0]], _ALIGN[place[1]]
    return axis.annotate(
        name,
        point,
        xytext=(reach * place[0], reach * place[1]),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=8.5,
        color=SOFT if is_baseline(name) else INK,
        arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.6} if reach > _REACHES[0] else None,
        zorder=4,
    )


def _overlap(first: Bbox, second: Bbox) -> float:
    """Return the area in square pixels that two boxes share."""
    shared = Bbox.intersection(first, second)
    return 0.0 if shared is None else shared.width * shared.height
