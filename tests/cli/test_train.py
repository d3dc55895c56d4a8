"""`train.py` as a user runs it: a real process, real signals, a used work dir, fine-tuning, a plugin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srtoolbox.cli import main

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def train(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "srtoolbox", "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, timeout=200)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)])
def test_a_signal_saves_and_exits_with_its_code(signum: int, code: int, tiny_config: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "srtoolbox",
        "train",
        str(tiny_config),
        "--work-dir",
        str(work_dir),
        "max_iters=1000000",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENV)
    deadline = time.monotonic() + 120
    while not (work_dir / "scores.jsonl").exists() or not (work_dir / "scores.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "--resume continues" in errors
    newest = max((work_dir / "checkpoints").glob("iter_*.pth"))
    assert newest.with_suffix(".json").exists()
    reached = int(newest.stem.removeprefix("iter_"))
    done = train(tiny_config, "--work-dir", work_dir, "--resume", f"max_iters={reached + 3}")
    assert done.returncode == 0, done.stderr
    assert f"resuming from {newest}" in done.stderr


def test_a_used_work_dir_is_refused_then_resumed_then_overwritten(tiny_config: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    assert train(tiny_config, "--work-dir", work_dir).returncode == 0
    refused = train(tiny_config, "--work-dir", work_dir)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "iteration 20" in refused.stderr and "--resume" in refused.stderr and "--overwrite" in refused.stderr
    resumed = train("--resume", tiny_config, "max_iters=24", "--work-dir", work_dir)
    assert resumed.returncode == 0, resumed.stderr
    assert (work_dir / "checkpoints/iter_000024.pth").exists()
    (work_dir / "mine.txt").write_text("kept")
    again = train(tiny_config, "--work-dir", work_dir, "--overwrite", "max_iters=5")
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in (work_dir / "checkpoints").glob("iter_*.pth")) == ["iter_000005.pth"]
    assert (work_dir / "mine.txt").read_text() == "kept"


def test_the_saved_config_trains_the_same_run(tiny_config: Path, tmp_path: Path) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "a"), "max_iters=6"]) == 0
    assert main(["train", str(tmp_path / "a/config.py"), "--work-dir", str(tmp_path / "b")]) == 0
    lines = [
        [json.loads(line) for line in (tmp_path / name / "scores.jsonl").read_text().splitlines()] for name in "ab"
    ]
    assert [line.get("terms") for line in lines[0]] == [line.get("terms") for line in lines[1]]


def test_load_from_says_what_it_loaded(tiny_config: Path, tmp_path: Path) -> None:
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "a"), "max_iters=5"]) == 0
    start = tmp_path / "a/checkpoints/iter_000005.pth"
    wider = ["model.generator.channels=[8, 6]", "max_iters=5", "--load-from", str(start)]
    done = train(tiny_config, "--work-dir", tmp_path / "b", *wider)
    assert done.returncode == 0, done.stderr
    assert "loaded 3 of 6 tensors" in done.stderr and "of another shape" in done.stderr


def test_a_plugin_loss_written_from_the_docs_trains(tiny_config: Path, tmp_path: Path) -> None:
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


def test_faults_come_all_at_once_before_anything_runs(tiny_config: Path, tmp_path: Path) -> None:
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
