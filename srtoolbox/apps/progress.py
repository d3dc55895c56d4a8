"""A progress bar for terminals and notebooks; elsewhere none."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from srtoolbox.logger import CONSOLE


def progress_bar(
    *columns: ProgressColumn, console: Console = CONSOLE, is_shown: bool = True, transient: bool = True
) -> Progress:
    """Return rich's bar, to be entered as a context.

    Args:
        columns: what stands in it; none gives the usual ones.
        console: where it is drawn.
        is_shown: False draws none, as on other ranks than the main one.
        transient: it goes away at its end.
    """
    is_interactive = console.is_terminal or console.is_jupyter
    return Progress(*columns, console=console, transient=transient, disable=not (is_shown and is_interactive))
