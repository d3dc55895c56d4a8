"""SIGTERM, SIGINT and SIGUSR1 end a run after the iteration at hand, saved; a second SIGINT ends it at once.

A signal in an evaluation ends that, the iteration it belongs to is saved, and the resumed run evaluates anew. A signal
to one rank stops all, after the same iteration.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

from srtoolbox.logger import LOGGER
from srtoolbox.watch import exit_now

# what a shell expects of a process that a signal ended
EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 138}


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The run stopped for a signal. `exit_code` is what the process should end with."""

    def __init__(self, signum: int, *, saved: bool) -> None:
        state = (
            "the state is saved, --resume continues" if saved else "nothing is saved: the config has no CheckpointHook"
        )
        super().__init__(f"stopped by {signal.Signals(signum).name}; {state}")
        self.exit_code = EXIT_CODES[signum]


class StopSignals:
    """While active, remembers the first of the signals that came in `received` (0: none)."""

    def __init__(self) -> None:
        self.received = 0
        self._interrupted = False

    def __enter__(self) -> StopSignals:
        self._previous = {}
        if threading.current_thread() is threading.main_thread():  # Python delivers signals to no other
            self._previous = {signum: signal.signal(signum, self._handle) for signum in EXIT_CODES}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT and self._interrupted:
            LOGGER.warning("stopped at once; what was saved before is intact")
            exit_now(EXIT_CODES[signal.SIGINT])
        self._interrupted = self._interrupted or signum == signal.SIGINT
        self.received = self.received or signum
