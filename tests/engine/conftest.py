"""Shared by the tests of runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed

from srtoolbox.engine.loop import iterations
from srtoolbox.engine.run import Run
from srtoolbox.engine.step import graph
from tests.engine.graphs import QUICK, Act, Place, Trained, assert_alike
from tests.engine.recorded import RecordedGraphs
from tests.engine.runs import build


@pytest.fixture
def group_of_one() -> Iterator[None]:
    """A process group of this process alone: its collectives and DDP are the real ones."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    graphs = RecordedGraphs()
    monkeypatch.setattr(graph, "graphs_for", lambda device: graphs)
    return Place(graphs, ("runtime.device=cpu",), is_exact=True)


@pytest.fixture
def trained(place: Place, tiny_config: Path, tmp_path: Path) -> Iterator[Trained]:
    """Train a config eagerly and by graphs, `act` after each iteration; what they end with must be alike."""

    def both(*changes: str, act: Act = lambda run: None) -> tuple[Run, Run]:
        runs: list[Run] = []
        for name, setting in (("eager", False), ("graph", True)):
            settings = (*QUICK, *place.settings, *changes, f"runtime.graph={setting}")
            runner = build(tiny_config, tmp_path / f"{name}{len(list(tmp_path.iterdir()))}", *settings)
            for _ in iterations(runner):
                act(runner)
            runner.close()
            runs.append(runner)
        assert_alike(*runs, is_exact=place.is_exact)
        return runs[0], runs[1]

    yield both


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "srtoolbox")
    return caplog
