"""Start the ranks of a run by fork, with no launcher: torch is imported once, and rank 0 holds the store itself."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srtoolbox.cli import main


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


def fork(world: int, folder: Path, work: Callable[[], int], environ: Mapping[str, str] | None = None) -> Ranks:
    """Run `work` in `world` forked processes with a launcher's variables; what they print goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    launch = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world), **(environ or {})}
    pids = []
    for rank in range(world):
        pid = os.fork()
        if pid == 0:
            _child({**launch, "RANK": str(rank), "LOCAL_RANK": str(rank)}, folder / f"stderr{rank}", work)
        pids.append(pid)
    return Ranks(pids, folder)


def _child(environ: Mapping[str, str], errors: Path, work: Callable[[], int]) -> None:
    code = 1
    try:
        os.environ.update(environ)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115 - pytest has put its own in place
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
