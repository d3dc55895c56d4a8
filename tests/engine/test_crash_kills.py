"""Runs killed with SIGKILL at drawn moments end like runs nobody killed: the small part of `tools/stress.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/stress.py"


def stress(*arguments: str) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return json.loads(done.stdout)


def check(result: dict, kills: int, inside_save: int) -> None:
    """All runs ended alike, and so many kills at least fell into a save (how many do depends on the machine's load)."""
    assert (result["kills"], result["identical"], result["failures"]) == (kills, result["runs"], [])
    assert result["inside_save"] >= inside_save


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_dozen_kills() -> None:
    check(stress("--kills", "12", "--seed", "5"), 12, inside_save=1)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("per_run", ["1", "5"])
def test_two_hundred_kills(per_run: str) -> None:
    check(stress("--kills", "200", "--seed", "1", "--kills-per-run", per_run), 200, inside_save=60)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_run_that_differs_is_told_with_how_to_repeat_it(tmp_path: Path) -> None:
    """The comparison bites: here a resumed run does not take back its optimizers."""
    script = f"""
import runpy, sys
sys.path.insert(0, {str(TOOL.parents[1])!r})
from srtoolbox.optim.wrapper import OptimWrapper
OptimWrapper.load_state_dict = lambda self, state, **rest: None
sys.argv = ["stress.py", "--kills", "3", "--seed", "5"]
runpy.run_path({str(TOOL)!r}, run_name="__main__")
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 1, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["identical"] < result["runs"]
    assert result["failures"][0]["replay"].startswith("python tools/stress.py --seed 5 --kills-per-run 1 --trial ")
