"""`train.py` as a user runs it: a real process, real signals, a used work dir, fine-tuning, a plugin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from srtoolbox.cli import main
from tests import processes
from tests.engine.runs import listing, snapshot

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


class Done(NamedTuple):
    """What a command ended with and what it printed to standard error."""

    returncode: int
    stderr: str


@pytest.fixture
def train(capsys: pytest.CaptureFixture) -> Callable[..., Done]:
    """Runs the command in this process: starting Python and PyTorch takes longer than these trainings."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = main(["train", *map(str, arguments)])
        return Done(code, capsys.readouterr().err)

    return run


@pytest.mark.parametrize(
    ("signum", "code", "workers"),
    [(signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 2), (signal.SIGUSR1, 138, 0)],
    ids=["SIGTERM-group", "SIGINT-group", "SIGUSR1"],
)
def test_a_signal_saves_and_exits_with_its_code(
    signum: int, code: int, workers: int, tiny_config: Path, tmp_path: Path
) -> None:
    """With workers the signal goes to the whole process group, as Ctrl-C and job schedulers send it."""
    work_dir = tmp_path / "run"
    options = ["--work-dir", str(work_dir), "max_iters=1000000", f"data.train.workers={workers}"]
    if signum == signal.SIGTERM:
        command = [sys.executable, "-m", "srtoolbox", "train", str(tiny_config), *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENV, start_new_session=True)
    else:
        process = processes.start("train", tiny_config, *options, own_group=True)
    deadline = time.monotonic() + 120
    while not (work_dir / "scores.jsonl").exists() or not (work_dir / "scores.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    if workers:
        os.killpg(process.pid, signum)
    else:
        os.kill(process.pid, signum)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == code, errors
    assert "--resume continues" in errors and "Traceback" not in errors
    newest = max((work_dir / "checkpoints").glob("iter_*.pth"))
    assert newest.with_suffix(".json").exists()
    reached = int(newest.stem.removeprefix("iter_"))
    resume = ["train", str(tiny_config), "--work-dir", str(work_dir), "--resume", f"max_iters={reached + 3}"]
    assert main(resume) == 0
    assert f"iterations from {reached}" in (work_dir / "train.log").read_text()
    assert (work_dir / f"checkpoints/iter_{reached + 3:06d}.pth").exists()


def test_a_signal_without_saving_says_so(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    kill = ["hooks.kill.type=KillHook", "hooks.kill.at=3"]
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), "hooks.checkpoint=None", *kill]) == 143
    errors = capsys.readouterr().err
    assert "nothing is saved" in errors and "--resume continues" not in errors
    assert listing(tmp_path, "*.pth") == []


FAULTS = {
    "training set": "data.train.dataset.gt=nowhere",
    "validation set": "data.val.datasets.photos.channels=1",
    "weights": "load_from=nowhere.pth",
    "device": "runtime.device=cuda:77",
    "typo": "model.generator.chanels=[8]",
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_overwrite_deletes_nothing_unless_the_new_run_can_start(
    change: str, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*arguments, "max_iters=5"]) == 0
    before = snapshot(tmp_path / "run")
    capsys.readouterr()
    assert main([*arguments, "--overwrite", change]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert snapshot(tmp_path / "run") == before


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_a_failed_start_does_not_use_the_work_dir(change: str, tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*arguments, change]) == 2
    assert not (tmp_path / "run").exists()
    assert main([*arguments, "max_iters=3"]) == 0


@pytest.mark.parametrize("option", [["--resume"], ["--resume-from", "run/checkpoints/iter_000005.pth"]])
def test_overwrite_and_resume_exclude_each_other(
    option: list[str], tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", str(tiny_config), "--work-dir", "run"]
    assert main([*arguments, "max_iters=5"]) == 0
    before = snapshot(tmp_path / "run")
    assert main([*arguments, "--overwrite", *option]) == 2
    assert "choose one" in capsys.readouterr().err
    assert snapshot(tmp_path / "run") == before


def test_a_used_work_dir_is_refused_then_resumed_then_overwritten(
    train: Callable[..., Done], tiny_config: Path, tmp_path: Path
) -> None:
    work_dir = tmp_path / "run"
    assert train(tiny_config, "--work-dir", work_dir).returncode == 0
    refused = processes.command("train", tiny_config, "--work-dir", work_dir)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "iteration 20" in refused.stderr and "--resume" in refused.stderr and "--overwrite" in refused.stderr
    resumed = train("--resume", tiny_config, "max_iters=24", "--work-dir", work_dir)
    assert resumed.returncode == 0, resumed.stderr
    assert (work_dir / "checkpoints/iter_000024.pth").exists()
    (work_dir / "mine.txt").write_text("kept")
    (work_dir / "faults/iter_000009").mkdir(parents=True)
    again = train(tiny_config, "--work-dir", work_dir, "--overwrite", "max_iters=5")
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in (work_dir / "checkpoints").glob("iter_*.pth")) == ["iter_000005.pth"]
    assert (work_dir / "mine.txt").read_text() == "kept" and not (work_dir / "faults").exists()


def test_the_saved_config_trains_the_same_run(tiny_config: Path, tmp_path: Path) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "a"), "max_iters=6"]) == 0
    assert main(["train", str(tmp_path / "a/config.py"), "--work-dir", str(tmp_path / "b")]) == 0
    lines = [
        [json.loads(line) for line in (tmp_path / name / "scores.jsonl").read_text().splitlines()] for name in "ab"
    ]
    assert [line.get("terms") for line in lines[0]] == [line.get("terms") for line in lines[1]]


def test_load_from_says_what_it_loaded(train: Callable[..., Done], tiny_config: Path, tmp_path: Path) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "a"), "max_iters=5"]) == 0
    start = tmp_path / "a/checkpoints/iter_000005.pth"
    wider = ["model.generator.channels=[8, 6]", "max_iters=5", "--load-from", str(start)]
    done = train(tiny_config, "--work-dir", tmp_path / "b", *wider)
    assert done.returncode == 0, done.stderr
    assert "loaded 3 of 6 tensors" in done.stderr and "of another shape" in done.stderr


def test_a_plugin_loss_written_from_the_docs_trains(
    train: Callable[..., Done], tiny_config: Path, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "docs/add_a_loss.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "edge_loss.py").write_text(code)
    config = tmp_path / "edge.py"
    config.write_text(
        "_base_ = ['tiny.py']\ncustom_imports = ['./edge_loss.py']\n"
        "model = dict(losses=dict(edge=dict(type='EdgeLoss', weight=0.1)))\n"
    )
    done = train(config, "--work-dir", tmp_path / "edge")
    assert done.returncode == 0, done.stderr
    first = json.loads((tmp_path / "edge/scores.jsonl").read_text().splitlines()[0])
    assert first["terms"]["edge"] > 0
    done = train(
        tiny_config,
        "--plugin",
        tmp_path / "edge_loss.py",
        "--work-dir",
        tmp_path / "cli",
        "model.losses.e.type=EdgeLoss",
    )
    assert done.returncode == 0, done.stderr


def test_faults_come_all_at_once_before_anything_runs(
    train: Callable[..., Done], tiny_config: Path, tmp_path: Path
) -> None:
    config = tmp_path / "typos.py"
    config.write_text(
        "_base_ = ['tiny.py']\nmax_iter = 5\nmodel = dict(losses=dict(pixel=dict(type='L1Los')))\n"
        "hooks = dict(checkpoint=dict(keepp=3))\n"
    )
    done = train(config, "--work-dir", tmp_path / "run")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for fault in ("typos.py:2", "max_iters", "typos.py:3", "'L1Loss'", "typos.py:4", "'keep_last'"):
        assert fault in done.stderr
    assert not (tmp_path / "run").exists()
