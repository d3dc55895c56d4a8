"""Checkpoints for the commands that need no training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srtoolbox.tensor_files import save_tensors


@pytest.fixture(scope="session")
def bicubic(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of the network `Bicubic` x2: no weights, fast, and what it makes is known."""
    path: Path = tmp_path_factory.mktemp("bicubic") / "bicubic_x2.pth"
    config = {"model": {"type": "Restorer", "generator": {"type": "Bicubic", "scale": 2}}}
    save_tensors(path, {"config": json.dumps(config), "networks": {"generator": {}}})
    return str(path)
