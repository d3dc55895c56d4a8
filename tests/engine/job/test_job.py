"""`srtoolbox.train` is as safe as the command line, says what came of the run, and leaves the process as it was."""

from __future__ import annotations

import copy
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import srtoolbox
from srtoolbox import dist
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.engine.stop import StopSignals
from srtoolbox.errors import ConfigError, RunError, SrtoolboxError
from srtoolbox.logger import LOGGER
from srtoolbox.registry import HOOKS
from tests.engine.ranks import run_on_ranks
from tests.engine.runs import differing, final_state, listing, records, snapshot

SHORT = ("max_iters=6", "data.val.interval=3", "hooks.checkpoint.interval=3")


@HOOKS.register
class CallHook(Hook):
    """Calls what a test has put into `action` before iteration `at`."""

    phase = Phase.UPDATE
    action = staticmethod(lambda: None)

    def __init__(self, at: int = 4) -> None:
        self.at = at

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at:
            type(self).action()


def test_a_seed_acts_where_the_file_assigns_it_as_in_the_command(tiny_config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(f"_base_ = [{str(tiny_config)!r}]\nseed = 1\nmax_iters = 2 + seed\n")
    result = srtoolbox.train(
        own, work_dir=tmp_path / "run", seed=2, device="cpu", overrides=["hooks.checkpoint.interval=2"]
    )
    assert result.iteration == 4


def test_the_same_training_from_python_and_from_the_command_line(tiny_config: Path, tmp_path: Path) -> None:
    config = Config.fromfile(tiny_config, SHORT)
    before = copy.deepcopy(config.to_dict())
    result = srtoolbox.train(config, work_dir=tmp_path / "python", seed=3, device="cpu")
    assert config.to_dict() == before
    arguments = ["train", str(tiny_config), *SHORT, "--seed", "3", "--work-dir", str(tmp_path / "command")]
    assert main(arguments) == 0
    for name in ("python", "command"):
        assert (tmp_path / name / "train.log").read_text()
    assert differing(final_state(tmp_path / "python", 6), final_state(tmp_path / "command", 6)) == []
    configs = [Config.fromfile(tmp_path / name / "config.py").to_dict() for name in ("python", "command")]
    assert {**configs[0], "work_dir": ""} == {**configs[1], "work_dir": ""}
    evaluated = [line["scores"] for line in records(tmp_path / "python") if line["kind"] == "eval"]
    assert {key: result.scores[key] for key in evaluated[-1]} == evaluated[-1]
    assert result.ending == "learned too little" and result.iteration == 6
    assert result.best == tmp_path / "python/checkpoints/best_photos_psnr.pth" and result.best.exists()
    assert result.last == tmp_path / "python/checkpoints/iter_000006.pth"
    assert not list((tmp_path / "python").glob("config_until_*"))


def test_twice_by_mistake_loses_nothing(tiny_config: Path, tmp_path: Path) -> None:
    config = Config.fromfile(tiny_config, SHORT)
    srtoolbox.train(config, work_dir=tmp_path / "run")
    before = snapshot(tmp_path / "run")
    config["model"]["generator"]["channels"] = [6, 4]
    for start in (
        lambda: srtoolbox.train(config, work_dir=tmp_path / "run"),
        lambda: Runner(config, tmp_path / "run").train(),
    ):
        with pytest.raises(RunError, match=r"reached iteration 6.*--resume.*resume=True.*overwrite=True"):
            start()
        after = snapshot(tmp_path / "run")
        assert before.pop("run.json", True) and after.pop("run.json") and after == before
    longer = Config.fromfile(tiny_config, [*SHORT, "max_iters=9"])
    assert srtoolbox.train(longer, work_dir=tmp_path / "run", resume=True).iteration == 9
    assert srtoolbox.train(longer, work_dir=tmp_path / "run", resume=True).ending == "nothing left to do"
    assert "iter_000003.pth" in listing(tmp_path / "run")
    srtoolbox.train(config, work_dir=tmp_path / "run", overwrite=True)
    assert listing(tmp_path / "run", "iter_*.pth") == ["iter_000003.pth", "iter_000006.pth"]


def test_a_run_that_saved_nothing_is_not_said_to_go_on(tiny_config: Path, tmp_path: Path) -> None:
    config = Config.fromfile(tiny_config, ["max_iters=2", "hooks.checkpoint=None"])
    srtoolbox.train(config, work_dir=tmp_path / "run")
    with pytest.raises(RunError, match=r"a run that saved no checkpoint.*--resume trains from iteration 0") as refusal:
        srtoolbox.train(config, work_dir=tmp_path / "run")
    assert "ontinue" not in str(refusal.value) and "--overwrite" in str(refusal.value)
    assert srtoolbox.train(config, work_dir=tmp_path / "run", resume=True).iteration == 2


def test_a_runner_goes_on_from_the_newest_checkpoint_of_its_folder_only(tiny_config: Path, tmp_path: Path) -> None:
    from srtoolbox.weights.checkpoint import load_checkpoint

    srtoolbox.train(Config.fromfile(tiny_config, SHORT), work_dir=tmp_path / "run")
    longer = Config.fromfile(tiny_config, [*SHORT, "max_iters=9"])
    older, newest = (tmp_path / f"run/checkpoints/iter_{number:06d}.pth" for number in (3, 6))
    for path in (older, tmp_path / "gone.pth"):
        with pytest.raises(RunError, match="reached iteration 6"):
            Runner(longer, tmp_path / "run", resume=load_checkpoint(older), resumed_from=path).train()
    Runner(longer, tmp_path / "run", resume=load_checkpoint(newest), resumed_from=newest).train()
    assert listing(tmp_path / "run", "iter_*.pth")[-1] == "iter_000009.pth"


@pytest.mark.timeout(120)
def test_a_slow_rank_does_not_take_what_the_first_one_writes_for_another_run(tiny_config: Path, tmp_path: Path) -> None:
    def work() -> int:
        runner = Runner(Config.fromfile(tiny_config, SHORT), tmp_path / "run")
        if dist.rank() == 1:
            time.sleep(0.5)
        runner.train()
        dist.leave(0)
        return 0

    run_on_ranks(tmp_path, work, seconds=60)


def test_a_config_may_be_a_path_or_a_dict(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = Config.fromfile(tiny_config, ["max_iters=2"]).to_dict()
    with pytest.raises(RunError, match="work_dir="):
        srtoolbox.train(values)
    assert srtoolbox.train(values, work_dir="of_dict").last == Path("of_dict/checkpoints/iter_000002.pth")
    with pytest.raises(SrtoolboxError, match="overrides are for a config that is a file"):
        srtoolbox.train(values, work_dir="other", overrides=["max_iters=3"])
    assert srtoolbox.train("tiny.py", overrides=["max_iters=2"]).work_dir == Path("work_dirs/tiny")
    assert differing(final_state(tmp_path / "of_dict", 2), final_state(tmp_path / "work_dirs/tiny", 2)) == []
    values["model"]["generator"]["chanels"] = [4]
    with pytest.raises(ConfigError, match="Did you mean 'channels'"):
        srtoolbox.train(values, work_dir="faulty")
    assert not Path("faulty").exists()


def test_a_run_that_diverges_says_so(tiny_config: Path, tmp_path: Path) -> None:
    rate = ("optim.generator.scheduler=None", "optim.generator.milestones=None", "optim.generator.optimizer.lr=1")
    config = Config.fromfile(tiny_config, ["max_iters=3", "hooks.logger.interval=1", *rate])
    assert srtoolbox.train(config, work_dir=tmp_path / "run").ending == "diverged"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_is_swallowed_by_no_except_exception(
    signum: int, code: int, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallHook, "action", lambda: os.kill(os.getpid(), signum))
    config = Config.fromfile(tiny_config, ["hooks.call.type=CallHook"])
    for start in (
        lambda: srtoolbox.train(config, work_dir=tmp_path / "run"),
        lambda: Runner(config, tmp_path / "runner").train(),
    ):
        with pytest.raises(KeyboardInterrupt, match="the state is saved, --resume continues") as stop:
            try:
                start()
            except Exception:
                pytest.fail("swallowed")
        assert stop.value.exit_code == code
    assert listing(tmp_path / "run", "iter_*.pth")[-1] == "iter_000005.pth"
    assert srtoolbox.train(tiny_config, work_dir=tmp_path / "run", resume=True).iteration == 20


def test_a_second_interrupt_at_a_prompt_ends_the_run_and_not_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt, match="stopped at once"):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_in_a_thread_is_stopped_by_its_job(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.fromfile(tiny_config, ["hooks.call.type=CallHook"])
    job = srtoolbox.Job(config, tmp_path / "run")
    refused, results = [], []

    def act() -> None:
        with pytest.raises(RunError, match="another run is going on in this process"):
            srtoolbox.train(tiny_config, work_dir=tmp_path / "other")
        refused.append(True)
        job.stop()

    monkeypatch.setattr(CallHook, "action", act)
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    thread = threading.Thread(target=lambda: results.append(job.train()))
    thread.start()
    thread.join(60)
    assert refused and results[0].ending == "stopped" and results[0].iteration == 5
    assert results[0].last == tmp_path / "run/checkpoints/iter_000005.pth"
    log = (tmp_path / "run/train.log").read_text()
    assert "job.stop() of a srtoolbox.Job ends this run" in log
    assert "stopped by Job.stop(); the state is saved" in log and "SIGTERM" not in log
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers
    assert job.train(resume=True).iteration == 20  # that stop was for the run before


@pytest.mark.parametrize("signals", [[], [signal.SIGTERM]])
@pytest.mark.timeout(120)
def test_the_job_of_one_rank_stops_those_of_all(signals: list[int], tiny_config: Path, tmp_path: Path) -> None:
    def work() -> int:
        job = srtoolbox.Job(Config.fromfile(tiny_config, ["hooks.call.type=CallHook"]), tmp_path / "run")

        def act() -> None:
            for signum in signals:  # which alone would interrupt all
                signal.raise_signal(signum)
            job.stop()

        CallHook.action = act if int(os.environ["RANK"]) else lambda: None
        assert job.train().ending == "stopped"
        dist.leave(0)
        return 1

    run_on_ranks(tmp_path, work, seconds=60)


def process_state() -> dict[str, object]:
    """What a run may have changed for all that comes after it in its process."""
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "warnings": list(warnings.filters),
        "log": (list(LOGGER.handlers), LOGGER.level, LOGGER.propagate),
        "signals": [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)],
    }


@pytest.mark.parametrize("fault", [False, True])
def test_the_process_is_as_it_was(
    fault: bool, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.rand(3)
    mine = logging.NullHandler()
    LOGGER.addHandler(mine)
    before = process_state()
    changes = ["max_iters=5", "runtime.deterministic=True", "runtime.threads=2", "hooks.call.type=CallHook"]
    if fault:
        monkeypatch.setattr(CallHook, "action", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            srtoolbox.train(Config.fromfile(tiny_config, changes), work_dir=tmp_path / "run")
    else:
        monkeypatch.setattr(CallHook, "action", lambda: during.append(process_state()))
        during: list[dict[str, object]] = []
        srtoolbox.train(Config.fromfile(tiny_config, changes), work_dir=tmp_path / "run")
        assert during[0]["threads"] == 2 and during[0]["deterministic"] and mine in during[0]["log"][0]
    assert process_state() == before


@pytest.mark.slow
def test_two_runs_of_one_process_are_those_of_two(tiny_config: Path, tmp_path: Path) -> None:
    """The first sets threads and deterministic kernels, draws and logs; the second asks for nothing."""
    first = ["runtime.threads=2", "runtime.deterministic=True", "seed=5", "max_iters=6"]
    second = ["runtime.threads=None", "max_iters=6", "model.generator.channels=[6, 4]"]
    apart = [
        subprocess.Popen(
            [sys.executable, "-m", "srtoolbox", "train", str(tiny_config), *changes, "--work-dir", tmp_path / name],
            stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name, changes in (("apart_0", first), ("apart_1", second))
    ]  # fmt: skip
    for number, changes in enumerate((first, second)):
        srtoolbox.train(Config.fromfile(tiny_config, changes), work_dir=tmp_path / f"together_{number}")
    for number, process in enumerate(apart):
        errors = process.communicate(timeout=100)[1]
        assert process.returncode == 0, errors
        states = [final_state(tmp_path / f"{name}_{number}", 6) for name in ("apart", "together")]
        assert differing(*states) == []
