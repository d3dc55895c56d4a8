"""SIGTERM, SIGINT and SIGUSR1 end a run after the iteration at hand, saved; a second SIGINT ends it at once.

Windows has no SIGUSR1, and SIGBREAK (Ctrl-Break) beside SIGINT (Ctrl-C).

A signal in an evaluation ends that, the iteration it belongs to is saved, and the resumed run evaluates anew. A signal
to one rank stops all, after the same iteration.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from types import FrameType

from srtoolbox.dist.heartbeat import exit_now, say
from srtoolbox.logger import LOGGER
from srtoolbox.system import STOP_SIGNALS

# what a shell expects of a process that a signal ended; a signal's number is not the same on all systems
_CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 138, "SIGBREAK": 149}
EXIT_CODES = {signum: _CODES[signum.name] for signum in STOP_SIGNALS}
AT_ONCE = "stopped at once; what was saved before is intact"


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The run stopped for a signal. `exit_code` is what the process should end with."""

    def __init__(self, signum: int, *, saved: bool) -> None:
        state = (
            "the state is saved, --resume continues"
            if saved
            else "nothing is saved: no iteration is finished, or the config has no CheckpointHook"
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
            self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        if self._previous:
            signal.set_wakeup_fd(self._listened_before)
            self._writer.close()

    def _listen(self) -> None:
        """Hear of signals in a thread too: while the main one is in C, say in a collective, it runs no handler."""
        reader, self._writer = socket.socketpair()  # Python wakes a pipe too, but not on Windows
        self._writer.setblocking(False)
        self._listened_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_end_at_second_interrupt, args=(reader,), name="signals", daemon=True).start()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT and self._interrupted:
            LOGGER.warning(AT_ONCE)
            exit_now(EXIT_CODES[signal.SIGINT])
        self._interrupted = self._interrupted or signum == signal.SIGINT
        self.received = self.received or signum


def _end_at_second_interrupt(reader: socket.socket) -> None:
    """Read the numbers of the signals that come, until the other end is closed."""
    interrupts = 0
    while numbers := reader.recv(64):
        interrupts += numbers.count(signal.SIGINT)
        if interrupts > 1:
            time.sleep(0.5)  # the handler is first where it can be
            say(LOGGER.warning, AT_ONCE)
            os._exit(EXIT_CODES[signal.SIGINT])
    reader.close()
