"""One training after the other, each a process of its own, to which signals to this one are passed on."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from types import FrameType

from srtoolbox.engine.stop import EXIT_CODES
from srtoolbox.errors import OptionError
from srtoolbox.io.files import appended_by_others
from srtoolbox.plots.run_log import LOG_NAME
from srtoolbox.system import STOP_SIGNALS, pass_on, start_apart

OUTPUT = "output.log"
"""In a run's folder: all that its process prints."""
_PAUSE = 0.5  # seconds between two looks at a run
_TAIL = 1 << 16  # bytes at the end of a file
_FROM_OUTSIDE = {*STOP_SIGNALS, *(getattr(signal, name) for name in ("SIGKILL", "SIGHUP") if hasattr(signal, name))}


class Trainings:
    """Runs processes one by one; while active, `received` is the first signal that came (0: none)."""

    def __init__(self) -> None:
        self.received = 0
        self._process: subprocess.Popen | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Pass signals on to the training at hand, instead of ending by them."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals go to no other
            return
        previous = {each: signal.signal(each, self._handle) for each in STOP_SIGNALS}
        try:
            yield
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.received = self.received or signum
        if self._process is not None:  # launchers of several processes know no SIGUSR1, and end by it at once
            pass_on(self._process, signum if signum == signal.SIGINT else signal.SIGTERM)

    def train(self, command: Sequence[str], output: Path, look: Callable[[], object]) -> int:
        """Run a command to its end, its output appended to a file; return its exit code.

        Args:
            look: called now and then meanwhile; it may call `stop`.

        Raises:
            OptionError: there is no such program.
        """
        with appended_by_others(output) as file:
            try:
                self._process = process = start_apart(command, file)
            except OSError as error:
                raise OptionError(f"launcher: {command[0]}: cannot be started ({error.strerror})") from error
        try:
            if self.received:  # it came before the process: not passed on by its number, for two SIGINT end at once
                self.stop()
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(_PAUSE)
                look()
        finally:
            if process.poll() is None:  # an error here must not leave it behind
                self.stop()
                process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask the training at hand to save and end."""
        if self._process is not None:
            pass_on(self._process, signal.SIGTERM)


def is_stopped(code: int) -> bool:
    """True for the exit code of a training that was stopped or killed from outside, and did not crash."""
    return code in EXIT_CODES.values() or -code in _FROM_OUTSIDE


def reason_in(output: Path, start: int) -> str:
    """Return the sentences by which a process failed, from what it printed behind the first `start` bytes."""
    lines = [line.rstrip() for line in _tail(output, start).splitlines() if line.strip()]
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if not errors:
        return lines[-1].strip() if lines else "it printed nothing"
    first, *others = lines[errors[-1] :]
    more = takewhile(lambda line: line.startswith(" "), others)  # an error of several lines is indented
    return " ".join([first.removeprefix("error: "), *map(str.strip, more)])


def iteration_of_log(work_dir: Path) -> int:
    """Return the last iteration in a run's log, 0 without one."""
    for line in reversed(_tail(work_dir / LOG_NAME).splitlines()):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return int(json.loads(line)["iter"])
    return 0


def size_of(file: Path) -> int:
    """Return the bytes of a file, 0 without one."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _tail(file: Path, start: int = 0) -> str:
    """Return the end of a text, '' without one."""
    try:
        with open(file, "rb") as opened:
            opened.seek(max(start, size_of(file) - _TAIL))
            return opened.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
