"""Two real processes (gloo) on half batches equal one on the whole batch; evaluation counts every picture once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.runs import run


def torchrun(*arguments: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "srtoolbox", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=env)
    assert done.returncode == 0, done.stderr[-3000:]


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / "checkpoints/iter_000020.pth", weights_only=True)["networks"]["generator"]


@pytest.mark.timeout(280)
@pytest.mark.parametrize("extra", [(), ("accumulate=2",)], ids=["plain", "accumulate"])
def test_two_processes_equal_one(extra: tuple[str, ...], tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "one", *extra)
    torchrun("train", str(tiny_config), "--work-dir", str(tmp_path / "two"), "data.train.batch_size=2", *extra)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-6, atol=1e-6)
    lines = {
        name: [json.loads(line) for line in (tmp_path / name / "scores.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    }
    assert [(line["kind"], line["iter"]) for line in lines["one"]] == [
        (line["kind"], line["iter"]) for line in lines["two"]
    ]


@pytest.mark.timeout(280)
def test_evaluation_counts_every_picture_once(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run")
    checkpoint = str(tmp_path / "run/checkpoints/iter_000020.pth")
    torchrun("test", str(tiny_config), checkpoint, "--json", str(tmp_path / "two.json"))
    one = subprocess.run(
        [sys.executable, "-m", "srtoolbox", "test", str(tiny_config), checkpoint, "--json", str(tmp_path / "one.json")],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert one.returncode == 0, one.stderr
    results = [json.loads((tmp_path / f"{name}.json").read_text())["iter_000020"]["photos"] for name in ("one", "two")]
    for result in results:
        result.pop("seconds")
        for scores in result["images"].values():
            scores.pop("seconds")
    assert len(results[0]["images"]) == 6
    assert results[0] == results[1]
