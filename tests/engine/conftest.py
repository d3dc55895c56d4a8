"""The toolbox's log set-up is one for the process: each test gets it back as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch.distributed

from srtoolbox.logger import LOGGER


@pytest.fixture(autouse=True)
def _log_set_up() -> Iterator[None]:
    before = list(LOGGER.handlers), LOGGER.propagate, LOGGER.level
    yield
    for handler in set(LOGGER.handlers) - set(before[0]):
        handler.close()
    LOGGER.handlers[:], LOGGER.propagate = before[0], before[1]
    LOGGER.setLevel(before[2])


@pytest.fixture
def group_of_one() -> Iterator[None]:
    """A process group of this process alone: its collectives and DDP are the real ones."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
