"""Perception-distortion planes of networks' scores: which metrics are their axes."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence

from srtoolbox.apps.report.contents import MetricFacts
from srtoolbox.engine.evaluate import Scores
from srtoolbox.errors import DataError
from srtoolbox.io.files import read_json
from srtoolbox.plots.plane import Measure, Plane, plot_planes, routes_of
from srtoolbox.plots.run_log import REPORT_KIND, read_scores
from srtoolbox.registry import METRICS
from srtoolbox.text import did_you_mean

DISTORTION = ("PSNR", "MSE", "MAE", "SSIM")
"""Classes of metrics that are the x axis, the first choice first."""


def planes_of(
    set_name: str,
    rows: Mapping[str, Scores],
    facts: Mapping[str, MetricFacts],
    x: str | None = None,
    y: Collection[str] = (),
) -> list[Plane]:
    """Return the planes of one set: a distortion against each metric of how natural images look.

    Args:
        set_name: their title.
        rows: the means over the set, by network.
        facts: of the metrics by name.
        x: the metric across; None: the first of DISTORTION that was measured.
        y: the metrics up; none: all perceptual ones that were measured.

    Returns:
        Those with two points or more.
    """
    measured = [name for name in facts if any(name in row for row in rows.values())]
    usable = {name: facts[name] for name in measured if facts[name].higher_is_better is not None}
    distortions = [name for kind in DISTORTION for name in usable if usable[name].kind == kind]
    across = x or next(iter(distortions), None)
    planes = []
    for up in y or [name for name in usable if usable[name].is_perceptual]:
        if across not in usable or up not in usable:
            continue
        points = {network: (row[across], row[up]) for network, row in rows.items() if across in row and up in row}
        if sum(all(map(math.isfinite, point)) for point in points.values()) > 1:
            axes = [Measure(name, bool(usable[name].higher_is_better)) for name in (across, up)]
            planes.append(Plane(set_name, axes[0], axes[1], points))
    return planes


def draw_planes(
    files: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    x: str | None = None,
    y: Collection[str] = (),
    sets: Collection[str] = (),
    higher: Collection[str] = (),
    lower: Collection[str] = (),
) -> list[str]:
    """Draw the planes of scores in files of `test --json`, or `scores.json` of reports.

    Args:
        files: whose networks are shown together.
        out: the PNG, PDF or SVG to write.
        x, y: names of metrics, see `planes_of`.
        sets: only these.
        higher, lower: metrics that are better so, where their name does not begin with that of a
            class of metrics ('psnr_y', 'niqe').

    Returns:
        Each plane's set and metrics, as 'set5: niqe over psnr'.

    Raises:
        DataError: files that are no such scores, unknown names, or nothing to draw.
    """
    scores = read_scores(files)
    names = list(dict.fromkeys(key for entry in scores.values() for row in entry.values() for key in row))
    known = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    for kind, asked, there in (("metric", [*([x] if x else []), *y, *higher, *lower], names), ("set", sets, known)):
        for name in asked:
            if name not in there:
                raise DataError(f"the scores have no {kind} {name!r}.{did_you_mean(name, there, else_list=True)}")
    facts = _facts_of(names, files, higher, lower)
    if vague := [name for name in [*([x] if x else []), *y] if facts[name].higher_is_better is None]:
        raise DataError(f"which direction of {vague[0]!r} is better is not known: say it by --higher or --lower")
    planes = []
    for set_name in sets or known:
        rows = {network: entry[set_name] for network, entry in scores.items() if set_name in entry}
        planes += planes_of(set_name, rows, facts, x, y)
    if not planes:
        raise DataError(
            f"no set has two networks with a distortion ({', '.join(DISTORTION)}) and a metric of how natural they "
            f"look, such as NIQE or LPIPS; choose by --x and --y among {', '.join(names) or 'no metrics'}"
        )
    plot_planes(out, planes, routes_of(scores))
    return [f"{plane.title}: {plane.y.name} over {plane.x.name}" for plane in planes]


def _facts_of(
    names: Sequence[str], files: Sequence[str | os.PathLike], higher: Collection[str], lower: Collection[str]
) -> dict[str, MetricFacts]:
    """Return what is known of metrics: from a report, or by the class that a name begins with."""
    reports = [content for content in map(read_json, files) if content.get("kind") == REPORT_KIND]
    stated = {name: facts for report in reports for name, facts in report["metrics"].items()}
    found = {}
    for name in names:
        kind = stated.get(name, {}).get("kind") or max(
            (each for each in METRICS if name.lower().startswith(each.lower())), key=len, default=""
        )
        entry = METRICS.get(kind) if kind in METRICS else None
        is_better = stated.get(name, {}).get("higher_is_better", getattr(entry, "higher_is_better", None))
        is_better = True if name in higher else False if name in lower else is_better
        is_perceptual = getattr(entry, "is_perceptual", False)
        found[name] = MetricFacts(kind, "", is_better, 0, y_channel=False, is_perceptual=is_perceptual)
    return found
