"""Scores as tables on the console and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from srtoolbox.engine.evaluate import Scores

    Results = dict[str, dict[str, dict[str, Scores]]]  # network -> set -> picture


def as_json(results: Results) -> dict[str, dict[str, Any]]:
    """`{network: {set: {"psnr": mean, ..., "images": {...}}}}`."""
    return {name: {set_name: with_means(images) for set_name, images in sets.items()} for name, sets in results.items()}


def with_means(images: dict[str, Scores]) -> dict[str, Any]:
    """`{"psnr": mean, ..., "images": {name: {...}}}`."""
    from srtoolbox.engine.evaluate import means

    return {**means(images), "images": images}


def print_tables(results: Results) -> None:
    """A table per set: a row per network, or where that is too wide a row per score."""
    from rich.console import Console
    from rich.measure import Measurement

    from srtoolbox.engine.evaluate import means
    from srtoolbox.logger import CONSOLE

    for set_name in next(iter(results.values())):
        rows = {name: means(sets[set_name]) for name, sets in results.items()}
        count = len(next(iter(results.values()))[set_name])
        title = f"{set_name} ({count} picture{'' if count == 1 else 's'})"
        tables = [table_of(title, rows, across=across) for across in (False, True)]
        widths = [Measurement.get(CONSOLE, CONSOLE.options.update(max_width=10_000), table).maximum for table in tables]
        fitting = [number for number in (0, 1) if widths[number] <= CONSOLE.width]
        best = fitting[0] if fitting else widths.index(min(widths))
        if CONSOLE.is_terminal:  # which folds what is too wide; in a file there is room for all
            CONSOLE.print(tables[best])
        else:
            Console(file=CONSOLE.file, width=max(CONSOLE.width, widths[best])).print(tables[best])


def table_of(title: str, rows: dict[str, Scores], *, across: bool) -> Table:
    """Networks down and scores across the page, or with `across` the other way round."""
    from rich.table import Table

    table = Table(title=title)
    scores = {"s/picture" if key == "seconds" else key: key for key in next(iter(rows.values()))}
    table.add_column("" if across else "network", overflow="fold")  # two names may differ at the end only
    for name in rows if across else scores:
        table.add_column(name, justify="right", overflow="fold")
    if across:
        for title, key in scores.items():
            table.add_row(title, *(f"{row[key]:.4f}" for row in rows.values()))
    else:
        for name, row in rows.items():
            table.add_row(name, *(f"{value:.4f}" for value in row.values()))
    return table
