"""Runs whose batches are made ahead of a device: the run without, bit for bit, wherever it is stopped."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from srtoolbox.data.loading.ahead import BatchesAhead, HostBatches, Waits
from srtoolbox.data.loading.kept import KeptBatches
from srtoolbox.engine.step import graph
from tests.data.late_device import LateDevice
from tests.engine.recorded import RecordedGraphs
from tests.engine.runs import differing, final_state, records, run


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[BatchesAhead]:
    """The batches of runs, made ahead of a stand-in for a device whose work is done at once."""
    every: list[BatchesAhead] = []

    def batches_for(batches: HostBatches, device: object) -> BatchesAhead:
        every.append(BatchesAhead(batches, LateDevice(eager=True)))
        return every[-1]

    monkeypatch.setattr("srtoolbox.engine.run.batches_for", batches_for)
    return every


def test_a_run_is_that_of_the_loader_also_when_it_is_resumed(
    tiny_config: Path, tmp_path: Path, ahead: list[BatchesAhead]
) -> None:
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr("srtoolbox.engine.run.batches_for", lambda batches, device: batches)
        run(tiny_config, tmp_path / "plain")
    run(tiny_config, tmp_path / "ahead")
    run(tiny_config, tmp_path / "resumed", "hooks.kill=dict(type='KillHook', at=7)")
    run(tiny_config, tmp_path / "resumed", "hooks.kill=dict(type='KillHook', at=99)", resume=True)
    assert len(ahead) == 3
    for name in ("ahead", "resumed"):
        assert differing(final_state(tmp_path / "plain"), final_state(tmp_path / name)) == []
        assert records(tmp_path / "plain") == records(tmp_path / name)


def test_accumulated_batches(tiny_config: Path, tmp_path: Path, ahead: list[BatchesAhead]) -> None:
    runner = run(tiny_config, tmp_path / "parts", "accumulate=2", "max_iters=6", "data.train.workers=2")
    assert runner.draws == 6 * 2 * runner.config["data"]["train"]["batch_size"]


def test_the_share_of_waiting_is_the_devices(
    tiny_config: Path, tmp_path: Path, ahead: list[BatchesAhead], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waits, "seconds", lambda waits: 0.25)
    runner = run(tiny_config, tmp_path, "max_iters=5", "hooks.logger.interval=5")
    assert runner.data_seconds == 5 * 0.25
    assert records_with_times(tmp_path)[0]["data_time"] == 0.25


def records_with_times(work_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (work_dir / "scores.jsonl").read_text().splitlines() if '"train"' in line]


def test_one_line_tells_what_the_loader_makes(
    tiny_config: Path, tmp_path: Path, ahead: list[BatchesAhead], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    run(tiny_config, tmp_path, "hooks.logger.interval=4")
    lines = [number for number, line in enumerate(caplog.messages) if line.startswith("data: the loader makes ")]
    assert len(lines) == 1
    assert caplog.messages[lines[0] - 1].startswith("iter 4/20 ")
    assert ahead[0].rates.taken == 20 - 2, "the first half of the first interval does not count"


def test_a_run_whose_set_is_kept_on_the_device_is_that_of_the_loader(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "plain")
    kept = run(tiny_config, tmp_path / "kept", "data.train.on_device=True")
    assert isinstance(kept.batches, KeptBatches)
    run(tiny_config, tmp_path / "resumed", "hooks.kill=dict(type='KillHook', at=7)")
    resumed = ("data.train.on_device=True", "hooks.kill=dict(type='KillHook', at=99)")
    run(tiny_config, tmp_path / "resumed", *resumed, resume=True)
    for name in ("kept", "resumed"):
        assert differing(final_state(tmp_path / "plain"), final_state(tmp_path / name)) == []
        assert records(tmp_path / "plain") == records(tmp_path / name)


@pytest.mark.parametrize("on_device", [True, False])
def test_a_graph_takes_the_batches_of_either(
    on_device: bool, tiny_config: Path, tmp_path: Path, ahead: list[BatchesAhead], monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = RecordedGraphs()
    monkeypatch.setattr(graph, "graphs_for", lambda device: graphs)
    with monkeypatch.context() as plain:
        plain.setattr("srtoolbox.engine.run.batches_for", lambda batches, device: batches)
        run(tiny_config, tmp_path / "loader", "runtime.graph=True")
    before = graphs.replays
    runner = run(tiny_config, tmp_path / "device", "runtime.graph=True", f"data.train.on_device={on_device}")
    assert graphs.replays == 2 * before > 30
    assert isinstance(runner.batches, KeptBatches if on_device else BatchesAhead)
    assert differing(final_state(tmp_path / "loader"), final_state(tmp_path / "device")) == []
