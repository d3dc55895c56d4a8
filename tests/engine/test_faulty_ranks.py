"""A rank that dies, hangs or fails ends all ranks in time, and is named with what it did (gloo, forked ranks)."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srtoolbox.engine.evaluate import Evaluation
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.registry import HOOKS
from tests.engine.ranks import Ranks, start

TIMEOUT = 4.0
"""Seconds a rank may hang, in these runs."""


class Bug(Exception):  # noqa: N818 - an exception of somebody's component
    """What FaultHook raises."""


@HOOKS.register
class FaultHook(Hook):
    """Lets rank `rank` die, stop, fail or hang at `where`, from iteration `at` on."""

    def __init__(self, what: str, where: str, rank: int = 1, at: int = 5) -> None:
        self.what, self.where, self.rank, self.at = what, where, rank, at
        self.phase = {"save": Phase.SAVE, "log": Phase.LOG}.get(where, Phase.UPDATE)

    def set_up(self, runner: Runner) -> None:
        if self.where == "init":
            self.act(runner)

    def before_train(self, runner: Runner) -> None:
        if self.where == "data":
            batches, hook = runner.batches, self

            class Batches:
                def __next__(self):
                    if runner.iter == hook.at:
                        hook.act(runner)
                    return next(batches)

                def close(self) -> None:
                    batches.close()

            runner.batches = Batches()
        if self.where == "train":
            next(runner.networks["generator"].parameters()).register_hook(
                lambda gradient: self.act(runner) if runner.iter == self.at else None
            )

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at and self.where in ("save", "log"):
            with runner.pausing(self.where):
                self.act(runner)

    def after_eval(self, runner: Runner, evaluation: Evaluation) -> None:
        if self.where == "evaluate":
            self.act(runner)

    def after_train(self, runner: Runner, error: BaseException | None = None) -> None:
        if self.where == "exit" and error is None:
            self.act(runner)

    def act(self, runner: Runner) -> None:
        """Do it, on the chosen rank."""
        if int(os.environ["RANK"]) != self.rank:
            return
        time.sleep(1)  # what a rank did last is known to within half a second
        if "FAULT_MARK" in os.environ:
            Path(os.environ["FAULT_MARK"]).touch()
        match self.what:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "raise":
                raise Bug("found a bug")
            case "exit":
                sys.exit(0)
            case "hang":
                time.sleep(1000)
            case _:
                time.sleep(float(self.what))


@contextmanager
def training(world: int, config: Path, folder: Path, *overrides: str) -> Iterator[Ranks]:
    ranks = start(
        world,
        folder / "ranks",
        ["train", str(config), "--work-dir", str(folder / "run"), f"runtime.dist_timeout={TIMEOUT}", *overrides],
        FAULT_MARK=str(folder / "mark"),
    )
    try:
        yield ranks
    finally:
        ranks.end()


def fault(what: str, where: str, rank: int) -> list[str]:
    return [f"hooks.fault={{'type': 'FaultHook', 'what': '{what}', 'where': '{where}', 'rank': {rank}}}"]


PHASES = ("init", "data", "train", "save", "evaluate", "exit")
CASES = [
    *[(2, what, where, 1) for what in ("kill", "raise") for where in PHASES],
    *[(2, "exit", where, 1) for where in ("train", "save")],
    *[(2, "stop", where, 1) for where in ("train", "evaluate")],
    *[(2, "hang", where, 1) for where in ("data", "train", "init")],
    (2, "kill", "train", 0),
    (2, "raise", "save", 0),
    (2, "hang", "data", 0),
    (3, "kill", "train", 1),
    (3, "stop", "data", 2),
]


FAST = {
    (2, "exit", "train", 1),
    (2, "kill", "train", 0),
}
"""What hangs is seen by a clock of its own in tests/dist/test_heartbeat.py."""


def marked(case: tuple) -> object:
    return pytest.param(*case, id="-".join(map(str, case)), marks=[pytest.mark.slow] * (case not in FAST))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("world", "what", "where", "rank"), [marked(case) for case in CASES])
def test_a_faulty_rank_ends_all(
    world: int, what: str, where: str, rank: int, tiny_config: Path, tmp_path: Path
) -> None:
    with training(world, tiny_config, tmp_path, *fault(what, where, rank)) as ranks:
        codes = ranks.wait(80)  # starting, on a busy machine, included
        assert (tmp_path / "mark").exists()
    assert all(code != 0 for code in codes.values()), codes
    told = [ranks.errors(other) for other in range(world) if other != rank]
    phase = {"init": "start", "exit": "log"}.get(where, where)
    for errors in told:
        store_gone = rank == 0 and "rank 0" in errors  # it held the store: what it did last cannot be read any more
        assert store_gone or re.search(rf"ranks? (0, )?{rank} .*in phase '{phase}'", errors), errors
    if what == "raise":
        assert "found a bug" in ranks.errors(rank) and all("found a bug" in errors for errors in told)
