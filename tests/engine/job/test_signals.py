"""Signals to some ranks, at any time of a run: all stop after one iteration, saved; a second Ctrl-C ends at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.registry import HOOKS
from tests.engine.ranks import Ranks, start
from tests.engine.runs import differing, final_state, listing, load, records, run
from tests.engine.test_faulty_ranks import FaultHook

NEVER = ("max_iters=1000000", "hooks.checkpoint.interval=1000000", "data.val.interval=1000000")


@HOOKS.register
class KillEvaluationHook(Hook):
    """Sends this process a signal while it evaluates after iteration `at`."""

    phase = Phase.LOG

    def __init__(self, at: int) -> None:
        self.at = at

    def set_up(self, runner: Runner) -> None:
        hook = runner.hooks["evaluate"]
        metric = hook.metrics["psnr"]

        class Sending:
            protocol = metric.protocol

            def __call__(_, *images):  # noqa: N805
                if runner.iter == self.at:
                    os.kill(os.getpid(), signal.SIGTERM)
                return metric(*images)

        hook.metrics["psnr"] = Sending()


def test_a_signal_ends_an_evaluation_and_the_resumed_run_evaluates(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole")
    kill = ["hooks.kill.type=KillEvaluationHook", "hooks.kill.at=15", "hooks.checkpoint.interval=4"]
    stopped = run(tiny_config, tmp_path / "parts", *kill)
    assert stopped.iter == 15 and "iter_000015.pth" in listing(tmp_path / "parts")
    assert ("eval", 15) not in [(line["kind"], line["iter"]) for line in records(tmp_path / "parts")]
    run(tiny_config, tmp_path / "parts", resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@contextmanager
def running(world: int, config: Path, folder: Path, *overrides: str) -> Iterator[Ranks]:
    """A run that has logged its first line and would never end."""
    ranks = start(world, folder, ["train", str(config), "--work-dir", str(folder / "run"), *NEVER, *overrides])
    log, deadline = folder / "run/scores.jsonl", time.monotonic() + 60
    try:
        while not (log.exists() and log.read_text()):
            ranks.poll()
            assert not ranks.codes and time.monotonic() < deadline, ranks.errors(0)
            time.sleep(0.02)
        yield ranks
    finally:
        ranks.end()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("world", "first", "second"), [(2, 1, None), (2, 0, 1), (3, 2, None)], ids=["one", "0.2-s-apart", "one-of-three"]
)
def test_a_signal_to_some_ranks_stops_all(
    world: int, first: int, second: int | None, tiny_config: Path, tmp_path: Path
) -> None:
    with running(world, tiny_config, tmp_path) as ranks:
        os.kill(ranks.pids[first], signal.SIGTERM)
        if second is not None:
            time.sleep(0.2)
            ranks.poll()
            if second not in ranks.codes:
                os.kill(ranks.pids[second], signal.SIGUSR1)
        assert set(ranks.wait(30).values()) == {143}
    assert len(listing(tmp_path / "run", "iter_*.pth")) == 1
    state = load(tmp_path / "run", listing(tmp_path / "run", "iter_*.pth")[0].removesuffix(".pth"))
    assert len(state["rng"]) == world


@pytest.mark.timeout(60)
@pytest.mark.parametrize("world", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_second_interrupt_ends_at_once(world: int, tiny_config: Path, tmp_path: Path) -> None:
    slow = f"hooks.fault={{'type': '{FaultHook.__name__}', 'what': '300', 'where': 'save', 'rank': 0, 'at': 60}}"
    with running(world, tiny_config, tmp_path, slow) as ranks:
        time.sleep(3)
        os.kill(ranks.pids[0], signal.SIGINT)
        time.sleep(0.5)
        os.kill(ranks.pids[0], signal.SIGINT)
        assert ranks.wait(30, but=tuple(range(1, world)))[0] == 130  # the save would take 300 s
        if world > 1:
            assert ranks.wait(20)[1] != 0


@pytest.mark.usefixtures("forking")
@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("interval", "accumulate"),
    [pytest.param(3, 1, id="at-a-line-of-log", marks=pytest.mark.slow), pytest.param(4, 2, id="between-two-batches")],
)
def test_a_signal_while_the_data_workers_are_stuck_saves(
    interval: int, accumulate: int, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six iterations are done, the seventh lacks its last batch; the resumed run logs and ends as if nothing was."""
    settings = [f"hooks.logger.interval={interval}", f"accumulate={accumulate}", "data.train.workers=2"]
    command = ["train", str(tiny_config), *settings, "--work-dir", str(tmp_path / "run")]
    run(tiny_config, tmp_path / "whole", *settings)
    sample = GTOnlyDataset.sample

    def stuck(self: GTOnlyDataset, draw: Draw) -> dict:
        if isinstance(draw, Draw) and draw.number >= 4 * (7 * accumulate - 1):
            time.sleep(60)
        return sample(self, draw)

    with monkeypatch.context() as patch:
        patch.setattr(GTOnlyDataset, "sample", stuck)
        ranks = start(1, tmp_path / "ranks", command)
    try:
        log = tmp_path / "run/scores.jsonl"
        while not (log.exists() and '"kind": "eval", "iter": 5' in log.read_text()):
            ranks.poll()
            assert not ranks.codes, ranks.errors(0)
            time.sleep(0.02)
        time.sleep(2)  # the sixth iteration takes a hundredth of that
        os.kill(ranks.pids[0], signal.SIGTERM)
        assert ranks.wait(10)[0] == 143, ranks.errors(0)
    finally:
        ranks.end()
    assert listing(tmp_path / "run", "iter_*.pth")[-1] == "iter_000006.pth"
    run(tiny_config, tmp_path / "run", *settings, resume=True)
    assert records(tmp_path / "run") == records(tmp_path / "whole")
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "run")) == []


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_second_interrupt_ends_a_rank_that_waits_for_another(tiny_config: Path, tmp_path: Path) -> None:
    """In a collective the main thread runs no Python; the other rank hangs while it gets its data."""
    hang = f"hooks.fault={{'type': '{FaultHook.__name__}', 'what': 'hang', 'where': 'data', 'at': 5}}"
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "runtime.dist_timeout=40", hang]
    ranks = start(2, tmp_path, arguments, FAULT_MARK=str(tmp_path / "mark"))
    try:
        while not (tmp_path / "mark").exists():
            ranks.poll()
            assert not ranks.codes, ranks.errors(0)
            time.sleep(0.02)
        time.sleep(1)
        for _ in range(2):
            os.kill(ranks.pids[0], signal.SIGINT)
            time.sleep(0.5)
        assert ranks.wait(10, but=(1,))[0] == 130  # else it would wait for the timeout
        assert "stopped at once" in ranks.errors(0)
    finally:
        ranks.end()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_stopped_and_continued_run_goes_on(tiny_config: Path, tmp_path: Path) -> None:
    with running(2, tiny_config, tmp_path, "runtime.dist_timeout=20") as ranks:
        os.kill(ranks.pids[1], signal.SIGSTOP)
        time.sleep(4)
        os.kill(ranks.pids[1], signal.SIGCONT)
        time.sleep(1)
        os.kill(ranks.pids[0], signal.SIGUSR1)
        assert set(ranks.wait(30).values()) == {138}
