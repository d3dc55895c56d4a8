"""A search: trials that are drawn, ended early, stopped and taken up again; with a stand-in, and with Optuna."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.apps.sweep.launch import Launch
from srtoolbox.apps.sweep.plan import check_score, plan_runs
from srtoolbox.apps.sweep.search import Search
from srtoolbox.apps.sweep.study import MISSING, Study, Trial
from srtoolbox.apps.sweep.trainer import Trainer
from srtoolbox.apps.sweep.values import Choices, ends, read_choices
from srtoolbox.engine.stop import Interrupted
from srtoolbox.errors import ConfigError, OptionError, RunError, SrtoolboxError
from srtoolbox.system import FileLock
from tests.apps.test_sweep import FAKE, LR, calls

PSNR = "photos/psnr"
# beside what FAKE does: of seed 7 a score, and then it waits to be ended
WAITING = """
if seed == "7":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while True:
        time.sleep(0.01)
"""


class StandIn:
    """A study in memory that draws given seeds, and ends trials of seed 7."""

    def __init__(self, *seeds: int) -> None:
        self.drawn = iter(seeds)
        self.all: list[Trial] = []
        self.told: dict[int, object] = {}

    def trials(self) -> list[Trial]:
        return list(self.all)

    def ask(self) -> Trial:
        self.all.append(Trial(len(self.all), {"seed": next(self.drawn)}))
        return self.all[-1]

    def report(self, trial: Trial, iteration: int, score: float) -> bool:
        trial.reported.add(iteration)
        return trial.values["seed"] == 7

    def tell(self, trial: Trial, score: float | None, *, is_pruned: bool = False) -> None:
        trial.is_running = False
        self.told[trial.number] = "pruned" if is_pruned else score


@pytest.fixture
def search(tmp_path: Path, tiny_config: Path) -> Callable[..., Search]:
    """Makes a search with the stand-in for trainings."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE.replace("heard = []", WAITING + "heard = []"))

    def make(study: StandIn, trials: int) -> Search:
        launch = Launch(str(tiny_config), launcher=f'"{sys.executable}" -S "{script}"')
        trainer = Trainer(launch, PSNR, Console(file=io.StringIO(), width=200))
        folder, choices = tmp_path / "search", read_choices(["seed=int(0,99)", "max_iters=20"])
        return Search(choices, folder, study, trainer, PSNR, True, trials)

    return make


def printed(search: Search) -> str:
    return search.trainer.console.file.getvalue()


def test_trials_are_trained_and_told_until_there_are_enough(search: Callable) -> None:
    study = StandIn(10, 30, 20, 40)
    first = search(study, 3)
    first.train_all()
    assert study.told == {0: 30.0, 1: 50.0, 2: 40.0}
    assert [run.name for run in first.runs()] == ["trial_0000,seed=10", "trial_0001,seed=30", "trial_0002,seed=20"]
    assert calls(first.folder / "trial_0001,seed=30")[0][4:6] == ["seed=30", "max_iters=20"]
    assert "[2/3] trial_0001,seed=30: finished at iteration 20, photos/psnr 50.0000" in printed(first)
    search(study, 3).train_all()
    search(study, 4).train_all()
    assert len(study.told) == 4


def test_a_trial_that_falls_behind_is_ended_and_told(search: Callable) -> None:
    study = StandIn(7, 10)
    job = search(study, 2)
    job.train_all()
    assert study.told == {0: "pruned", 1: 30.0} and not job.trainer.unfinished
    assert "pruned at iteration 10, photos/psnr 27.0000: others were better by then" in printed(job)
    folder = job.folder / "trial_0000,seed=7"
    (folder / "config.py").write_text("max_iters = 20\n")
    (run,) = srtoolbox.compare_runs([folder], console=Console(file=io.StringIO()))
    assert run.state == "pruned at 10"


def test_a_failure_is_told_and_the_search_goes_on(search: Callable) -> None:
    study = StandIn(1, 10)
    job = search(study, 2)
    job.train_all()
    assert study.told == {0: None, 1: 30.0}
    assert "the disk burns" in job.trainer.unfinished["trial_0000,seed=1"]


def test_what_halts_is_behind_others_and_no_failure(search: Callable) -> None:
    study = StandIn(9)
    job = search(study, 1)
    job.train_all()
    assert study.told == {0: "pruned"} and not job.trainer.unfinished
    assert "[1/1] trial_0000,seed=9: halted (exit code 2): not finite" in printed(job)
    study.all[0].is_running = True  # as where a kill came before it was told
    study.told.clear()
    search(study, 1).train_all()
    assert study.told == {0: "pruned"}


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_a_stopped_or_killed_trial_is_taken_up_again(search: Callable) -> None:
    study = StandIn(4, 3, 10)
    with pytest.raises(Interrupted):
        search(study, 3).train_all()
    assert not study.told
    second = search(study, 3)
    second.train_all()  # of seed 3 the process is killed: not twice in one call
    assert study.told == {0: 24.0, 2: 30.0} and "SIGKILL" in second.trainer.unfinished["trial_0001,seed=3"]
    search(study, 3).train_all()
    assert study.told == {0: 24.0, 1: 23.0, 2: 30.0}
    assert len(calls(second.folder / "trial_0000,seed=4")) == 2


def test_a_trial_of_another_process_is_left_alone(search: Callable) -> None:
    study = StandIn(10, 20)
    job = search(study, 2)
    trial = study.ask()
    lock = FileLock(job._lock(trial).path)
    assert lock.acquire()
    try:
        job.train_all()
    finally:
        lock.release()
    assert study.told == {1: 40.0}


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_who_waits_for_another_process_can_be_stopped(search: Callable) -> None:
    job = search(StandIn(10), 1)
    job.folder.mkdir()
    lock = FileLock(job.folder / "search.lock")
    assert lock.acquire()
    try:
        with job.trainer.trainings.active(), pytest.raises(Interrupted, match="stopped by SIGTERM; the same command"):
            os.kill(os.getpid(), signal.SIGTERM)
            job._take()
    finally:
        lock.release()


def test_a_result_that_was_not_told_is_told(search: Callable) -> None:
    study = StandIn(10)
    search(study, 1).train_all()
    study.all[0].is_running = True
    study.told.clear()
    job = search(study, 1)
    job.train_all()
    assert study.told == {0: 30.0} and "left alone: finished at iteration 20" in printed(job)
    assert len(calls(job.folder / "trial_0000,seed=10")) == 1


# ---- values and options


def test_ranges_are_read_and_their_ends_tried() -> None:
    choices = read_choices([f"{LR}=log(1e-5, 1e-2)", "seed=int(1,3)", "optim.generator.optimizer.type=[Adam,SGD]"])
    assert [(each.range, each.values) for each in choices[:2]] == [("log", (1e-5, 1e-2)), ("int", (1, 3))]
    assert ends(choices)[0] == (f"{LR}=1e-05", "seed=1", "optim.generator.optimizer.type=Adam")
    assert len(ends(choices)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log(0,1)", "above 0"),
        ("log(1,0.1)", "the first number of log"),
        ("uniform(1,1)", "the first number of uniform"),
        ("int(1,2.5)", "two whole numbers"),
        ("uniform(a,1)", "two numbers"),
        ("log(1e-5,inf)", "two numbers"),
        ("log(1e-5)", r"a range is log\(low,high\), uniform\(low,high\) or int\(low,high\)"),
        ("loguniform(1e-5, 1)", "a range is"),
    ],
)
def test_impossible_ranges_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_choices([f"{LR}={text}"])


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([f"{LR}=log(1e-5,1e-2)"], {}, "trials: .*lr has a range: say how many"),
        ([f"{LR}=log(1e-5,1e-2)"], {"trials": 3}, "by: a search needs the score"),
        ([f"{LR}=log(1e-5,1e-2)"], {"trials": 0, "by": PSNR}, "trials is the number"),
        ([f"{LR}=log(1e-5,1e-2)"], {"trials": 3, "by": "photos/none"}, "by: 'photos/none' is no score"),
        ([f"{LR}=log(1e-5,1e-2)"], {"trials": 3, "by": PSNR, "shard": "1/2"}, "shard: a search needs none"),
        ([f"{LR}=log(1e-5,1e-2)"], {"trials": 3, "by": PSNR, "retry": True}, "retry: a search tries other"),
        ([f"{LR}=0.1"], {"trials": 3, "by": PSNR}, "nothing is swept"),
        (["max_iters=int(-5,5)"], {"trials": 3, "by": PSNR}, r"max_iters.*\(run max_iters=-5\)"),
    ],
)
def test_impossible_searches_are_refused(
    texts: list[str], options: dict, message: str, tiny_config: Path, tmp_path: Path
) -> None:
    with pytest.raises(SrtoolboxError, match=f"(?s){message}"):
        srtoolbox.sweep(tiny_config, texts, work_dir=tmp_path / "search", **options)
    assert not (tmp_path / "search").exists()


def test_without_optuna_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionError) as caught:
        Study(tmp_path, read_choices([f"{LR}=log(1e-5,1e-2)"]), PSNR, higher=True, seed=0, warm_up=0)
    assert str(caught.value) == MISSING


# ---- with Optuna


@pytest.fixture
def choices() -> list[Choices]:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    return read_choices([f"{LR}=log(1e-5,1e-2)", "seed=int(1,300)", "scale=uniform(0,1)", "seed2=[[1,2],a]", "x=3"])


@pytest.fixture
def study(choices: list[Choices], tmp_path: Path) -> Iterator[Callable[..., Study]]:
    numbers = count()

    def make(folder: str = "", **options: object) -> Study:
        options = {"higher": True, "seed": 0, "warm_up": 5, **options}
        return Study(tmp_path / (folder or f"study{next(numbers)}"), choices, PSNR, **options)

    return make


def test_what_is_drawn_follows_from_seed_number_and_results(study: Callable, tmp_path: Path) -> None:
    drawn = []
    for is_interrupted in (False, True):
        folder = f"interrupted_{is_interrupted}"
        current = study(folder)
        values = []
        for number in range(14):
            current = study(folder) if is_interrupted else current
            trial = current.ask()
            values.append(trial.values)
            current.tell(trial, None if number == 3 else float(trial.values["seed"]))
        drawn.append(values)
    assert drawn[0] == drawn[1] and len({str(each) for each in drawn[0]}) == 14
    for each in drawn[0]:
        assert 1e-5 <= each[LR] <= 1e-2 and float(f"{each[LR]:.4g}") == each[LR] and 1 <= each["seed"] <= 300
        assert each["seed2"] in ("[1, 2]", "'a'") and isinstance(each["seed"], int)
    assert study(seed=1).ask().values != drawn[0][0]


def test_trials_are_known_to_other_processes(study: Callable) -> None:
    one, other = study("shared"), study("shared")
    trial = one.ask()
    (seen,) = other.trials()
    assert seen.values == trial.values and seen.is_running
    assert other.report(seen, 5, 20.0) is False
    assert one.trials()[0].reported == {5}
    one.tell(trial, 21.0)
    assert not other.trials()[0].is_running


@pytest.mark.parametrize("higher", [True, False])
def test_a_trial_behind_the_median_is_to_be_ended(study: Callable, higher: bool) -> None:
    current = study(higher=higher)
    sign = 1 if higher else -1
    for number in range(6):
        trial = current.ask()
        assert current.report(trial, 5, sign * (20.0 + number)) is False
        current.tell(trial, sign * (20.0 + number))
    assert current.report(current.ask(), 4, sign * 1.0) is False  # it warms up
    assert current.report(current.ask(), 5, sign * 19.0) is True
    assert current.report(current.ask(), 5, sign * 30.0) is False
    assert current.report(current.ask(), 5, float("nan")) is True
    current.tell(current.trials()[-1], None, is_pruned=True)
    assert not current.trials()[-1].is_running


def test_another_search_in_the_folder_is_refused(study: Callable, tmp_path: Path) -> None:
    study("one")
    with pytest.raises(RunError, match="holds a search with another seed"):
        study("one", seed=1)
    with pytest.raises(RunError, match="holds a search with another space"):
        Study(tmp_path / "one", read_choices([f"{LR}=log(1e-5,1e-3)"]), PSNR, higher=True, seed=0, warm_up=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_a_killed_search_goes_on_for_real(tiny_config: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    hook = "import os, signal\nfrom srtoolbox.engine.hooks.base import Hook\nfrom srtoolbox.registry import HOOKS\n"
    hook += "@HOOKS.register\nclass KillOnce(Hook):\n    def after_iter(self, run):\n"
    hook += "        mark = run.work_dir.parent / 'once'\n        if run.iter == 12 and not mark.exists():\n"
    hook += "            mark.touch()\n            os.kill(os.getppid(), signal.SIGKILL)\n"
    hook += "            os.kill(os.getpid(), signal.SIGKILL)\n"
    (tmp_path / "kill.py").write_text(hook)
    command = [sys.executable, "-m", "srtoolbox", "sweep", str(tiny_config), f"{LR}=log(1e-4,1)"]
    command += ["hooks.kill=dict(type='KillOnce')", "--plugin", "kill.py", "--trials", "2", "--by", PSNR]
    command += ["--work-dir", "search"]

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert run().returncode == -signal.SIGKILL
    result = run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "trial_0000" in result.stdout and "goes on from about iteration" in result.stdout
    folders = sorted(path.name for path in (tmp_path / "search").glob("trial_*"))
    assert [name[:10] for name in folders] == ["trial_0000", "trial_0001"]
    notes = [json.loads((tmp_path / "search" / name / "run.json").read_text()) for name in folders]
    assert all(each["finished"] == 20 for each in notes)
    again = run()
    assert again.returncode == 0 and "begins" not in again.stdout and "runs by photos/psnr" in again.stdout


def test_both_ends_are_planned(tiny_config: Path, tmp_path: Path) -> None:
    choices = read_choices([f"{LR}=log(1e-5,1e-2)"])
    runs = plan_runs(Launch(str(tiny_config), device="cpu"), choices, ends(choices), tmp_path)
    check_score(runs, PSNR)
    assert [run.config.optim.generator.optimizer.lr for run in runs] == [1e-5, 1e-2]
