"""A pytest plugin: run tests as if the toolbox's modules and plugins were on a system without POSIX's parts.

    python -m pytest -p tests.systems.no_posix [-m slow] [FILES]

What `hidden` takes away is taken from our modules alone, in this process and in those that tests start. Tests that are
about a part of POSIX are skipped, each for the reason in NEEDS_POSIX.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.systems import hidden

SITE = Path(__file__).parent / "site"
NEEDS_POSIX = {
    "tests/engine/test_launchers.py": "bash scripts, SLURM, SIGUSR1",
    "tests/engine/test_restarts.py::test_torchrun_starts_again": "bash scripts",
    "tests/engine/test_restarts.py::test_when_the_launcher_started": "the times of other processes, which Linux tells",
    "tests/engine/test_crash_power.py": "its model of a power loss is of file systems whose folders are flushed",
    "tests/engine/test_signals.py::test_a_signal_to_some_ranks": "SIGUSR1",
    "tests/engine/test_signals.py::test_a_stopped_and_continued": "SIGUSR1, SIGSTOP",
    "tests/cli/test_train.py::test_a_signal_saves_and_exits_with_its_code[SIGUSR1]": "SIGUSR1",
    "tests/inference/test_limits.py": "limits of the address space",
    "tests/inference/test_memory.py::test_a_limit_of_the_address_space": "limits of the address space",
    "tests/test_plugins.py::test_failing_plugins_name_file_and_line[import surely": "our frame comes last",
}
"""Beginnings of test ids, and why these need POSIX."""


def reason_to_skip(name: str) -> str | None:
    """Return why a test, named by its id, needs POSIX; None where it does not."""
    return next((reason for start, reason in NEEDS_POSIX.items() if name.startswith(start)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs POSIX."""
    for item in items:
        reason = reason_to_skip(item.nodeid)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"needs POSIX: {reason}"))


def pytest_report_header() -> str:
    """Say that this is a simulation."""
    return "simulated: the toolbox's own modules lack what Windows lacks"


hidden.install()
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")]))
