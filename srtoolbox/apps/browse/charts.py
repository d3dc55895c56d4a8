"""Histograms as SVG inside a page, in its colours: one set of numbers, or two over each other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from srtoolbox.apps.browse.steps import shown

WIDTH, HEIGHT, FOOT = 300, 96, 16  # px
BINS = 30
_FEW = 12  # different whole numbers up to which each has a bar of its own


def histogram(values: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray = (), *, label: str) -> str:
    """Return shares of numbers as bars and, of others, as a line above them.

    Args:
        values: at least one; NaN and infinity are left out.
        others: of another set.
        label: what a screen reader says.
    """
    first, second = (np.asarray(each, float) for each in (values, others))
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    both = np.concatenate([first, second])
    edges = bin_edges(both)
    shares = [np.histogram(each.clip(edges[0], edges[-1]), edges)[0] / max(len(each), 1) for each in (first, second)]
    peak = max(float(each.max()) for each in shares) or 1.0
    step = WIDTH / (len(edges) - 1)
    bars = "".join(
        f'<rect x="{number * step + 0.5:.1f}" y="{HEIGHT * (1 - share / peak):.1f}" '
        f'width="{step - 1:.1f}" height="{HEIGHT * share / peak:.1f}"/>'
        for number, share in enumerate(shares[0])
        if share
    )
    line = _outline(shares[1] / peak, step) if len(second) else ""
    low, high = (shown(float(edge)) for edge in _ends(both, edges))
    median = _median(first, second)
    middle = f'<text x="{WIDTH / 2}" y="{HEIGHT + 13}" text-anchor="middle">{median}</text>'
    return (
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" role="img" '
        f'aria-label="{escape(label)}: {low} to {high}, {median}">'
        f'<g class="bars">{bars}</g>{line}<line x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>'
        f'<text x="0" y="{HEIGHT + 13}">{low}</text>{middle}'
        f'<text x="{WIDTH}" y="{HEIGHT + 13}" text-anchor="end">{high}</text></svg>'
    )


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of the bars: one each for few whole numbers, else between the quantiles 0.5 and 99.5 %."""
    distinct = np.unique(values)
    if len(distinct) <= _FEW and (distinct == np.rint(distinct)).all() and np.ptp(distinct) <= 2 * _FEW:
        return np.arange(distinct[0] - 0.5, distinct[-1] + 1)
    low, high = np.quantile(values, (0.005, 0.995))
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    return np.linspace(low, high, BINS + 1)


def _ends(values: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
    """Return what the axis says at its ends: whole numbers themselves, which stand in the middle of bars."""
    is_whole = len(edges) < 2 or bool((edges - np.floor(edges) == 0.5).all())
    return (float(values.min()), float(values.max())) if is_whole else (float(edges[0]), float(edges[-1]))


def _median(first: np.ndarray, second: np.ndarray) -> str:
    texts = [shown(float(np.median(each))) for each in (first, second) if len(each)]
    return f"median {texts[0]}" + (f" / yours {texts[1]}" if len(texts) > 1 else "")


def _outline(heights: np.ndarray, step: float) -> str:
    """Return a line along the tops of bars."""
    points = []
    for number, height in enumerate(heights):
        y = f"{HEIGHT * (1 - height):.1f}"
        points += [f"{number * step:.1f},{y}", f"{(number + 1) * step:.1f},{y}"]
    return f'<polyline class="others" points="{" ".join(points)}"/>'
