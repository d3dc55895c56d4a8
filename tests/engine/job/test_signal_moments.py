"""Each signal at each kind of moment of a run: it ends within seconds, saved, with its code, and resumes exactly."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.engine.evaluate import Evaluation
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.hooks import checkpoint as saving
from srtoolbox.engine.loop import Runner
from srtoolbox.engine.stop import EXIT_CODES
from srtoolbox.registry import HOOKS
from tests.engine.ranks import Ranks, start
from tests.engine.runs import differing, final_state, listing, records
from tests.engine.test_faulty_ranks import FaultHook

AT = 10


@HOOKS.register
class KillMomentHook(Hook):
    """Sends this process `signum` once, at iteration `AT`, in the middle of what `where` names; on rank `rank`."""

    phase = Phase.UPDATE

    def __init__(self, where: str, signum: int, rank: int, mark: str) -> None:
        self.where, self.signum, self.mark = where, signum, Path(mark)
        self.mine = int(os.environ.get("RANK", "0")) == rank
        self.runner: Runner | None = None

    def send(self, *, at: int = AT) -> None:
        if self.mine and self.runner.iter == at and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), self.signum)

    def before_train(self, runner: Runner) -> None:
        self.runner, self.save = runner, saving.save_checkpoint
        match self.where:
            case "begin":
                self.send(at=0)
            case "data":
                runner.batches = _Slow(runner.batches, self)
            case "train":
                parameter = next(runner.networks["generator"].parameters())
                parameter.register_hook(lambda gradient: self.send())
            case "save":
                saving.save_checkpoint = self._save
            case "evaluate":
                runner.hooks["evaluate"].metrics["psnr"] = _Sending(runner.hooks["evaluate"].metrics["psnr"], self)

    def _save(self, path: Path, state: dict) -> None:
        if path.stem.startswith("iter_"):
            self.send()
        self.save(path, state)

    def after_eval(self, runner: Runner, evaluation: Evaluation) -> None:
        if self.where == "after an evaluation":
            self.send()

    def after_train(self, runner: Runner, error: BaseException | None = None) -> None:
        saving.save_checkpoint = self.save


class _Slow:
    """Batches of which one is long in coming."""

    def __init__(self, batches: object, hook: KillMomentHook) -> None:
        self._batches, self._hook = batches, hook

    def __next__(self) -> dict[str, torch.Tensor]:
        if self._hook.runner.iter == AT and not self._hook.mark.exists():
            self._hook.send()
            time.sleep(0.5)
        return next(self._batches)

    def close(self) -> None:
        self._batches.close()


class _Sending:
    """A metric that sends the signal."""

    def __init__(self, metric: object, hook: KillMomentHook) -> None:
        self._metric, self._hook, self.protocol = metric, hook, metric.protocol

    def __call__(self, *images: torch.Tensor) -> float:
        self._hook.send()
        return self._metric(*images)


MOMENTS = ("begin", "data", "train", "save", "evaluate", "after an evaluation")
MATRIX = list(itertools.product(EXIT_CODES, MOMENTS, (1, 2), (0, 2)))
FAST = {
    (signum, moment, 1, 2 if moment == "data" else 0)
    for number, signum in enumerate(EXIT_CODES)
    for moment in (MOMENTS if number == 0 else MOMENTS[2 * number : 2 * number + 1])
}


def name(case: tuple[int, str, int, int]) -> str:
    signum, moment, world, workers = case
    return f"{signal.Signals(signum).name}-{moment.replace(' ', '-')}-{world}-ranks-{workers}-workers"


def launch(world: int, folder: Path, arguments: list[str]) -> Ranks:
    ranks = start(world, folder, arguments)
    try:
        ranks.wait(60)
    finally:
        ranks.end()
    return ranks


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=name(case), marks=[pytest.mark.slow] * (case not in FAST)) for case in MATRIX]
)
def test_a_signal_at_any_moment(case: tuple[int, str, int, int], tiny_config: Path, tmp_path: Path) -> None:
    signum, moment, world, workers = case
    settings = [f"data.train.workers={workers}", f"data.train.batch_size={4 // world}"]
    arguments = ["train", str(tiny_config), *settings, "--work-dir"]
    mark = tmp_path / "mark"
    rank = 0 if moment == "save" else world - 1  # which alone writes
    where = {"type": "KillMomentHook", "where": moment, "signum": int(signum), "rank": rank, "mark": str(mark)}

    def run(folder: str, *more: str) -> list[int]:
        command = [*arguments, str(tmp_path / folder), *more]
        if world == 1:
            return [main(command)]
        return list(launch(world, tmp_path / f"ranks_{folder}", command).codes.values())

    assert run("whole") == [0] * world
    assert run("parts", f"hooks.kill={where}") == [EXIT_CODES[signum]] * world
    assert mark.exists()
    reached = int(max(listing(tmp_path / "parts", "iter_*.pth"))[5:11])
    # the iteration at hand; with several ranks the next one, as they tell each other while they compute
    assert reached == 1 if moment == "begin" else AT <= reached <= AT + world
    assert run("parts", "--resume") == [0] * world
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    assert records(tmp_path / "whole") == records(tmp_path / "parts")


@pytest.mark.parametrize(
    "signum",
    [pytest.param(signum, marks=[pytest.mark.slow] * (number > 0)) for number, signum in enumerate(EXIT_CODES)],
)
def test_a_signal_before_there_is_anything_to_save(signum: int, tiny_config: Path, tmp_path: Path) -> None:
    """While a run is being built a signal ends it as it ends any process; a resume then begins at 0."""
    building = f"hooks.fault={{'type': '{FaultHook.__name__}', 'what': 'hang', 'where': 'init', 'rank': 0}}"
    command = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--resume"]
    ranks = start(1, tmp_path / "ranks", [*command, building])
    try:
        time.sleep(2.5)
        os.kill(ranks.pids[0], signum)
        assert ranks.wait(60)[0] in (EXIT_CODES[signum], -signum)
    finally:
        ranks.end()
    assert not (tmp_path / "run").exists()
    assert main([*command, "max_iters=3"]) == 0
