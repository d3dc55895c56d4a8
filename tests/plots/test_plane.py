"""The perception-distortion plane: its directions, who is connected with whom, and names that can be read."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from srtoolbox.errors import DataError
from srtoolbox.image import read_image
from srtoolbox.plots import plane
from srtoolbox.plots.plane import BASELINE, Measure, Plane, plot_planes, routes_of

PSNR, NIQE = Measure("psnr", True), Measure("niqe", False)
POINTS = {
    "Bicubic": (26.0, 8.0),
    "iter_1000": (28.0, 6.3),
    "iter_2000": (28.4, 6.25),
    "iter_10000": (28.5, 6.24),
    "another network of a long name": (28.5, 6.24),
    "exact": (math.inf, 3.0),
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written."""
    written: list[Figure] = []
    monkeypatch.setattr(plane, "write_figure", lambda path, figure: written.append(figure))
    return written


def test_networks_of_one_run_are_connected_in_order() -> None:
    assert routes_of(POINTS) == [["iter_1000", "iter_2000", "iter_10000"]]
    alphas = ["alpha 1", "alpha 0.25", "best", "alpha 0"]
    assert routes_of(alphas) == [["alpha 0", "alpha 0.25", "alpha 1"]]
    assert routes_of(["iter_1", "iter_2"], {"iter_1": "a/checkpoints", "iter_2": "b/checkpoints"}) == []


def test_better_is_to_the_right_and_up(figures: list[Figure]) -> None:
    plot_planes("plane.png", [Plane("set5", PSNR, NIQE, POINTS), Plane("set5", NIQE, PSNR, {})], routes_of(POINTS))
    first, second = figures[0].axes
    assert not first.xaxis_inverted() and first.yaxis_inverted()
    assert second.xaxis_inverted() and not second.yaxis_inverted()
    assert (first.get_xlabel(), first.get_ylabel()) == ("psnr, higher is better  →", "niqe, lower is better  →")
    route, *points = first.get_lines()
    assert list(route.get_xdata()) == [28.0, 28.4, 28.5]
    assert [tuple(map(float, (p.get_xdata()[0], p.get_ydata()[0]))) for p in points] == list(POINTS.values())[:5]
    assert points[0].get_color() == BASELINE
    assert route.get_color() == points[1].get_color() == points[3].get_color() != points[4].get_color()


def test_names_of_crowded_points_do_not_hide_each_other(figures: list[Figure]) -> None:
    plot_planes("plane.png", [Plane("set5", PSNR, NIQE, POINTS)])
    (axis,) = figures[0].axes
    figures[0].draw_without_rendering()  # as when it is written
    frame, names = axis.get_window_extent(), {text.get_text(): Text.get_window_extent(text) for text in axis.texts}
    assert list(names) == [name for name in POINTS if name != "exact"]
    assert not any(first.overlaps(second) for first, second in itertools.combinations(names.values(), 2))
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in names.values())


def test_files_and_what_cannot_be_drawn(tmp_path: Path) -> None:
    plot_planes(tmp_path / "plane.png", [Plane("set5", PSNR, NIQE, POINTS)])
    assert read_image(tmp_path / "plane.png").shape[2] == 3
    with pytest.raises(DataError, match=r"none\.png: no plane has a point to draw"):
        plot_planes(tmp_path / "none.png", [Plane("set5", PSNR, NIQE, {"exact": (math.inf, 1.0)})])
    with pytest.raises(DataError, match=r"plane\.gif"):
        plot_planes(tmp_path / "plane.gif", [Plane("set5", PSNR, NIQE, POINTS)])
