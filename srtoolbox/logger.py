"""One logging set-up: the console of rank 0 and, in a run, `work_dir/train.log`. Library code logs, it never prints."""

from __future__ import annotations

import logging
import sys
from collections import deque
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler

from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.files import append_line

LOGGER = logging.getLogger("srtoolbox")
CONSOLE = Console()


def setup_logging(log_file: str | Path | None = None, *, main_process: bool = True) -> None:
    """Send the toolbox's messages to the console and, if given, append them to a file. Replaces an earlier set-up.

    The file begins with what was said since the last set-up without a file: how a run was found and built belongs to
    its log. Other ranks than the main one log warnings only, with no file.
    """
    earlier: list[logging.LogRecord] = []
    for handler in list(LOGGER.handlers):
        earlier += handler.records if isinstance(handler, _Memory) else []
        LOGGER.removeHandler(handler)
        handler.close()
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO if main_process else logging.WARNING)
    LOGGER.addHandler(_console_handler())
    if log_file is None:
        LOGGER.addHandler(_Memory())
    elif main_process:
        file = _LogFile(Path(log_file).absolute())
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        LOGGER.addHandler(file)
        for record in earlier:
            file.handle(record)


class _Memory(logging.Handler):
    """Keeps the latest records for a log file that is not there yet: a run that cannot begin writes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=500)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _LogFile(logging.Handler):
    """Appends lines, each whole or not at all. No run ends for a log that cannot be written: it is told once."""

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
    """Writes to what is `sys.stderr` at the time: notebooks and tests put another in its place, and close that."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


def _console_handler() -> logging.Handler:
    if CONSOLE.is_terminal:  # shares the console with progress bars, which it would tear otherwise
        return RichHandler(
            console=CONSOLE,
            show_path=False,
            show_level=False,
            markup=False,
            log_time_format="%H:%M:%S",
            rich_tracebacks=False,
        )
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler
