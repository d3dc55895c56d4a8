"""How a run ends is told as it was, whatever fails while it ends; an unfinished one never as finished."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.registry import HOOKS
from tests.engine.runs import build, listing

ENDED: list[str] = []


@HOOKS.register
class FailingEndHook(Hook):
    """Fails when the run has ended."""

    phase = Phase.UPDATE

    def after_train(self, runner: Runner, error: BaseException | None = None) -> None:
        raise OSError("failed at the end")


@HOOKS.register
class EndedHook(Hook):
    """Notes that it was told of the end, and closes the loader visibly."""

    def before_train(self, runner: Runner) -> None:
        ENDED.clear()
        close = runner.batches.close
        runner.batches.close = lambda: (ENDED.append("closed"), close())

    def after_train(self, runner: Runner, error: BaseException | None = None) -> None:
        ENDED.append(type(error).__name__)


@HOOKS.register
class ExitHook(Hook):
    """Leaves the process, as a component may by mistake."""

    def __init__(self, at: int, code: int = 0) -> None:
        self.at, self.code = at, code

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at:
            sys.exit(self.code)


FAILING = ["hooks.failing.type=FailingEndHook", "hooks.ended.type=EndedHook"]


def test_a_hook_that_fails_at_the_end_does_not_hide_the_signal(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stop = ["hooks.kill.type=KillHook", "hooks.kill.at=7"]
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), *FAILING, *stop]) == 143
    assert ENDED == ["Stop", "closed"]
    assert "failing" in (errors := capsys.readouterr().err) and "failed at the end" in errors
    assert listing(tmp_path, "iter_*.pth")[-1] == "iter_000007.pth"


def test_a_hook_that_fails_at_the_end_of_a_good_run_is_its_fault(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="failed at the end"):
        build(tiny_config, tmp_path, *FAILING).train()
    assert ENDED == ["NoneType", "closed"]


@pytest.mark.parametrize("code", [0, 3])
def test_a_component_that_exits_does_not_end_the_run_well(
    code: int, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    leaving = ["hooks.exit.type=ExitHook", "hooks.exit.at=7", f"hooks.exit.code={code}", "hooks.ended.type=EndedHook"]
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path), *leaving]) == 2
    assert f"sys.exit({code})" in capsys.readouterr().err
    assert ENDED == ["SystemExit", "closed"]
