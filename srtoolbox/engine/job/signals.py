"""SIGTERM, SIGINT and SIGUSR1 end a run after the iteration at hand, saved; a second SIGINT at once.

Windows has no SIGUSR1, and SIGBREAK (Ctrl-Break) beside SIGINT (Ctrl-C).

A signal in an evaluation ends that, the iteration it belongs to is saved, and the resumed run
evaluates anew. A signal to one rank stops all, after the same iteration.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

from srtoolbox.dist.heartbeat import exit_now, say
from srtoolbox.logger import CONSOLE, LOGGER
from srtoolbox.system import STOP_SIGNALS

# what a shell expects of a process that a signal ended, whose number differs between systems
_CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 138, "SIGBREAK": 149}
EXIT_CODES: dict[int, int] = {signum: _CODES[signum.name] for signum in STOP_SIGNALS}
AT_ONCE = "stopped at once; what was saved before is intact"


class Interrupted(KeyboardInterrupt):
    """A signal stopped a run. `except Exception` does not catch it; the message says what is saved.

    Attributes:
        exit_code: what a process should end with: 130 of Ctrl-C, 143 of SIGTERM, 138 of SIGUSR1.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StopSignals:
    """Signals to this process: while active, `received` is the first that came (0: none).

    Only the main thread gets signals; a run in another one is stopped by `request`.
    """

    def __init__(self) -> None:
        self.received = 0
        self._is_interrupted = False
        self._is_interactive = CONSOLE.is_jupyter or hasattr(sys, "ps1")
        self._previous: dict[int, Any] = {}
        self._writer: socket.socket | None = None

    def request(self) -> None:
        """Stop the run as SIGTERM would, from any thread."""
        self.received = self.received or signal.SIGTERM

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # signals go to no other
            self._previous = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
            if not self._is_interactive:
                self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        if self._writer is not None:
            signal.set_wakeup_fd(self._listened_before)
            self._writer.close()
            self._writer = None

    def _listen(self) -> None:
        """Hear of signals in a thread too: the main one, in C, say in a collective, runs no handler."""
        # Python wakes a pipe too, but not on Windows
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        descriptor = self._writer.fileno()
        self._listened_before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        listen = threading.Thread(target=_end_at_second_interrupt, args=(reader,), name="signals")
        listen.daemon = True
        listen.start()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT and self._is_interrupted:
            LOGGER.warning(AT_ONCE)
            if self._is_interactive:  # a kernel or a prompt goes on, with all its user has in it
                raise KeyboardInterrupt(AT_ONCE)
            exit_now(EXIT_CODES[signal.SIGINT])
        self._is_interrupted = self._is_interrupted or signum == signal.SIGINT
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
