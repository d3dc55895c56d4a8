"""Runs as a page: one HTML file with the table, to be sorted, and the curves over each other."""

from __future__ import annotations

import base64
import json
import math
import os
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from srtoolbox import __version__
from srtoolbox.apps.comparison.runs import ComparedRun, all_scores, direction
from srtoolbox.apps.comparison.table import Differences, cut, short_keys
from srtoolbox.apps.html import BEST, closed_policy, named, page_head, readable, table
from srtoolbox.apps.report.page import asset, best_of
from srtoolbox.apps.report.page import shown as shown_score
from srtoolbox.engine.hooks.logger import clock
from srtoolbox.engine.job.run_config import shown
from srtoolbox.io.files import write_text
from srtoolbox.plots.curves import plot_runs

_PAGE = Path(__file__).parent / "assets" / "compare.html"


def write_page(
    path: str | os.PathLike[str], runs: Sequence[ComparedRun], changed: Differences, score: str | None
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        runs: in the order of the table.
        changed: what differs in their configs, in the same order.
        score: by which they are ordered.
    """
    script = asset("sort.js") + 'document.querySelectorAll("table.sortable").forEach(makeSortable);\n'
    text = Template(_PAGE.read_text(encoding="utf-8")).substitute(
        head=page_head("Runs compared", Template(asset("page.css")).substitute(gradient="none"), closed_policy(script)),
        order=named(f"by {score}, the best first") if score else "no run has been scored",
        version=escape(__version__),
        runs=_table(runs, changed),
        faults=_faults(runs),
        curves=_curves(runs),
        script=script,
    )
    write_text(path, readable(text))


def _table(runs: Sequence[ComparedRun], changed: Differences) -> str:
    scores = all_scores(runs)
    names = [*short_keys(changed).values()]
    kinds = [(f"{score} {kind}", "") for score in scores for kind in ("best", "last")]
    heads = [("Run", ""), ("state", ""), *zip(names, changed, strict=True), *kinds, ("iterations", ""), ("time", "")]
    head = "".join(
        f'<th scope="col" title="{escape(title)}"><button type="button" data-column="{number}">{named(name)}'
        "</button></th>"
        for number, (name, title) in enumerate(heads)
    )
    bests = {score: _best_of(runs, score) for score in scores}
    states, *orders = [_orders(values) for values in ([run.state for run in runs], *changed.values())]
    rows = []
    for number, run in enumerate(runs):
        cells = [f'<th scope="row" data-value="{escape(run.name)}">{named(run.name)}</th>']
        cells.append(f'<td data-value="{states[number]}">{named(run.state)}</td>')
        for values, order in zip(changed.values(), orders, strict=True):
            text = cut(values[number]) if run.config else "?"
            title = escape(shown(values[number]))
            cells.append(_cell(f'<span title="{title}">{named(text)}</span>', order[number]))
        for score in scores:
            best, place = run.best(score, direction(runs, score))
            mark = BEST if str(number) in bests[score] else ""
            cells.append(_cell("–" if place is None else f"{shown_score(best)} at {place:,}{mark}", best, bool(mark)))
            last = run.last(score)
            cells.append(_cell(shown_score(last) if score in run.scores else "–", last))
        cells += [_cell(f"{run.iteration:,}", run.iteration), _cell(clock(run.seconds), run.seconds)]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return table(f"<tr>{head}</tr>", rows, "Runs", kind="sortable")


def _best_of(runs: Sequence[ComparedRun], score: str) -> set[str]:
    """Return the places of the best runs, as text."""
    higher = direction(runs, score)
    return best_of({str(number): run.best(score, higher)[0] for number, run in enumerate(runs)}, higher)


def _cell(text: str, value: float, is_best: bool = False) -> str:
    """Return a cell; `value` sorts it, as JavaScript reads a number."""
    return f'<td class="number{" best" if is_best else ""}" data-value="{json.dumps(float(value))}">{text}</td>'


def _orders(values: Sequence[object]) -> list[float]:
    """Return what sorts the values of a column, nan where none is set: numbers themselves, else places."""
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in given):
        return [float(value) if isinstance(value, int | float) else math.nan for value in values]
    texts = sorted({shown(value) for value in given})
    return [math.nan if value is None else float(texts.index(shown(value))) for value in values]


def _faults(runs: Sequence[ComparedRun]) -> str:
    items = "".join(f"<li>{named(run.name)}: {escape(run.fault)}</li>" for run in runs if run.fault)
    return f"<h2>What cannot be read</h2><ul>{items}</ul>" if items else ""


def _curves(runs: Sequence[ComparedRun]) -> str:
    """Return the curves of all runs that can be read, as an image in the page."""
    drawn = [run.work_dir for run in runs if run.scores or not run.fault]
    if not drawn:
        return "<p>There is nothing to draw.</p>"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "curves.svg"
        keys = plot_runs(drawn, file)
        data = base64.b64encode(file.read_bytes()).decode("ascii")
    text = escape(f"Curves over iterations: {', '.join(keys)}")
    return f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{text}" style="max-width: 100%"></figure>'
