"""The toolbox's log set-up is one for the process: each test gets it back as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from srtoolbox.logger import LOGGER


@pytest.fixture(autouse=True)
def _log_set_up() -> Iterator[None]:
    before = list(LOGGER.handlers), LOGGER.propagate, LOGGER.level
    yield
    for handler in set(LOGGER.handlers) - set(before[0]):
        handler.close()
    LOGGER.handlers[:], LOGGER.propagate = before[0], before[1]
    LOGGER.setLevel(before[2])
