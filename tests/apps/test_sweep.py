"""`sweep`: values and names, what is refused before anything starts, and processes that fail, stop and go on."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.apps.sweep import launch
from srtoolbox.apps.sweep.grid import _iterations_of
from srtoolbox.apps.sweep.launch import Launch, Todo
from srtoolbox.apps.sweep.names import name_runs
from srtoolbox.apps.sweep.processes import Trainings, is_stopped, reason_in
from srtoolbox.apps.sweep.sweep import SweepResult
from srtoolbox.apps.sweep.values import combinations, read_choices
from srtoolbox.cli import main
from srtoolbox.config import Config, resolve_config
from srtoolbox.engine.job.workdir import note_ending
from srtoolbox.engine.stop import Interrupted
from srtoolbox.errors import ConfigError, OptionError, RunError, SrtoolboxError
from srtoolbox.io.files import windows_fault
from srtoolbox.system import FileLock

LR = "optim.generator.optimizer.lr"

# stands in for a training, by its seed: 1 fails, 2 diverges, 3 is killed, 4, 5 and 8 get a signal for the sweep,
# 9 halts
FAKE = """
import json, os, pathlib, signal, sys, time
words = sys.argv[1:]
folder = pathlib.Path(words[words.index("--work-dir") + 1])
seed = next(word for word in words if word.startswith("seed="))[5:]
with open(folder / "calls.jsonl", "a") as file:
    file.write(json.dumps(words) + "\\n")
tries = len((folder / "calls.jsonl").read_text().splitlines())
record = {"kind": "eval", "iter": 10 * tries, "scores": {"photos/psnr": 20.0 + float(seed)}}
(folder / "scores.jsonl").write_text(json.dumps(record) + "\\n")
heard = []
if seed == "1" and tries == 1:
    print("something before")
    print("error: the disk burns")
    sys.exit(2)
if seed == "9" and tries == 1:
    print("error: not finite; look into it with\\n         srtoolbox replay x\\n       or not\\nafter it")
    (folder / "run.json").write_text(json.dumps({"finished": None, "ending": "halted"}))
    sys.exit(2)
if seed == "3" and tries == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if seed in ("4", "5", "8") and tries == 1:
    signal.signal(signal.SIGINT if seed == "5" else signal.SIGTERM, lambda *_: heard.append(1))
    os.kill(os.getppid(), {"4": signal.SIGTERM, "5": signal.SIGINT, "8": signal.SIGUSR1}[seed])
    while not heard:
        time.sleep(0.01)
    time.sleep(0.1)  # for one signal too many
    (folder / "heard").write_text(str(len(heard)))
    sys.exit(130 if seed == "5" else 143)
ending = "diverged" if seed == "2" else "finished"
(folder / "run.json").write_text(json.dumps({"finished": 20, "ending": ending}))
"""


@pytest.fixture
def start(tmp_path: Path, tiny_config: Path) -> Callable[..., tuple[SweepResult, str]]:
    """Sweeps with the stand-in for trainings; returns the result and what was printed."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)

    def call(texts: Sequence[str], **options: object) -> tuple[SweepResult, str]:
        console = Console(file=io.StringIO(), width=200)
        options = {"work_dir": tmp_path / "sweep", "launcher": f'"{sys.executable}" -S "{script}"', **options}
        try:
            return srtoolbox.sweep(tiny_config, texts, console=console, **options), console.file.getvalue()
        except BaseException as error:
            error.add_note(console.file.getvalue())
            raise

    return call


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


# ---- values and names


def test_values_are_read_as_overrides_are() -> None:
    texts = [f"{LR}=[1e-3, 1e-4]", "max_iters=10", "optim.generator.optimizer=[dict(type='Adam', lr=1), Adam,]"]
    choices = read_choices(texts)
    assert [each.is_swept for each in choices] == [True, False, True]
    assert choices[0].values == (1e-3, 1e-4) and choices[2].values == ({"type": "Adam", "lr": 1}, "Adam")
    assert combinations(choices)[1] == (f"{LR}=1e-3", "max_iters=10", "optim.generator.optimizer=Adam")
    assert len(combinations(choices)) == 4


def test_a_list_of_lists_sweeps_over_lists() -> None:
    (swept,) = read_choices(["optim.generator.milestones=[[1,2],[3]]"])
    assert swept.values == ([1, 2], [3])
    (single,) = read_choices(["optim.generator.milestones=[[1,2]]"])
    assert combinations([single]) == [("optim.generator.milestones=[1,2]",)]
    assert not read_choices(["hooks.checkpoint.best+=['photos/psnr']"])[0].is_swept


def test_names_say_the_values_however_they_are_typed() -> None:
    def names(*values: object) -> list[str]:
        return name_runs([{LR: value, "data.train.batch_size": 8} for value in values])

    assert names(1e-3, 1e-5, -0.5, 0.5)[:3] == [
        "lr=0.001,batch_size=8",
        "lr=1e-05,batch_size=8",
        "lr=-0.5,batch_size=8",
    ]
    assert names([1, 2], None, True, "Adam", {"type": "Adam", "lr": 1})[:4] == [
        f"lr={text},batch_size=8" for text in ("1_2", "none", "True", "Adam")
    ]
    assert names(*read_choices([f"{LR}=[1e-4,2]"])[0].values) == names(*read_choices([f"{LR}=[0.0001, 2]"])[0].values)


def test_names_are_safe_and_none_is_anothers() -> None:
    values = ["a/b", "a:b", "Adam", "adam", "x" * 300, "x" * 300 + "y", "..", "größe", "日本", "语言", "a.", 'q"*?<>|']
    keys = [f"model.generator.{'k' * number}" for number in range(1, 9)]
    names = name_runs([{key: value for key in keys} for value in values])
    names += name_runs([{LR: value} for value in values])
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert windows_fault(name) is None and len(name) <= 80 and name.isascii() and "/" not in name


# ---- what is refused, before anything starts


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "nothing is swept"),
        ([f"{LR}=0.1"], "nothing is swept"),
        ([f"{LR}=[]"], "a list without values is no run"),
        ([f"{LR}=[1,,2]"], "a value is missing between two commas"),
        ([f"{LR}=[1,2)]"], "brackets or quotes do not match"),
        ([f"{LR}=[1,'a]"], "brackets or quotes do not match"),
        ([f"{LR}=[0.1,1e-1]"], "0.1 is given twice"),
        ([f"{LR}=[1,2]", f"{LR}=3"], "is given twice"),
        (["work_dir=[a,b]"], "a work dir of its own"),
        (["=[1,2]"], "is not of the form"),
        (["optim.generator.optimizer.rl=[1,2]"], "takes no 'rl'.*Did you mean 'lr'"),
        (["max_itres=[1,2]"], "not a key of configs.*Did you mean 'max_iters'"),
        (["optim.generator.milestones=[4,8]"], r"milestones=\[\[4, 8\]\] is this list in all runs"),
        ([f"{LR}=[0.1,fast]"], r"lr.*\(run lr=fast\)"),
        (["seed=[0,1]", "model.generator=Nothing"], "Nothing"),
    ],
)
def test_what_cannot_be_is_refused(texts: list[str], message: str, start: Callable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        start(texts)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "photos/pnsr"}, "by: 'photos/pnsr' is no score of data.val; there are photos/psnr, photos/mae"),
        ({"shard": "3/2"}, "shard 3/2"),
        ({"launcher": " "}, "launcher is what starts"),
        ({"launcher": "no-such-program"}, "launcher: no-such-program: cannot be started"),
        ({"plugins": ["nothing.py"]}, "nothing.py"),
        ({"stop_worse": ["photos/psnr"]}, "stop-worse is SET/METRIC=VALUE@ITERATION, .* got 'photos/psnr'"),
        ({"stop_worse": ["photos/psnr=nan@3"]}, "stop-worse is"),
        ({"stop_worse": ["photos/psnr=low@3"]}, "stop-worse is"),
        ({"stop_worse": ["photos/nothing=3"]}, "score='photos/nothing' is no score of data.val; there are photos/psnr"),
    ],
)
def test_impossible_options_are_refused(options: dict, message: str, start: Callable) -> None:
    with pytest.raises(SrtoolboxError, match=message):
        start(["seed=[0,1]"], **options)


def test_a_fault_of_all_runs_is_told_once(start: Callable) -> None:
    with pytest.raises(ConfigError) as caught:
        start(["seed=[0,1,2]", "max_itres=3"])
    assert len(caught.value.faults) == 1 and "(run" not in str(caught.value)


def test_a_folder_with_another_config_is_refused(start: Callable, tmp_path: Path, tiny_config: Path) -> None:
    folder = tmp_path / "sweep" / "seed=1"
    folder.mkdir(parents=True)
    (folder / "config.py").write_text(Config.fromfile(tiny_config, ["seed=1", "max_iters=7"]).dump())
    with pytest.raises(RunError, match=r"another config \(max_iters 7 -> 20\): choose another --work-dir"):
        start(["seed=[0,1]"])
    (folder / "config.py").write_text("seed = (\n")
    with pytest.raises(RunError, match="cannot be read"):
        start(["seed=[0,1]"])
    assert not (tmp_path / "sweep" / "seed=0").exists()


def test_the_device_is_part_of_the_config(start: Callable, tmp_path: Path, tiny_config: Path) -> None:
    folder = tmp_path / "sweep" / "seed=1"
    folder.mkdir(parents=True)
    saved = resolve_config(tiny_config, ["seed=1"], {"runtime.device": "cuda:1"})
    (folder / "config.py").write_text(saved.dump())
    assert "seed=1: to go on" in start(["seed=[1]"], device="cuda:1", dry_run=True)[1]
    with pytest.raises(RunError, match=r"runtime.device 'cuda:1' -> 'cpu'"):
        start(["seed=[1]"])


def test_the_words_of_a_launcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_config: Path) -> None:
    run = Launch(str(tiny_config)).plan(["seed=1"], tmp_path / "seed=1")
    assert Launch("c.py", "srun 'a b' python").command(run, Todo.BEGIN)[:4] == ["srun", "a b", "python", "-m"]
    monkeypatch.setattr(launch, "IS_WINDOWS", True)
    words = Launch("c.py", r'"C:\Program Files\torchrun.exe" --nproc-per-node 2').command(run, Todo.BEGIN_ANEW)
    assert words[:4] == [r"C:\Program Files\torchrun.exe", "--nproc-per-node", "2", "-m"]
    assert words[-1] == "--overwrite"


# ---- runs that fail, stop and go on


def test_each_run_is_a_process_and_the_best_is_first(start: Callable, tmp_path: Path) -> None:
    result, text = start(["seed=[0,6]", "max_iters=20"], by="photos/psnr", csv=tmp_path / "runs.csv")
    assert {run.work_dir.name for run in result.runs} == {"seed=0", "seed=6"} and not result.unfinished
    (words,) = calls(result.folder / "seed=0")
    assert words[:2] == ["-m", "srtoolbox"] and words[4:6] == ["seed=0", "max_iters=20"] and words[-1] == "--resume"
    assert "[1/2] seed=0: finished at iteration 20, photos/psnr 20.0000" in text and "left for 1 run" in text
    assert "runs by photos/psnr" in text and (tmp_path / "runs.csv").exists()
    again, text = start(["seed=[0,6,7]", "max_iters=20"])
    assert len(calls(result.folder / "seed=0")) == 1 and len(again.runs) == 3
    assert "[1/3] seed=0: left alone: finished at iteration 20" in text


def test_what_failed_or_diverged_is_tried_again_only_with_retry(start: Callable, tmp_path: Path) -> None:
    texts, folder = ["seed=[1,2,0]"], tmp_path / "sweep"
    result, text = start(texts)
    assert result.unfinished == {
        "seed=1": f"failed (exit code 2): the disk burns (all it said: {folder / 'seed=1/output.log'})"
    }
    assert "seed=2: diverged at iteration 20" in text and "seed=0: finished" in text
    result, text = start(texts)
    assert result.unfinished == {"seed=1": "failed before"} and "--retry" in text
    assert "left alone: diverged at iteration 20" in text
    assert len(calls(folder / "seed=1")) == len(calls(folder / "seed=2")) == 1
    result, _ = start(texts, retry=True)
    assert not result.unfinished and [words[-1] for words in calls(folder / "seed=1")] == ["--resume", "--resume"]
    assert [words[-1] for words in calls(folder / "seed=2")] == ["--resume", "--overwrite"]


def test_what_halted_is_told_with_all_that_its_error_says(start: Callable, tmp_path: Path) -> None:
    result, _ = start(["seed=[9]"])
    said = "not finite; look into it with srtoolbox replay x or not"
    output = tmp_path / "sweep/seed=9/output.log"
    assert result.unfinished == {"seed=9": f"halted (exit code 2): {said} (all it said: {output})"}
    assert json.loads((tmp_path / "sweep/seed=9/run.json").read_text())["ending"] == "halted"
    assert start(["seed=[9]"])[0].unfinished == {"seed=9": "halted before"}
    assert "seed=9: to go on (halted before)" in start(["seed=[9]"], retry=True, dry_run=True)[1]


def test_a_run_that_begins_anew_counts_whole_in_the_estimate(tmp_path: Path, tiny_config: Path) -> None:
    run = Launch(str(tiny_config)).plan(["seed=1"], tmp_path)
    (tmp_path / "scores.jsonl").write_text('{"kind": "eval", "iter": 15, "scores": {}}\n')
    assert [_iterations_of(run, what) for what in (Todo.LEAVE, Todo.GO_ON, Todo.BEGIN_ANEW)] == [0, 5, 20]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_a_killed_run_ends_no_other_and_goes_on_with_the_same_command(start: Callable) -> None:
    result, text = start(["seed=[3,0]"])
    assert result.unfinished == {"seed=3": "stopped (signal SIGKILL); the same command goes on with it"}
    assert "seed=0: finished" in text
    result, text = start(["seed=[3,0]"])
    assert not result.unfinished and "seed=3: goes on from about iteration 10" in text


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
@pytest.mark.parametrize(
    ("seed", "code"),
    [pytest.param(4, 143, marks=pytest.mark.slow), (5, 130), pytest.param(8, 138, marks=pytest.mark.slow)],
)
def test_a_signal_is_passed_on_once_and_waited_for(seed: int, code: int, start: Callable, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="the same command goes on") as caught:
        start([f"seed=[{seed},0]"])
    assert caught.value.exit_code == code
    assert (tmp_path / f"sweep/seed={seed}/heard").read_text() == "1" and not (tmp_path / "sweep/seed=0").exists()
    result, _ = start([f"seed=[{seed},0]"])
    assert not result.unfinished and len(result.runs) == 2


@pytest.mark.skipif(os.name == "nt", reason="groups of POSIX systems")
def test_ctrl_c_in_the_terminal_does_not_reach_a_run_beside_the_sweep(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "import os; print(os.getpgrp())"]
    assert Trainings().train(command, tmp_path / "new/output.log", lambda: None) == 0
    assert int((tmp_path / "new/output.log").read_text()) != os.getpgrp()


def test_rules_to_give_up_are_hooks(start: Callable) -> None:
    result, _ = start(["seed=[0]"], stop_worse=["photos/psnr=25@10", "photos/mae=9.5"])
    (words,) = calls(result.folder / "seed=0")
    assert words[5:7] == [
        "hooks.stop_worse_1=dict(type='StopWorseHook', score='photos/psnr', than=25.0, after=10)",
        "hooks.stop_worse_2=dict(type='StopWorseHook', score='photos/mae', than=9.5, after=0)",
    ]


def test_shards_share_the_runs(start: Callable, tmp_path: Path) -> None:
    result, text = start(["seed=[0,6,7]"], shard="2/2")
    assert "of which piece 2 of 2 takes 1" in text and [run.work_dir.name for run in result.runs] == ["seed=6"]
    lock = FileLock(tmp_path / "sweep/seed=6/run.lock")
    (tmp_path / "sweep/seed=6/run.json").unlink()
    assert lock.acquire()
    try:
        _, text = start(["seed=[6]"])
    finally:
        lock.release()
    assert "left alone: another process is training it" in text and len(calls(tmp_path / "sweep/seed=6")) == 1


def test_a_dry_run_prints_names_and_commands(start: Callable, tmp_path: Path) -> None:
    result, text = start(["seed=[0,1]"], dry_run=True, device="cpu", launcher=None)
    folder = tmp_path / "sweep"
    assert not result.runs and not folder.exists()
    assert "[2/2] seed=1: to begin" in text and "srtoolbox train" in text
    assert f"--work-dir {folder / 'seed=1'} --resume --device cpu" in text


def test_compare_tells_a_failed_run(start: Callable, tmp_path: Path) -> None:
    start(["seed=[1]"])
    (run,) = srtoolbox.compare_runs([tmp_path / "sweep"], console=Console(file=io.StringIO()))
    assert run.state == "damaged" and "config.py" in run.fault  # the stand-in keeps no config
    (tmp_path / "sweep/seed=1/config.py").write_text("max_iters = 20\n")
    (run,) = srtoolbox.compare_runs([tmp_path / "sweep"], console=Console(file=io.StringIO()))
    assert run.state == "failed at 10"


def test_exit_codes_of_processes(tmp_path: Path) -> None:
    assert [is_stopped(code) for code in (143, 130, -9, -15, 1, 2, -11)] == [True] * 4 + [False] * 3
    assert reason_in(tmp_path / "none", 0) == "it printed nothing"
    note_ending(tmp_path / "new", "failed")
    assert json.loads((tmp_path / "new/run.json").read_text()) == {"finished": None, "ending": "failed"}


def test_the_command(tmp_path: Path, tiny_config: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "fake.py").write_text(FAKE)
    words = ["sweep", str(tiny_config), "--work-dir", str(tmp_path / "s"), "--launcher"]
    words.append(f'"{sys.executable}" -S "{tmp_path / "fake.py"}"')
    assert main([*words, "seed=[0]"]) == 0 and "runs by photos/psnr" in capsys.readouterr().out
    assert main([*words, "seed=[0,1]"]) == 1
    with pytest.raises(SystemExit):
        main([*words, "seed=[0]", "--shard", "x"])
    assert "--shard is I/N" in capsys.readouterr().err
    with pytest.raises((OptionError, SystemExit)):
        main([*words, "seed=[0]", "--by", "x"])
