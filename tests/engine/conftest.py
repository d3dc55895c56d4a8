"""Shared by the tests of runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch.distributed


@pytest.fixture
def group_of_one() -> Iterator[None]:
    """A process group of this process alone: its collectives and DDP are the real ones."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
