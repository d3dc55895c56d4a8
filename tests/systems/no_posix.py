"""A pytest plugin: run tests as if the toolbox's modules and plugins were on a system without POSIX's parts.

    python -m pytest -p tests.systems.no_posix [-m slow] [FILES]

What `hidden` takes away is taken from our modules alone, in this process and in those that tests start. Tests that are
about a part of POSIX are skipped, each for the reason in `no_posix_list`.
"""

from __future__ import annotations

import os

import pytest

from tests.systems import hidden
from tests.systems.no_posix_list import NEEDS_POSIX, SITE


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
