"""Real sweeps, as commands: stopped, killed and crashed runs, and what comes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import srtoolbox
from srtoolbox.apps.comparison import ComparedRun
from tests.conftest import TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a dozen processes

TROUBLE = """
import os, signal
from srtoolbox.engine.hooks.base import Hook
from srtoolbox.registry import HOOKS

@HOOKS.register
class Trouble(Hook):
    def __init__(self, kind="calm"):
        self.kind = kind

    def after_iter(self, run):
        mark = run.work_dir / "once"
        if self.kind == "calm" or run.iter != 12 or mark.exists():
            return
        mark.touch()
        if self.kind == "crash":
            raise RuntimeError("the cable came loose")
        os.kill(os.getppid(), signal.SIGTERM if self.kind == "stop" else signal.SIGKILL)
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path, photo_folder: Path) -> Path:
    (tmp_path / "trouble.py").write_text(TROUBLE)
    more = "hooks['trouble'] = dict(type='Trouble')\ncustom_imports = ['trouble.py']\n"
    (tmp_path / "tiny.py").write_text(TINY.format(folder=str(photo_folder)) + more)
    return tmp_path


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "srtoolbox", "sweep", "tiny.py", "--work-dir", "runs", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def states(folder: Path) -> dict[str, ComparedRun]:
    return {run.work_dir.name: run for run in srtoolbox.compare_runs([folder / "runs"])}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_stopped_killed_and_crashed_runs_go_on_to_the_bit(folder: Path) -> None:
    texts = ("hooks.trouble.kind=[stop,kill,crash,calm]",)
    stopped = sweep(folder, *texts)
    assert stopped.returncode == 143, stopped.stdout + stopped.stderr
    assert "stopped by SIGTERM in run kind=stop" in stopped.stdout and "the state is saved" in (
        folder / "runs/kind=stop/output.log"
    ).read_text(encoding="utf-8")
    assert states(folder)["kind=stop"].state == "unfinished: 12 of 20"
    killed = sweep(folder, *texts)
    assert killed.returncode == -9 and "kind=stop: goes on from about iteration" in killed.stdout
    crashed = sweep(folder, *texts)
    assert (
        crashed.returncode == 1 and "kind=crash: failed (exit code 1): RuntimeError: the cable came" in crashed.stdout
    )
    found = states(folder)
    assert found["kind=crash"].state.startswith("failed at") and found["kind=calm"].iteration == 20
    assert sweep(folder, *texts).returncode == 1
    assert sweep(folder, *texts, "--retry").returncode == 0
    weights = {
        name: torch.load(folder / f"runs/{name}/checkpoints/iter_000020.pth")["networks"]["generator"]
        for name in ("kind=calm", "kind=stop", "kind=kill", "kind=crash")
    }
    for name, state in weights.items():
        assert all(torch.equal(state[key], weights["kind=calm"][key]) for key in state), name


def test_what_diverges_is_said_and_the_others_go_on(folder: Path) -> None:
    texts = ("optim.generator.optimizer.lr=[1e4,1e-2]", "hooks.logger.interval=1")
    result = sweep(folder, *texts, "--csv", "runs.csv", "-o", "runs.html")
    assert "lr=10000.0: diverged at iteration 20" in result.stdout and "lr=0.01: learned" in result.stdout
    assert next(iter(states(folder))) == "lr=0.01" and states(folder)["lr=10000.0"].state == "diverged"
    assert result.returncode == 0 and (folder / "runs.csv").exists() and (folder / "runs.html").exists()
    again = sweep(folder, *texts)
    assert "lr=10000.0: left alone: diverged at iteration 20" in again.stdout
