"""The simulation itself: our modules lack what Windows lacks, all others keep it, and tests can patch as ever."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.systems import hidden, no_posix_list

SEEN = """
import os, signal, sys
from srtoolbox import system
from srtoolbox.engine import stop
from srtoolbox.engine.job import workdir
print(system.fcntl is None, system.resource is None, system.IS_WINDOWS, hasattr(system.os, "O_DIRECTORY"))
print(sorted(signum.name for signum in stop.EXIT_CODES), hasattr(workdir.os, "sysconf"))
print(hasattr(os, "O_DIRECTORY"), hasattr(signal, "SIGUSR1"), os.name)
lock = system.FileLock(sys.argv[1])
print(lock.acquire(), system.FileLock(sys.argv[1]).acquire())
"""


def test_processes_that_tests_start_lack_it_too(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(no_posix_list.SITE), str(no_posix_list.ROOT)])}
    command = [sys.executable, "-c", SEEN, str(tmp_path / "lock")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "True True True False",
        "['SIGINT', 'SIGTERM'] False",
        "True True posix",
        "True False",
    ]


def test_what_a_test_sets_on_a_stand_in_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in, real = hidden.StandIn(time, {"tzset"}, {}), time.sleep
    with monkeypatch.context() as patch:
        patch.setattr(stand_in, "sleep", print)
        patch.setattr(stand_in, "sleep", repr)
        assert time.sleep is repr and stand_in.sleep is repr
    assert time.sleep is real and not hasattr(stand_in, "tzset")


def test_each_test_that_needs_posix_is_there() -> None:
    """A renamed test would come back to life, or a removed one stay on the list."""
    for start in no_posix_list.NEEDS_POSIX:
        file, _, name = start.partition("::")
        assert f"def {name.partition('[')[0]}" in (no_posix_list.ROOT / file).read_text("utf-8")
