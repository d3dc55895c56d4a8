"""Processes forked from that of the tests, which has imported torch: a command begins at once, not seconds later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from srtoolbox.cli import main


class Forked:
    """A process that runs `work` and exits with what it returns; it is used like a `subprocess.Popen`."""

    def __init__(
        self,
        work: Callable[[], int | None],
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        own_group: bool = False,
    ) -> None:
        if not hasattr(os, "fork"):
            pytest.skip("this system forks no processes")
        self._printed = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            if own_group:
                os.setsid()
            become(work, *(file.fileno() for file in self._printed), environ, cwd)

    @property
    def stdout(self) -> str:
        return self._read(0)

    @property
    def stderr(self) -> str:
        return self._read(1)

    def _read(self, number: int) -> str:
        size = os.fstat(self._printed[number].fileno()).st_size
        return os.pread(self._printed[number].fileno(), size, 0).decode()

    def poll(self) -> int | None:
        """The exit code, negative for the signal that ended it; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def communicate(self, timeout: float = 200) -> tuple[str, str]:
        """What it has printed when it ends; a process that still runs after so many seconds is killed and an error."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"still running after {timeout} s: {self.stderr[-2000:]}")
            time.sleep(0.01)
        return self.stdout, self.stderr

    def kill(self) -> None:
        """Kill it if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start(*words: object, **options: object) -> Forked:
    """Start `srtoolbox WORDS`; `options` are those of `Forked`."""
    return Forked(lambda: main([str(word) for word in words]), **options)


def command(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `srtoolbox WORDS` to its end."""
    return run(lambda: main([str(word) for word in words]), **options)


def run_pieces(*words: object, code: int = 0) -> None:
    """Run the three pieces of a command at once, each of which must end with that exit code."""
    for piece in [start(*words, "--shard", f"{number}/3") for number in (1, 2, 3)]:
        piece.communicate()
        assert piece.returncode == code, piece.stderr


def run_pieces_after_a_kill(*words: object, has_begun: Callable[[], bool]) -> None:
    """Run three pieces as `run_pieces`, after the first one was killed when it had just begun its work."""
    killed = start(*words, "--shard", "1/3")
    while not has_begun():
        assert killed.poll() is None, killed.stderr
        time.sleep(0.001)
    killed.kill()
    run_pieces(*words)


def run(work: Callable[[], int | None], **options: object) -> subprocess.CompletedProcess[str]:
    """Do some work in a process of its own, to its end."""
    process = Forked(work, **options)
    printed = process.communicate()
    return subprocess.CompletedProcess((), process.returncode, *printed)


def become(
    work: Callable[[], int | None],
    output: int,
    errors: int,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> NoReturn:
    """In a forked process: print to these descriptors, do the work, and exit with what it returns."""
    code: int | None = 1
    try:
        os.environ.update(environ or {})
        if cwd is not None:
            os.chdir(cwd)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - pytest has put its own in place
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        for signum in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(torch.get_num_threads())  # torch makes its pool anew, before any threads
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
