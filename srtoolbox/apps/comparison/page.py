"""Runs as a page: one HTML file with the table, to be sorted, and the curves over each other."""

from __future__ import annotations

import base64
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from srtoolbox import __version__
from srtoolbox.apps.comparison.runs import ComparedRun, all_scores, direction
from srtoolbox.apps.comparison.table import Differences, cells_of, short_keys
from srtoolbox.apps.html import BEST, closed_policy, named, page_head, readable, table
from srtoolbox.apps.report.page import asset, best_of
from srtoolbox.apps.report.page import shown as shown_score
from srtoolbox.engine.hooks.logger import clock
from srtoolbox.engine.job.run_config import shown
from srtoolbox.io.files import write_text
from srtoolbox.plots.curves import plot_runs

_PAGE = Path(__file__).parent / "assets" / "compare.html"
_STYLE = """
.sortable tr > :first-child {
  position: sticky; left: 0; z-index: 1; max-width: min(20rem, 35vw); background: var(--paper);
}
.sortable .state { min-width: 9rem; }
figure.wide img { width: auto; max-width: max(100%, 48rem); }
"""


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
    style = Template(asset("page.css")).substitute(gradient="none") + _STYLE
    text = Template(_PAGE.read_text(encoding="utf-8")).substitute(
        head=page_head("Runs compared", style, closed_policy(script)),
        order=_order(runs, score),
        version=escape(__version__),
        runs=_table(runs, changed, score),
        faults=_faults(runs),
        curves=_curves(runs),
        script=script,
    )
    write_text(path, readable(text))


def _order(runs: Sequence[ComparedRun], score: str | None) -> str:
    """Return how the runs are ordered, in words."""
    if score is None:
        return "The runs stand as they were given: none has been scored"
    if direction(runs, score) is None:
        return f"The runs stand as they were given: of {named(score)} nobody knows which direction is better"
    return f"Sorted by {named(score)}, the best first"


def _table(runs: Sequence[ComparedRun], changed: Differences, score: str | None) -> str:
    """Return the table: the score that decides, how each run ended, what differs, and the rest."""
    columns = [*_score_columns(runs, score)] if score else []
    ends = zip(runs, _orders([run.state for run in runs]), strict=True)
    states = [f'<td class="state" data-value="{place}">{named(run.state)}</td>' for run, place in ends]
    columns.append(_Column("state", states))
    names = short_keys(changed)
    columns += [_key_column(runs, names[key], key, values) for key, values in changed.items()]
    for other in all_scores(runs):
        columns += _score_columns(runs, other) if other != score else []
    columns.append(_Column("iterations", [_cell(f"{run.iteration:,}", run.iteration) for run in runs]))
    columns.append(_Column("time", [_cell(clock(run.seconds), run.seconds) for run in runs]))
    head = "".join(
        f'<th scope="col" title="{escape(column.title)}"><button type="button" data-column="{number}">'
        f"{named(column.name)}</button></th>"
        for number, column in enumerate([_Column("Run", []), *columns])
    )
    rows = []
    for number, run in enumerate(runs):
        name = f'<th scope="row" data-value="{escape(run.name)}">{named(run.name)}</th>'
        rows.append(f"<tr>{name}{''.join(column.cells[number] for column in columns)}</tr>")
    return table(f"<tr>{head}</tr>", rows, "Runs", kind="sortable")


class _Column(NamedTuple):
    """A column: what its head says, a cell for each run, and what the head says where one points at it."""

    name: str
    cells: list[str]
    title: str = ""


def _key_column(runs: Sequence[ComparedRun], name: str, key: str, values: Sequence[object]) -> _Column:
    """Return the values of a key of the configs, whole where one points at them."""
    cells = []
    for run, value, text, order in zip(runs, values, cells_of(values), _orders(values), strict=True):
        shown_text = named(text if run.config else "?")
        cells.append(_cell(f'<span title="{escape(shown(value))}">{shown_text}</span>', order))
    return _Column(name, cells, key)


def _score_columns(runs: Sequence[ComparedRun], score: str) -> Iterator[_Column]:
    """Yield the best values of a score with their iterations, and the last ones."""
    marks, higher = _best_of(runs, score), direction(runs, score)
    bests, lasts = [], []
    for number, run in enumerate(runs):
        best, place = run.best(score, higher)
        mark = BEST if str(number) in marks else ""
        bests.append(_cell("–" if place is None else f"{shown_score(best)} at {place:,}{mark}", best, bool(mark)))
        last = run.last(score)
        lasts.append(_cell(shown_score(last) if score in run.scores else "–", last))
    yield _Column(f"{score} best", bests)
    yield _Column(f"{score} last", lasts)


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
    return f'<figure class="wide"><img src="data:image/svg+xml;base64,{data}" alt="{text}"></figure>'
