"""A launcher that starts a job again repeats its command: what the job began it goes on with, nothing else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srtoolbox import system
from srtoolbox.cli import main
from srtoolbox.engine.job import workdir
from srtoolbox.engine.loop import Runner
from tests.engine.runs import differing, final_state, listing, load, records, snapshot

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
TOOLS = Path(__file__).parents[3] / "tools"


class Died(BaseException):
    """What a kill looks like to this process."""


def dies(*_: object, **__: object) -> None:
    raise Died


@pytest.fixture
def command(tiny_config: Path, tmp_path: Path) -> list[str]:
    """A training without its work dir; that of an earlier job, of 10 iterations, is in tmp_path / 'earlier'."""
    command = ["train", str(tiny_config)]
    assert main([*command, "--work-dir", str(tmp_path / "earlier"), "max_iters=10"]) == 0
    return command


@pytest.fixture(params=["torchrun", "slurm"])
def launcher(request: pytest.FixtureRequest, command: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Starts its job after `command`'s; `start_again` makes this process a second attempt."""
    launched = time.time()
    monkeypatch.setattr(workdir, "launched_at", lambda: launched)
    if request.param == "slurm":
        monkeypatch.setenv("SLURM_JOB_ID", "7")
    return request.param


def start_again(launcher: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    name = {"torchrun": "TORCHELASTIC_RESTART_COUNT", "slurm": "SLURM_RESTART_COUNT"}[launcher]
    with monkeypatch.context() as patch:
        patch.setenv(name, "1")
        return main(arguments)


def first_attempt(died: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends before it writes anything, in its first iteration, or after a save."""
    if died == "after a save":
        assert main([*arguments, "max_iters=12"]) == 0
        return
    with monkeypatch.context() as patch, contextlib.suppress(Died):
        patch.setattr(Runner, {"at the start": "__init__", "before a save": "begin_step"}[died], dies)
        main(arguments)


DIED = ["at the start", "before a save", "after a save"]


def test_both_flags_take_the_newest_and_else_the_named_one(command: list[str], tmp_path: Path) -> None:
    named = ["--resume-from", str(tmp_path / "earlier/checkpoints/iter_000005.pth")]
    both = [*command, "--work-dir", str(tmp_path / "run"), *named, "--resume"]
    assert main([*both, "max_iters=8"]) == 0
    assert listing(tmp_path / "run", "iter_*.pth") == ["iter_000008.pth"]
    assert main(both) == 0
    assert listing(tmp_path / "run", "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (8, 10, 15, 20)]
    assert not (tmp_path / "run/checkpoints/superseded").exists()


def test_resume_knows_where_a_run_without_a_save_began(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ["--resume-from", str(tmp_path / "earlier/checkpoints/iter_000005.pth")]
    arguments = [*command, "--work-dir", str(tmp_path / "run")]
    first_attempt("before a save", [*arguments, *named], monkeypatch)
    assert main([*arguments, "--resume"]) == 0
    assert listing(tmp_path / "run", "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (10, 15, 20)]
    assert main([*arguments, "--overwrite", "max_iters=1"]) == 0
    (tmp_path / "run/checkpoints/iter_000001.pth").unlink()
    (tmp_path / "run/checkpoints/iter_000001.json").unlink()
    assert main([*arguments, "--resume"]) == 0  # this one began at 0
    assert listing(tmp_path / "run", "iter_*.pth") == [f"iter_{i:06d}.pth" for i in (5, 10, 15, 20)]


@pytest.mark.parametrize("died", DIED)
@pytest.mark.parametrize("place", ["earlier", "other"])
def test_resume_from_holds_until_something_is_saved(
    died: str, place: str, launcher: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back within a work dir, or on into another one."""
    work_dir = tmp_path / place
    named = ["--resume-from", str(tmp_path / "earlier/checkpoints/iter_000005.pth")]
    arguments = [*command, "--work-dir", str(work_dir), *named]
    first_attempt(died, arguments, monkeypatch)
    assert start_again(launcher, arguments, monkeypatch) == 0
    within = [5] if place == "earlier" else []
    saved = [12] if died == "after a save" else []
    expected = [f"iter_{i:06d}.pth" for i in sorted([*within, 10, *saved, 15, 20])]
    assert listing(work_dir, "iter_*.pth") == expected
    assert listing(work_dir, "superseded/iter_*.pth") == ["iter_000010.pth"] * len(within)
    assert [line["iter"] for line in records(work_dir) if line["kind"] == "eval"][-3:] == [10, 15, 20]


@pytest.mark.parametrize("died", DIED)
def test_overwrite_holds_until_the_run_has_begun(
    died: str, launcher: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*command, "--work-dir", str(tmp_path / "whole"), "seed=9"]) == 0
    arguments = [*command, "--work-dir", str(tmp_path / "earlier"), "--overwrite", "seed=9"]
    first_attempt(died, arguments, monkeypatch)
    mark = tmp_path / "earlier/checkpoints/iter_000012.json"
    before = mark.stat().st_ino if mark.exists() else None
    assert start_again(launcher, arguments, monkeypatch) == 0
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "earlier")) == []
    assert before == (mark.stat().st_ino if mark.exists() else None), "begun anew"


def test_an_earlier_run_stays_refused(
    launcher: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt of a job is refused a used work dir; so is the second."""
    arguments = [*command, "--work-dir", str(tmp_path / "earlier")]
    before = snapshot(tmp_path / "earlier/checkpoints")
    assert main(arguments) == 2
    assert start_again(launcher, arguments, monkeypatch) == 2
    assert snapshot(tmp_path / "earlier/checkpoints") == before


def test_a_rollback_before_the_first_save_returns_to_the_named_one(command: list[str], tmp_path: Path) -> None:
    from tests.engine.test_skips import GO_BACK, poison

    bad = poison("drawn", [24, 28, 32])  # what iterations 7 to 9 draw
    named = ["--resume-from", str(tmp_path / "earlier/checkpoints/iter_000005.pth")]
    assert main([*command, "--work-dir", str(tmp_path / "run"), *named, bad, *GO_BACK]) == 0
    assert load(tmp_path / "run", "iter_000020")["draws"] == 4 * (20 + 4)


def test_the_launching_script_says_when_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRTOOLBOX_LAUNCHED", "1700000000.5")
    assert workdir.launched_at() == 1700000000.5


def test_when_the_launcher_started() -> None:
    """It is the nearest process above that is not one of torchrun's own, a shell between them being one."""
    tell = f"{sys.executable} -c 'from srtoolbox.engine.job.workdir import launched_at; print(launched_at())'"
    launched = subprocess.Popen(
        ["bash", "-c", f"sleep 1; TORCHELASTIC_RUN_ID=x bash -c \"sleep 1; {tell}; true\"; true"],
        stdout=subprocess.PIPE, text=True, cwd=TOOLS.parent,
    )  # fmt: skip
    expected = system.started_at(launched.pid)  # of the outer shell: the inner one is a second younger
    found = float(launched.communicate(timeout=60)[0])
    assert abs(found - expected) < 0.5


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("option", ["--overwrite", "--resume-from"])
def test_torchrun_starts_again(option: str, command: list[str], tmp_path: Path) -> None:
    """Rank 1 is killed once before the run begins, and once after a save."""
    (tmp_path / "kills.py").write_text(KILLS.format(marks=str(tmp_path)))
    named = [str(tmp_path / "earlier/checkpoints/iter_000005.pth")] if option == "--resume-from" else []
    arguments = [command[1], "2", "--work-dir", str(tmp_path / "earlier"), option, *named, "data.train.batch_size=2"]
    kills = ["--plugin", str(tmp_path / "kills.py"), "hooks.kills.type=KillsHook"]
    done = subprocess.run(
        [str(TOOLS / "dist_train.sh"), *arguments, *kills],
        env={**ENV, "MAX_RESTARTS": "3"}, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.glob("killed_*")} == {"killed_first", "killed_later"}
    assert ("at iteration 10" in done.stderr) and ("at iteration 5" in done.stderr) == bool(named)
    state = load(tmp_path / "earlier", "iter_000020")
    assert state["draws"] == 4 * 20 and len(state["rng"]) == 2


KILLS = """
import os, signal
from pathlib import Path
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.registry import HOOKS

def kill(name):
    mark = Path({marks!r}) / name
    if os.environ["RANK"] == "1" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

@HOOKS.register
class KillsHook(Hook):
    phase = Phase.UPDATE

    def set_up(self, runner):
        kill("killed_first")

    def after_iter(self, runner):
        if runner.iter == 13:
            kill("killed_later")
"""
