"""A panel of a chart of runs: curves, limits that no diverged run decides, and last values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from srtoolbox.plots.charts import COLOURS, INK, SOFT, simplify
from srtoolbox.plots.run_log import Curve

LabelledCurve = tuple[str, str, Curve]
"""(run, label within the run, curve)."""
BASELINE_STYLE = (0, (5, 3))
RATES = "lr"
"""Key of the panel of learning rates."""
_STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
_FEWEST = 6  # points of a rate by which a jump can be told from a slope
_SMOOTH_FROM = 60  # points: a shorter curve is shown as it is
# a run that ends this many times the others' spread away from them does not decide the limits
_FAR = 5.0
_LEAST_SPREAD = 0.1  # of the others' level: runs that agree to a hair make nobody an outlier
# of what they lack of 1: SSIM ends at 0, where PSNR goes on falling
_FAR_SSIM, _LEAST_SSIM_SPREAD = 3.0, 0.5
_DISCRIMINATOR = {"d_real": "D(GT), mean output (d_real)", "d_fake": "D(SR), mean output (d_fake)"}


def panel_title(key: str, is_score: bool) -> str:
    """Return the title of a panel: 'PSNR (y_direct) on set5', 'loss: pixel', 'learning rate'."""
    if is_score:
        dataset, slash, metric = key.rpartition("/")
        match = re.fullmatch(r"(.+?)_(y_direct|rgb|y)", metric)
        title = f"{match[1].upper()} ({match[2]})" if match else metric.upper()
        return f"{title} on {dataset}" if slash else title
    if key == RATES:
        return "learning rate"
    if key in _DISCRIMINATOR:
        return _DISCRIMINATOR[key]
    if re.fullmatch(r"grad_norm(_.+)?", key):
        network = key.removeprefix("grad_norm").removeprefix("_")
        return f"gradient norm: {network}" if network else "gradient norm"
    return f"loss: {key.removeprefix('loss/')}"


def is_signed(key: str) -> bool:
    """True for terms that go below zero, which a logarithmic axis cannot show."""
    return key in _DISCRIMINATOR


def draw_panel(
    axis: Axes,
    key: str,
    curves: Sequence[LabelledCurve],
    colours: Mapping[str, str],
    baseline: Mapping[str, float | None],
    *,
    is_score: bool = False,
    is_log: bool = False,
) -> None:
    """Draw the curves of one key.

    Args:
        key: a score, a loss term or 'lr'.
        curves: of one or several runs, of one or several labels (sets, networks).
        colours: of each run.
        baseline: a score to draw as a dashed line, by label.
        is_score: last values have four digits, as 31.42 dB.
        is_log: the axis is logarithmic, so that outliers flatten nothing.
    """
    labels = list(dict.fromkeys(label for _, label, _ in curves))
    several = len(labels) > 1
    by_label = dict(zip(labels, itertools.cycle(COLOURS))) if several and len(colours) == 1 else {}
    styles = dict(zip(labels, itertools.cycle(_STYLES[:1] if by_label else _STYLES)))
    for run, label, curve in curves:
        colour, style = by_label.get(label, colours[run]), styles[label]
        if key == RATES:
            _draw_rate(axis, curve, colour, style)
        else:
            _draw_curve(axis, curve, colour, style)
    dashed = {label: value for label, value in baseline.items() if value is not None}
    dashed = {label: value for label, value in dashed.items() if math.isfinite(value)}
    for label, value in dashed.items():
        colour = by_label.get(label, SOFT)
        axis.axhline(value, color=colour, linestyle=BASELINE_STYLE, linewidth=1.4)
    if not is_log:  # "30.1455" at its tick, not "0.0005" below "+3.0145e1"
        axis.ticklabel_format(axis="y", useOffset=False)
    if key == RATES and _are_far_apart([curve.values for _, _, curve in curves]):
        # a rate of 0 ends the line, which else falls off the panel
        axis.set_yscale("log", nonpositive="mask")
    simplify(axis)
    axis.margins(x=0.02)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    if several:
        looks = {label: (by_label.get(label, INK), styles[label]) for label in labels}
        handles = [
            Line2D([], [], color=colour, linestyle=style, label=label) for label, (colour, style) in looks.items()
        ]
        axis.legend(handles=handles, fontsize=8, framealpha=0.85, edgecolor="none")
    notes = []
    if key != RATES and not is_log:
        is_ssim = is_score and "ssim" in key.rpartition("/")[2].lower()
        notes = _leave_out_outliers(axis, curves, several, dashed.values(), is_ssim=is_ssim)
    axis.set_xlabel("\n".join(["iteration", *notes]), fontsize=9, color=INK)
    if not by_label and key != RATES:
        _write_last_values(axis, curves, colours, digits=4 if is_score else 3)


def _draw_curve(axis: Axes, curve: Curve, colour: str, style: str) -> None:
    values = np.where(np.isfinite(curve.values), curve.values, np.nan)
    if len(values) >= _SMOOTH_FROM:
        axis.plot(curve.iters, values, color=colour, linewidth=0.8, alpha=0.3)
        values = _smooth(values)
    marker = "o" if len(values) < 12 else None
    axis.plot(curve.iters, values, style, color=colour, linewidth=1.8, marker=marker, markersize=4)


def _draw_rate(axis: Axes, curve: Curve, colour: str, style: str) -> None:
    """Draw a learning rate with jumps upright.

    One that swings faster than the log samples it is drawn as points: a zigzag through them would
    show a schedule that nobody set.
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


def _are_far_apart(rates: Sequence[np.ndarray]) -> bool:
    """True if one curve's highest rate would press another one onto the axis."""
    highest = [values.max() for values in rates if len(values) and values.max() > 0]
    return bool(highest) and max(highest) > 20 * min(highest)


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
    axis: Axes,
    curves: Sequence[LabelledCurve],
    several: bool,
    dashed: Collection[float],
    *,
    is_ssim: bool,
) -> list[str]:
    """Set the limits by the runs that did not diverge and the dashed lines.

    Returns:
        A note on each run that lies beyond them.
    """
    notes = []
    finite = [curve.values[np.isfinite(curve.values)] for _, _, curve in curves]
    outliers = _outliers(finite, is_ssim=is_ssim)
    for number, (run, label, curve) in enumerate(curves):
        name = f"{run}, {label}" if several else run
        if number in outliers:
            notes.append(f"{name} lies beyond: {finite[number][-1]:.3g}")
        if len(curve.values) and not np.isfinite(curve.values[-1]):
            notes.append(f"{name}: not finite at its end")
    if outliers:
        inside = [values for number, values in enumerate(finite) if number not in outliers]
        values = np.concatenate([*inside, [*dashed]])
        low, high = values.min(), values.max()
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


def _write_last_values(axis: Axes, curves: Sequence[LabelledCurve], colours: Mapping[str, str], *, digits: int) -> None:
    """Write the last value of each run right of the panel, in its colour and near its line."""
    last = [(curve.values[-1], colours[run]) for run, _, curve in curves]
    last.sort(key=lambda pair: -pair[0] if math.isfinite(pair[0]) else math.inf)
    gap = min(0.085, 1 / len(last))
    places = _spread_out([_height(axis, value) for value, _ in last], gap)
    for (value, colour), place in zip(last, places, strict=True):
        axis.annotate(
            _rounded(value, digits),
            (1, place),
            xytext=(5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=9 if gap > 0.06 else 7,
            color=colour,
        )


def _rounded(value: float, digits: int) -> str:
    """Return `29.00` and not `29` beside `29.04`, for figures of one length compare at a glance."""
    return f"{value:#.{digits}g}".rstrip(".")


def _height(axis: Axes, value: float) -> float:
    """Return the height of a value in a panel, from 0 at its bottom to 1; 0 where it cannot be shown."""
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
