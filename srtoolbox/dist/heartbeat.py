"""Signs of life between ranks, by a thread in each process: a dead or hanging rank ends all, named.

Each rank tells a store, twice a second, what it does (`Activity`), and looks at the next rank's.
One that is silent (killed, stopped, its machine gone) or stays in one phase too long is a fault:
who finds it tells all, and every process ends, whatever collective its main thread is caught in.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from srtoolbox.logger import LOGGER
from srtoolbox.system import kill_process, parent_of
from srtoolbox.text import first_line

if TYPE_CHECKING:
    from torch.distributed import Store

INTERVAL = 0.5  # seconds between two signs of life
PHASES = ("start", "data", "train", "save", "evaluate", "log")  # in the order of one iteration
SLOW_PHASES = ("start", "save", "evaluate")
"""Phases in which rank 0 may work alone while others wait, or a rank reads all data."""
SLOW_FACTOR = 10  # timeouts that a slow phase (of an evaluation: one image) may last
SILENCE = 2.5
"""Seconds without a sign of life that are enough to name a rank once a collective has failed."""
PATIENCE = 3.0  # seconds an ending process gives what it writes
_WAITERS = Path(__file__).parent  # whose lines wait for others
_PACKAGE = _WAITERS.parent


class Activity(NamedTuple):
    """The phase of a rank, its finished iterations, and the start of the phase on its own clock."""

    phase: str
    iteration: int
    since: float


class Heartbeat:
    """The signs of life of one process.

    Args:
        store: a connection of its own to the run's key-value store (others may block theirs).
        rank, world: this process and how many there are.
        timeout: seconds a rank may be silent or stay in one phase; ten times that in `SLOW_PHASES`.
        end: ends the process with an exit code.
    """

    def __init__(self, store: Store, rank: int, world: int, timeout: float, end: Callable[[int], None]) -> None:
        self.store, self.rank, self.world, self.timeout, self._end = store, rank, world, timeout, end
        self.activity = Activity("start", 0, time.monotonic())
        self.error: BaseException | None = None  # told instead of the clean-up after it
        self._beats = 0
        self._seen: dict[int, tuple[Any, float]] = {}  # rank -> its last sign, since when
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> Heartbeat:
        """Begin; returns itself."""
        self._beat()
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop looking: from now on others may leave."""
        self._closed.set()

    def enter(self, phase: str, iteration: int) -> None:
        """Say what this rank does from now on."""
        self.activity = Activity(phase, iteration, time.monotonic())

    def advance(self) -> None:
        """Say that this rank gets on within its phase."""
        self.activity = self.activity._replace(since=time.monotonic())

    def fail(self, reason: str) -> None:
        """Tell all ranks that this one ends, and why."""
        with contextlib.suppress(Exception):  # the store may be gone with the machine that held it
            self.store.compare_set("fault", "", f"rank {self.rank} failed {_described(self._sign())}: {reason}")

    def line(self) -> str:
        """Return `file:line` of what the main thread does, or of what failed there (`error`)."""
        if self.error is not None:
            return _location(list(traceback.walk_tb(self.error.__traceback__)))
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        return _location(list(traceback.walk_stack(frame))[::-1] if frame else [])

    def let_others_read(self) -> None:
        """Rank 0 may hold the store: before it ends, all must have read what is wrong."""
        if self.rank == 0:
            time.sleep(3 * INTERVAL)

    def explain(self, seconds: float) -> str | None:
        """Name the rank that made a collective fail, if it shows within so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                fault = self._fault() or self._silent(range(self.world), SILENCE)
                if fault:
                    return fault
            time.sleep(INTERVAL / 5)
        return None

    def _run(self) -> None:
        while not self._closed.wait(INTERVAL):
            try:
                self._beat()
                fault = self._fault() or self._silent([(self.rank + 1) % self.world], self.timeout) or self._stuck()
            except Exception as error:  # the process that holds the store is gone
                fault = f"the store of the run is gone, and with it rank 0 or torchrun ({first_line(error)})"
            if fault and not self._closed.is_set():
                say(LOGGER.error, f"rank {self.rank} ends: {fault}. Rank {self.rank} was at {self.line()}")
                self.let_others_read()
                self._end(1)

    def _beat(self) -> None:
        self._beats += 1
        self.store.set(f"beat/{self.rank}", json.dumps(self._sign()))

    def _sign(self) -> dict[str, Any]:
        phase, iteration, since = self.activity
        where = {"pid": os.getpid(), "host": socket.gethostname()}
        seconds = time.monotonic() - since
        return {"beat": self._beats, "phase": phase, "iter": iteration, "seconds": seconds, **where}

    def _fault(self) -> str | None:
        return self.store.get("fault").decode() if self.store.check(["fault"]) else None

    def _read(self, rank: int) -> dict[str, Any] | None:
        return json.loads(self.store.get(f"beat/{rank}")) if self.store.check([f"beat/{rank}"]) else None

    def _silent(self, ranks: Iterable[int], limit: float) -> str | None:
        """Name the first of some ranks silent for so long; end it if it is on this machine."""
        for rank in ranks:
            if rank == self.rank:
                continue
            sign, now = self._read(rank), time.monotonic()
            before, new_at = self._seen.get(rank, (None, 0.0))
            if rank not in self._seen or sign != before:
                self._seen[rank] = (sign, now)
            elif now - new_at > limit:
                what = f"was last seen {_described(sign)}" if sign else "never came"
                if sign:
                    _kill_sibling(sign)
                return self._publish(f"rank {rank} has given no sign of life for {now - new_at:.0f} s; it {what}")
        return None

    def _stuck(self) -> str | None:
        """Name the ranks behind all others, or silent, where this rank's own phase lasts too long.

        None while a rank that is behind may still take its time: then this one only waits for it.
        """
        phase, _, since = self.activity
        over = time.monotonic() - since - self._limit(phase)
        if over < 0:
            return None
        fault = self._silent(range(self.world), SILENCE)
        if fault or over < SILENCE + 2 * INTERVAL:  # silence takes that long to show
            return fault
        signs = {rank: sign for rank in range(self.world) if (sign := self._read(rank))}
        progress = {rank: (sign["iter"], PHASES.index(sign["phase"])) for rank, sign in signs.items()}
        behind = [rank for rank, point in progress.items() if point == min(progress.values())]
        sign = min((signs[rank] for rank in behind), key=lambda sign: sign["seconds"])
        if sign["seconds"] < self._limit(sign["phase"]):
            return None
        one = len(behind) == 1
        return self._publish(
            f"{'rank' if one else 'one of ranks'} {', '.join(map(str, behind))} hangs {_described(sign)}, for "
            f"{sign['seconds']:.0f} s now" + ("; the others wait for it" if one else "")
        )

    def _limit(self, phase: str) -> float:
        return self.timeout * (SLOW_FACTOR if phase in SLOW_PHASES else 1)

    def _publish(self, message: str) -> str:
        """Make this the run's fault unless another rank was first; return the one that stands."""
        return self.store.compare_set("fault", "", message).decode()


def _described(sign: dict[str, Any]) -> str:
    return f"in phase {sign['phase']!r} after iteration {sign['iter']} (process {sign['pid']} on {sign['host']})"


def _location(frames: list[tuple[FrameType, int]]) -> str:
    """Return the innermost line of ours, but for those here that wait for others."""
    lines = [(Path(frame.f_code.co_filename), number) for frame, number in frames]
    ours = [line for line in lines if line[0].is_relative_to(_PACKAGE) and not line[0].is_relative_to(_WAITERS)]
    path, number = (ours or lines or [(Path("its end"), 0)])[-1]
    return f"{path}:{number}" if number else str(path)


def _kill_sibling(sign: dict[str, Any]) -> None:
    """End a silent process of the same launcher on this machine: it would outlive the run."""
    # the number may meanwhile be another process's
    if sign["host"] == socket.gethostname() and parent_of(sign["pid"]) == os.getppid():
        with contextlib.suppress(OSError):
            kill_process(sign["pid"])


def say(log: Callable[[str], None], message: str) -> None:
    """Log from another thread: the main one may be caught in the log, by a console that is held."""
    _in_time(lambda: log(message))


def exit_now(code: int) -> None:
    """End this process at once, without the clean-up that could wait for others."""
    _in_time(_flush)
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # what it leads to may be gone
            stream.flush()


def _in_time(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
