"""Runs beside each other: what differs in their configs, their scores, how each of them ended."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console

from srtoolbox.apps.comparison.page import write_page
from srtoolbox.apps.comparison.runs import (
    ComparedRun,
    choose_score,
    differences,
    direction,
    find_runs,
    read_all,
    sort_runs,
)
from srtoolbox.apps.comparison.table import as_csv, print_table
from srtoolbox.io.files import write_text
from srtoolbox.logger import CONSOLE

__all__ = ["ComparedRun", "compare_runs"]


def compare_runs(
    runs: Sequence[str | os.PathLike[str]],
    *,
    by: str | None = None,
    csv: str | os.PathLike[str] | None = None,
    page: str | os.PathLike[str] | None = None,
    console: Console = CONSOLE,
) -> list[ComparedRun]:
    """Print a table of runs, and return them, the best first.

    Args:
        runs: work dirs, and folders that hold some.
        by: the score that decides, such as 'set5/psnr'; None: the first that is logged.
        csv: a file for all scores.
        page: an HTML file for all scores and the curves.
        console: where the table goes.

    Raises:
        DataError: a folder without runs.
        OptionError: a score that none of the runs has.
    """
    found = read_all(find_runs(runs))
    score = choose_score(found, by)
    ordered = sort_runs(found, score)
    changed = differences(ordered)
    print_table(ordered, changed, score, console)
    if score and direction(found, score) is None:
        text = f"{score}: which direction is better nobody knows (--plugin FILE for a metric of yours): not sorted"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if csv:
        write_text(csv, as_csv(ordered, changed))
    if page:
        write_page(page, ordered, changed, score)
        console.print(f"open {os.fspath(page)}", markup=False, highlight=False, soft_wrap=True)
    return ordered
