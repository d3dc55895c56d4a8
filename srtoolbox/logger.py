"""One logging set-up: the console of rank 0 and, in a run, `work_dir/train.log`."""

from __future__ import annotations

import contextlib
import html
import logging
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.files import append_line

LOGGER = logging.getLogger("srtoolbox")
CONSOLE = Console()
_LINES_SECONDS = 0.1
_handlers: list[logging.Handler] = []  # those that `setup_logging` has added


def setup_logging(log_file: str | Path | None = None, *, main_process: bool = True) -> None:
    """Send the toolbox's messages to the console and, if given, append them to a file.

    Replaces an earlier set-up; handlers that others have added stay. The file begins with what came
    since the last set-up without one: how a run was found and built belongs to its log. Other ranks
    than the main one log warnings only, with no file.
    """
    earlier = [record for handler in _handlers if isinstance(handler, _Memory) for record in handler.records]
    _remove_handlers()
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO if main_process else logging.WARNING)
    if CONSOLE.is_terminal:  # shares the console with progress bars, which it would tear otherwise
        _add_handler(RichHandler(console=CONSOLE, show_path=False, show_level=False, log_time_format="%H:%M:%S"))
    else:
        _add_handler(_StderrHandler(), "%H:%M:%S")
    if log_file is None:
        _add_handler(_Memory())
    elif main_process:
        file = _LogFile(Path(log_file).absolute())
        _add_handler(file, "%Y-%m-%d %H:%M:%S")
        for record in earlier:
            file.handle(record)


@contextlib.contextmanager
def logging_restored() -> Iterator[None]:
    """Put the log back, its level, propagation and handlers, once what runs inside has ended."""
    level, propagate, handlers = LOGGER.level, LOGGER.propagate, list(_handlers)
    for handler in handlers:
        LOGGER.removeHandler(handler)
    _handlers.clear()
    try:
        yield
    finally:
        _remove_handlers()
        LOGGER.propagate = propagate
        LOGGER.setLevel(level)
        for handler in handlers:
            _add_handler(handler)


def _add_handler(handler: logging.Handler, time_format: str | None = None) -> None:
    if time_format is not None:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", time_format))
    _handlers.append(handler)
    LOGGER.addHandler(handler)


def _remove_handlers() -> None:
    for handler in _handlers:
        LOGGER.removeHandler(handler)
        handler.close()
    _handlers.clear()


@contextlib.contextmanager
def progress_bar(title: str, console: Console = CONSOLE) -> Iterator[Callable[[float, int], None]]:
    """Show a bar in a terminal or notebook, nothing elsewhere; yield what takes (done, of)."""
    if console.is_jupyter:
        yield _NotebookBar(title).show
    elif console.is_terminal:
        columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, of: bar.update(task, completed=done, total=of)
    else:
        yield lambda done, of: None


class Lines:
    """Lines for a console, printed as they are: no markup, no colours, no line cut.

    To print one takes about as long as reading a small image, and in a terminal, where a progress
    bar is drawn anew, longer than upscaling it. So lines that follow one within a tenth of a second
    are printed together. Leaving the block prints what is left.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()
        self._waiting: list[str] = []
        self._printed_at = -math.inf
        self._timer: threading.Timer | None = None

    def say(self, line: str) -> None:
        """Print a line, a little later where one was just printed."""
        with self._lock:
            self._waiting.append(line)
            is_first = len(self._waiting) == 1
            seconds = self._printed_at + _LINES_SECONDS - time.monotonic()
        if seconds <= 0:
            self.flush()
        elif is_first:
            self._timer = timer = threading.Timer(seconds, self.flush)
            timer.daemon = True
            timer.start()

    def flush(self) -> None:
        """Print what waits."""
        with self._lock:
            text, self._waiting = "\n".join(self._waiting), []
            if text:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
                self._printed_at = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.flush()


class _NotebookBar:
    """A bar in a notebook's cell, drawn by the browser: it needs no widgets."""

    def __init__(self, title: str) -> None:
        from IPython.display import HTML, display

        self._html, self._title = HTML, html.escape(title)
        self._handle = display(HTML(self._title), display_id=True)
        self._shown_at = 0.0

    def show(self, done: float, of: int) -> None:
        """Draw the bar anew, at most five times a second."""
        if done < of and time.monotonic() - self._shown_at < 0.2:
            return
        self._shown_at = time.monotonic()
        bar = f"<progress max='{of}' value='{done}' style='width: 40%'></progress>"
        self._handle.update(self._html(f"{self._title} {bar} {int(done)}/{of}"))


class _Memory(logging.Handler):
    """Keeps records for a log file that is not yet there: a run that cannot begin writes none."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=500)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _LogFile(logging.Handler):
    """Appends lines, each whole or not at all; that it fails is told once, and ends no run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._failing = path, False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            append_line(self._path, self.format(record))
            self._failing = False
        except SrtoolboxError as error:
            told, self._failing = self._failing, True
            if not told:
                LOGGER.warning("%s Until then its lines are on the console only", error)


class _StderrHandler(logging.StreamHandler):
    """Writes to what is `sys.stderr` at the time: notebooks and tests replace and close it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr
