"""Checkpoints for the commands that need no training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.registry import NETWORKS


@pytest.fixture(scope="session")
def bicubic(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of the network `Bicubic` x2: no weights, fast, and what it makes is known."""
    path: Path = tmp_path_factory.mktemp("bicubic") / "bicubic_x2.pth"
    config = {"model": {"type": "Restorer", "generator": {"type": "Bicubic", "scale": 2}}}
    save_tensors(path, {"config": json.dumps(config), "networks": {"generator": {}}})
    return str(path)


@pytest.fixture(scope="session")
def espcn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of an untrained ESPCN x3, which has weights and sees neighbours."""
    path: Path = tmp_path_factory.mktemp("espcn") / "espcn_x3.pth"
    generator = {"type": "ESPCN", "scale": 3, "kernels": [3, 3, 3], "channels": [8, 4]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = NETWORKS.build(generator).state_dict()
    config = {"model": {"type": "Restorer", "generator": generator}}
    save_tensors(path, {"config": json.dumps(config), "networks": {"generator": state}})
    return str(path)
