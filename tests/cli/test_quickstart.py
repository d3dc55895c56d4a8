"""The quick start, shortened, as a user runs it in an empty folder: every file it promises, twice in a row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.engine.runs import snapshot
from tests.processes import command

PROMISED = [
    "checkpoints/best_photos_psnr.json",
    "checkpoints/best_photos_psnr.pth",
    "checkpoints/iter_000030.json",
    "checkpoints/iter_000030.pth",
    "chelsea_sr.png",
    "config.py",
    "curves.png",
    "report/index.html",
    "report/scores.json",
    "scores.json",
    "scores.jsonl",
    "sheet_photos_astronaut.png",
    "sheet_photos_chelsea.png",
    "train.log",
    "training.gif",
]


def typed(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "srtoolbox", "quickstart", "max_iters=30"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)


def output(done: subprocess.CompletedProcess) -> str:
    """What it printed, of a quick start without a fault."""
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def test_quickstart_makes_what_it_promises_and_keeps_an_earlier_one(tmp_path: Path) -> None:
    printed = output(typed(tmp_path))
    assert [f"{stage}/6" in printed for stage in range(1, 7)] == [True] * 6
    work_dir = tmp_path / "work_dirs/quickstart"
    first = snapshot(work_dir)
    assert [name for name in PROMISED if not first.get(name)] == []
    scores = json.loads(first["scores.json"])
    for side in ("network", "bicubic"):
        assert set(scores[side]) >= {"photos/psnr", "photos/ssim"}
    assert 25 < scores["bicubic"]["photos/psnr"] < 40
    lines = [json.loads(line) for line in first["scores.jsonl"].splitlines()]
    evaluated = next(line["scores"]["photos/psnr"] for line in lines if line["kind"] == "eval")
    assert abs(scores["network"]["photos/psnr"] - evaluated) < 1e-3
    for name in (name for name in PROMISED if name.endswith(".png")):
        assert first[name].startswith(b"\x89PNG")

    assert "quickstart-1" in output(command("quickstart", "max_iters=30", cwd=tmp_path))
    assert snapshot(tmp_path / "work_dirs/quickstart-1") == first
    assert [name for name in PROMISED if name not in snapshot(work_dir)] == []
