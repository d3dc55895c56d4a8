"""Start the ranks of a run by fork, with no launcher: torch is imported once, and rank 0 holds the store itself."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srtoolbox.cli import main
from tests.processes import become


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Ranks:
    """Processes that run one command; `wait` gives their exit codes (negative: the signal that ended them)."""

    pids: list[int]
    folder: Path
    codes: dict[int, int] = field(default_factory=dict)

    def errors(self, rank: int) -> str:
        return (self.folder / f"stderr{rank}").read_text()

    def poll(self) -> None:
        for rank, pid in enumerate(self.pids):
            if rank not in self.codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self.codes[rank] = os.waitstatus_to_exitcode(status)

    def wait(self, seconds: float, but: tuple[int, ...] = ()) -> dict[int, int]:
        """Exit codes by rank; fails where a rank (`but` some) still runs after so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.poll()
            if len(self.codes.keys() | set(but)) == len(self.pids):
                return self.codes
            time.sleep(0.02)
        told = [self.errors(rank)[-2000:] for rank in range(len(self.pids))]
        raise AssertionError(f"still running after {seconds} s; ended: {self.codes}; {told}")

    def end(self) -> None:
        """Kill whatever is left."""
        for rank, pid in enumerate(self.pids):
            if rank not in self.codes:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def start(world: int, folder: Path, arguments: list[str], **environ: str) -> Ranks:
    """Run `srtoolbox ARGUMENTS` on `world` ranks."""
    return fork(world, folder, lambda: main(arguments), environ)


def run_ranks(folder: Path, *arguments: str) -> None:
    """Run `srtoolbox ARGUMENTS` on two ranks to its end, which must be a good one."""
    run_on_ranks(folder / "ranks", lambda: main(list(arguments)), seconds=200)


def run_on_ranks(folder: Path, work: Callable[[], int | None], seconds: float) -> None:
    """Do some work on two ranks to its end, which must be a good one."""
    ranks = fork(2, folder, work)
    try:
        assert ranks.wait(seconds) == {0: 0, 1: 0}, [ranks.errors(rank) for rank in range(2)]
    finally:
        ranks.end()


def fork(world: int, folder: Path, work: Callable[[], int | None], environ: Mapping[str, str] | None = None) -> Ranks:
    """Run `work` in `world` forked processes with a launcher's variables; what they print goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    launch = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world), **(environ or {})}
    pids = []
    for rank in range(world):
        pid = os.fork()
        if pid == 0:
            errors = os.open(folder / f"stderr{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            variables = {**launch, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            become(work, os.open(os.devnull, os.O_WRONLY), errors, variables)
        pids.append(pid)
    return Ranks(pids, folder)
