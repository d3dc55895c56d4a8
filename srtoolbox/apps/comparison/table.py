"""Runs as a table on the console and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import takewhile

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from srtoolbox.apps.comparison.runs import ComparedRun, all_scores, direction
from srtoolbox.apps.scoring.tables import marked
from srtoolbox.engine.hooks.logger import clock
from srtoolbox.engine.job.run_config import shown

Differences = Mapping[str, Sequence[object]]
_WIDTH = 40  # characters of a value
_BEFORE = 12  # of them alike, before those that differ


def cells_of(values: Sequence[object]) -> list[str]:
    """Return the values of a key for cells, '-' where it is not set; long ones as of where they begin to differ."""
    full = ["-" if value is None else text_of(value) for value in values]
    texts = list(dict.fromkeys(text for text in full if text != "-"))
    is_long = len(texts) > 1 and max(map(len, texts)) > _WIDTH
    alike = sum(1 for _ in takewhile(lambda signs: len(set(signs)) == 1, zip(*texts, strict=False)))
    start = max(0, alike - _BEFORE) if is_long else 0
    return [text if text == "-" else _cut(text, start) for text in full]


def text_of(value: object) -> str:
    """Return a value of a config as text, strings without quotes."""
    return value if isinstance(value, str) else shown(value)


def _cut(text: str, start: int) -> str:
    rest = f"...{text[start:]}" if start else text
    return rest if len(rest) <= _WIDTH else f"{rest[: _WIDTH - 3]}..."


def short_keys(changed: Differences) -> dict[str, str]:
    """Return the keys with their last parts alone, as many as make them differ."""
    parts = {key: key.split(".") for key in changed}
    for depth in range(1, max(map(len, parts.values()), default=1) + 1):
        names = {key: ".".join(each[-depth:]) for key, each in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {key: key for key in changed}


def best_texts(runs: Sequence[ComparedRun], score: str) -> list[str]:
    """Return the best values with a star behind the best of them and their iterations."""
    higher = direction(runs, score)
    bests = [run.best(score, higher) for run in runs]
    texts = marked({str(number): value for number, (value, _) in enumerate(bests)}, higher).values()
    places = [place for _, place in bests]
    return ["-" if place is None else f"{text} at {place:,}" for text, place in zip(texts, places, strict=True)]


def last_text(run: ComparedRun, score: str) -> str:
    """Return the last value of a score, '-' without one."""
    return f"{run.last(score):.4f}" if score in run.scores else "-"


def print_table(runs: Sequence[ComparedRun], changed: Differences, score: str | None, console: Console) -> None:
    """Print a row for each run, and below it what of a run cannot be read.

    Args:
        runs: in their order.
        changed: of their configs, in the same order.
        score: the one that is shown; None where there is none.
    """
    cells = [cells_of(values) for values in changed.values()]
    values = [[each[number] if run.config else "?" for each in cells] for number, run in enumerate(runs)]
    names = list(short_keys(changed).values())
    table = _table_of(runs, names, values, score)
    if not console.is_terminal:
        Console(file=console.file, width=10_000).print(table)
    elif Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
        console.print(table)
    else:  # which would fold all of it into pieces of words
        console.print(_table_of(runs, [], [[] for _ in runs], score))
        for run, each in zip(runs, values, strict=True):
            differing = ", ".join(f"{name}={value}" for name, value in zip(names, each, strict=True) if value != "-")
            console.print(f"{run.name}: {differing}", markup=False, highlight=False)
    for run in runs:
        if run.fault:
            console.print(f"{run.name}: {run.fault}", markup=False, highlight=False, soft_wrap=True)


def _table_of(
    runs: Sequence[ComparedRun], names: Sequence[str], values: Sequence[Sequence[str]], score: str | None
) -> Table:
    """Return a table of runs with these columns between their names and scores, and a row of values for each run."""
    title = escape(f"runs by {score}" if score else "runs")
    table = Table(title=title, caption="* the best" if len(runs) > 1 else None)
    for name in ("run", *names, "best", "last", "iterations", "time", "state"):
        table.add_column(escape(name), justify="left" if name in ("run", "state") else "right", overflow="fold")
    bests = best_texts(runs, score) if score else ["-"] * len(runs)
    for run, each, best in zip(runs, values, bests, strict=True):
        last = last_text(run, score) if score else "-"
        cells = (run.name, *each, best, last, f"{run.iteration:,}", clock(run.seconds), run.state)
        table.add_row(*map(escape, cells))
    return table


def as_csv(runs: Sequence[ComparedRun], changed: Differences) -> str:
    """Return all scores in full precision, a row per run."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    scores = all_scores(runs)
    heads = [name for score in scores for name in (f"{score} best", f"{score} best at", f"{score} last")]
    writer.writerow(["run", "state", "iterations", "planned", "seconds", *changed, *heads, "fault"])
    for number, run in enumerate(runs):
        line: list[object] = [run.name, run.state, run.iteration, run.max_iters, run.seconds]
        line += ["" if each[number] is None else text_of(each[number]) for each in changed.values()]
        for score in scores:
            best, place = run.best(score, direction(runs, score))
            line += ["" if place is None else best, place, "" if score not in run.scores else run.last(score)]
        writer.writerow([*line, run.fault])
    return file.getvalue()
