"""Resuming far into a run costs what it costs at its beginning; with other processes, other clocks, older versions."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.registry import HOOKS
from srtoolbox.weights.checkpoint import save_checkpoint
from tests.engine.make_golden import write_photos
from tests.engine.ranks import start
from tests.engine.runs import build, differing, final_state, flatten, listing, load, records, run

FAR = 1_000_000
GOLDEN = Path(__file__).parent / "golden"
DROPPED = ("/ema/n_averaged",)
"""What earlier checkpoints hold and nothing needs: the average of the first iteration is a copy, made at once."""


def as_if_far(work_dir: Path, at: int) -> None:
    """The checkpoint of iteration `at` and the log as they would be a million iterations later."""
    state = load(work_dir, f"iter_{at:06d}")
    shutil.rmtree(work_dir / "checkpoints")
    state.update(iter=FAR, draws=4 * FAR)
    schedule = state["optims"]["generator"]["scheduler"]
    schedule["last_epoch"] += FAR - at
    schedule["_schedulers"][1]["last_epoch"] += FAR - at
    save_checkpoint(work_dir / f"checkpoints/iter_{FAR}.pth", state)
    line = {"kind": "train", "lr": {"generator": 1e-3}, "terms": {"pixel": 0.01}, "time": 0.1}
    lines = [json.dumps({"iter": number, **line}) for number in range(100, FAR, 100)]
    (work_dir / "scores.jsonl").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_cost_does_not_depend_on_the_iteration(
    workers: int, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (f"data.train.workers={workers}", "data.val.interval=10000000", "hooks.checkpoint.interval=10000000")
    run(tiny_config, tmp_path, *settings, "max_iters=10")
    as_if_far(tmp_path, 10)
    made, sample = [], GTOnlyDataset.sample
    monkeypatch.setattr(GTOnlyDataset, "sample", lambda self, draw: (made.append(draw.number), sample(self, draw))[1])
    resumed = build(tiny_config, tmp_path, *settings, f"max_iters={FAR + 3}", resume=True)
    resumed.train()
    assert resumed.iter == FAR + 3 and resumed.draws == 4 * (FAR + 3)
    if workers == 0:
        assert made == list(range(4 * FAR, 4 * (FAR + 3)))  # not one image of those before
    else:
        assert len(made) <= 1  # the one that says how large batches are
    assert (
        len(records(tmp_path)) == FAR // 100 - 1 + 3
    )  # the new ones: the iteration resumed at, the evaluation at the end, the end


@pytest.mark.timeout(200)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_processes_draws_the_same_samples(
    before: int, after: int, tiny_config: Path, tmp_path: Path
) -> None:
    """With the same batch over all processes: every sample of the run once, and the weights of the unbroken run."""

    def train(world: int, *more: str) -> str:
        command = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), KEYS.format(tmp_path), *more]
        ranks = start(world, tmp_path / "ranks", [*command, f"data.train.batch_size={4 // world}"])
        try:
            assert set(ranks.wait(90).values()) == {0}, ranks.errors(0)
        finally:
            ranks.end()
        return ranks.errors(0)

    run(tiny_config, tmp_path / "whole")
    train(before, "max_iters=10")
    told = train(after, "--resume")
    assert f"{after} processes after {before}: random states start anew" in told
    drawn = [json.loads(line) for line in (tmp_path / "draws").read_text().splitlines()]
    assert sorted(number for draws in drawn for number in draws) == list(range(80))
    expected, found = (load(tmp_path / name, "iter_000020")["networks"]["generator"] for name in ("whole", "run"))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)


KEYS = "hooks.draws={{'type': 'DrawsHook', 'path': '{}/draws'}}"


@HOOKS.register
class DrawsHook(Hook):
    """Writes down the number of every sample this rank trained on."""

    phase = Phase.UPDATE

    def __init__(self, path: str) -> None:
        self.path = path

    def set_up(self, runner: Runner) -> None:
        prepare = runner.model.prepare

        def told(batch: dict) -> dict:
            if runner.model.training:
                with open(self.path, "a") as file:
                    file.write(json.dumps(batch["draw"].tolist()) + "\n")
            return prepare(batch)

        runner.model.prepare = told


@HOOKS.register
class KillWorkerHook(Hook):
    """Kills one loader worker after iteration `at`."""

    phase = Phase.UPDATE

    def __init__(self, at: int, signum: int) -> None:
        self.at, self.signum = at, signum

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at:
            os.kill(runner.batches._batches._workers[1].pid, self.signum)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGBUS])
def test_a_killed_worker_ends_the_run_which_resumes_exactly(
    signum: int, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(tiny_config, tmp_path / "whole")
    kill = f"hooks.kill={{'type': 'KillWorkerHook', 'at': 7, 'signum': {int(signum)}}}"
    command = ["train", str(tiny_config), "--work-dir", str(tmp_path / "parts"), "data.train.workers=2"]
    assert main([*command, kill, "max_iters=100000", "data.val.interval=100000"]) == 2
    told = capsys.readouterr().err
    assert re.search(rf"data worker died: .*\(pid \d+, {signal.Signals(signum).name}\)", told), told
    assert "Traceback" not in told
    assert main([*command, "--resume"]) == 0
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


def test_a_clock_that_jumps_changes_nothing(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny_config, tmp_path / "whole")
    rng, now = random.Random(1), time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + rng.choice([-3600, 0, 3600]))
        run(tiny_config, tmp_path / "parts", "hooks.logger.interval=1", "max_iters=10")
        lines = [json.loads(line) for line in (tmp_path / "parts/scores.jsonl").read_text().splitlines()]
        assert all(line["eta"] >= 0 and 0 <= line["time"] < 60 for line in lines if "time" in line)
        for number, name in enumerate(listing(tmp_path / "parts")):  # the newest has the oldest time
            os.utime(tmp_path / "parts/checkpoints" / name, (now() - 1000 * number,) * 2)
        assert run(tiny_config, tmp_path / "parts", resume=True).resumed_from.stem == "iter_000010"
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda folder: folder.name)
def test_checkpoints_of_earlier_versions_resume(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    shutil.copytree(folder, tmp_path / "run/checkpoints")
    saved = load(tmp_path / "run", "iter_000007")
    config = json.loads(saved["config"])
    Path("saved.py").write_text("\n".join(f"{key} = {value!r}" for key, value in config.items()))
    resumed = build(Path("saved.py"), tmp_path / "run", "max_iters=9", resume=True)
    assert (resumed.iter, resumed.draws) == (7, 28)
    found = resumed.state_dict()
    for part in ("networks", "optims", "hooks"):  # all that the file holds; a later version may add to it
        expected, taken = flatten(saved[part]), flatten(found[part])
        lost = [key for key, value in expected.items() if taken.get(key) != value and key not in DROPPED]
        assert lost == []
    resumed.train()
    assert resumed.iter == 9 and listing(tmp_path / "run", "iter_*.pth")[-1] == "iter_000009.pth"
