"""Scores as tables on the console and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from srtoolbox.engine.evaluate import Scores, means
from srtoolbox.logger import CONSOLE
from srtoolbox.text import counted

Results = dict[str, dict[str, dict[str, Scores]]]  # network -> set -> image


def as_json(results: Results) -> dict[str, dict[str, Any]]:
    """Return `{network: {set: {"psnr": mean, ..., "images": {...}}}}`."""
    return {network: {name: with_means(images) for name, images in sets.items()} for network, sets in results.items()}


def with_means(images: dict[str, Scores]) -> dict[str, Any]:
    """Return `{"psnr": mean, ..., "images": {name: {...}}}`."""
    return {**means(images), "images": images}


def print_tables(
    results: Results,
    higher_is_better: Mapping[str, bool | None],
    *,
    ranked: bool = True,
    console: Console | None = None,
) -> None:
    """Print a table per set: a row per network, or per score where that is too wide.

    Args:
        results: scores by network, set and image.
        higher_is_better: of each metric; None where neither direction is better.
        ranked: the best by the first metric comes first; else networks keep their order.
        console: where they go; None is the terminal.
    """
    console = console or CONSOLE
    for set_name in next(iter(results.values())):
        rows = {name: means(sets[set_name]) for name, sets in results.items()}
        if ranked:
            rows = best_first(rows, higher_is_better)
        count = len(next(iter(results.values()))[set_name])
        title = f"{set_name} ({counted(count, 'image')})"
        tables = [table_of(title, rows, higher_is_better, across=each) for each in (False, True)]
        options = console.options.update(max_width=10_000)
        widths = [Measurement.get(console, options, table).maximum for table in tables]
        fitting = [number for number in (0, 1) if widths[number] <= console.width]
        best = fitting[0] if fitting else widths.index(min(widths))
        if console.is_terminal:  # which folds what is too wide; in a file there is room for all
            console.print(tables[best])
        else:
            Console(file=console.file, width=max(console.width, widths[best])).print(tables[best])


def best_first(rows: Mapping[str, Scores], higher_is_better: Mapping[str, bool | None]) -> dict[str, Scores]:
    """Return the rows, best first, by the first metric with a direction; ties keep their order."""
    columns = next(iter(rows.values()))
    key = next((name for name in columns if higher_is_better.get(name) is not None), None)
    if key is None:
        return dict(rows)
    sign = -1 if higher_is_better[key] else 1

    def rank(name: str) -> tuple[bool, float]:
        value = rows[name][key]
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value

    return {name: rows[name] for name in sorted(rows, key=rank)}


def table_of(
    title: str, rows: Mapping[str, Scores], higher_is_better: Mapping[str, bool | None], *, across: bool
) -> Table:
    """Return a table, networks down and scores across, or with `across` the other way round."""
    table = Table(title=escape(title), caption="* the best" if len(rows) > 1 else None)
    scores = {"s/image" if key == "seconds" else key: key for key in next(iter(rows.values()))}
    cells = {
        key: marked({name: row[key] for name, row in rows.items()}, higher_is_better.get(key))
        for key in scores.values()
    }
    # two names may differ at the end only
    table.add_column("" if across else "network", overflow="fold")
    for name in rows if across else scores:
        table.add_column(escape(name), justify="right", overflow="fold")
    if across:
        for title, key in scores.items():
            table.add_row(escape(title), *cells[key].values())
    else:
        for name in rows:
            table.add_row(escape(name), *(cells[key][name] for key in scores.values()))
    return table


def marked(values: Mapping[str, float], higher_is_better: bool | None) -> dict[str, str]:
    """Format the values of one metric, with a star behind the best where several compete."""
    texts = {name: f"{value:.4f}" for name, value in values.items()}
    numbers = [value for value in values.values() if not math.isnan(value)]
    if higher_is_better is None or len(values) < 2 or not numbers:
        return texts
    best = f"{(max if higher_is_better else min)(numbers):.4f}"
    return {name: text + ("*" if text == best else " ") for name, text in texts.items()}
