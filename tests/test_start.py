"""tools/start.py: what the scripts of tools/ do, on every system."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from srtoolbox import dist
from srtoolbox.errors import RunError


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, its own command recorded in `commands` instead of run."""
    spec = importlib.util.spec_from_file_location("start", Path(__file__).parent.parent / "tools/start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.commands, module.really_become = [], module.become
    monkeypatch.setattr(module, "become", lambda command: module.commands.append(command) or 0)
    for name in module.OPTIONS:
        monkeypatch.delenv(name.upper().replace("-", "_"), raising=False)
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "")
    monkeypatch.setenv("USE_LIBUV", "")
    monkeypatch.setenv("SRTOOLBOX_LAUNCHED", "")
    return module


def test_options_before_the_config_are_the_variables(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--nnodes", "2", "--node-rank=1", "--master-addr", "host0", "--master-port", "29511"]
    assert start.main(["train", *options, "a.py", "8", "--resume"]) == 0
    for name, value in {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "host0", "MASTER_PORT": "29511"}.items():
        monkeypatch.setenv(name, value)
    assert start.main(["train", "a.py", "8", "--resume"]) == 0
    assert start.commands[0] == start.commands[1] and float(start.os.environ["SRTOOLBOX_LAUNCHED"]) > 0
    assert start.commands[0][-5:] == ["-m", "srtoolbox", "train", "a.py", "--resume"]


@pytest.mark.parametrize(
    ("arguments", "resumes"),
    [
        (["train", "a.py", "2"], True),
        (["train", "a.py", "2", "--overwrite"], False),
        (["train", "a.py", "2", "--resume-from=b.pth"], False),
        (["test", "a.py", "b.pth", "2"], False),
    ],
)
def test_restarts_imply_resume_where_nothing_else_is_said(
    arguments: list[str], resumes: bool, start: ModuleType
) -> None:
    start.main([arguments[0], "--max-restarts", "3", *arguments[1:]])
    assert ("--resume" in start.commands[0]) == resumes


@pytest.mark.parametrize(
    "arguments", [[], ["trian"], ["train", "a.py"], ["train", "a.py", "0"], ["test", "a.py", "b.pth", "x"]]
)
def test_a_wrong_call_shows_the_right_ones(
    arguments: list[str], start: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    assert start.main(arguments) == 2
    assert "start.py test CONFIG CHECKPOINT NGPUS" in capsys.readouterr().err


def test_an_unknown_option_is_answered_with_the_known_ones(start: ModuleType) -> None:
    with pytest.raises(SystemExit, match="--max-restarts, --shutdown-timeout"):
        start.main(["train", "--restarts", "3", "a.py", "2"])


def test_windows_is_told_of_no_signal_it_lacks(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Signals:
        SIGTERM, SIGINT = 15, 2

    monkeypatch.setattr(start, "signal", Signals)
    monkeypatch.setattr(start, "IS_WINDOWS", True)
    monkeypatch.delenv("USE_LIBUV")
    start.main(["train", "a.py", "2"])
    command = start.commands[0]
    assert command[command.index("--signals-to-handle") + 1] == "SIGTERM,SIGINT"
    assert start.os.environ["USE_LIBUV"] == "0"


@pytest.mark.parametrize(("is_windows", "python"), [(True, "Scripts/python.exe"), (False, "bin/python")])
def test_an_environment_is_made_once(
    is_windows: bool, python: str, start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "IS_WINDOWS", is_windows)
    for name in ("PATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "")
    for name in ("setup.py", "tools/constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    ran, broken = [], []

    def run(command: list[str]) -> SimpleNamespace:
        ran.append(command)
        if "venv" in command:
            (tmp_path / ".venv" / python).parent.mkdir(parents=True)
            (tmp_path / ".venv" / python).touch()
        return SimpleNamespace(returncode=3 if broken and "pip" in command else 0)

    monkeypatch.setattr(start.subprocess, "run", run)
    assert start.environment("test") == str(tmp_path / ".venv" / python)
    assert [command[-1] for command in ran] == [".venv", "torch", ".[test]"]
    assert start.environment("test") and len(ran) == 3
    (tmp_path / "setup.py").write_text("changed")
    start.environment("test")
    assert [command[-1] for command in ran[3:]] == ["torch", ".[test]"]
    (tmp_path / "setup.py").write_text("changed again")
    broken.append(True)
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"pip install .* torch: failed \(3\)"):
            start.environment("test")


@pytest.fixture
def handlers() -> Iterator[None]:
    """Gives back the handlers of signals."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process there")
def test_a_command_waited_for_answers_ctrl_c_itself(
    start: ModuleType, handlers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows replaces no process: the one that waits must neither end nor kill the command, which is saving."""
    answers = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (time.sleep(0.5), sys.exit(7)))\n"
        "os.kill(os.getppid(), signal.SIGINT), signal.raise_signal(signal.SIGINT)"
    )
    monkeypatch.setattr(start, "IS_WINDOWS", True)
    assert start.really_become([sys.executable, "-c", answers]) == 7


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process there")
def test_sigterm_goes_to_the_command_waited_for(start: ModuleType, handlers: None) -> None:
    asks = "import os, signal, time\ntime.sleep(0.3)\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(60)"
    assert start.wait_for([sys.executable, "-c", asks]) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("lint", "types", "suite", "code"), [(0, 0, 0, 0), (3, 0, 0, 3), (0, 4, 0, 4), (0, 0, 5, 5), (0, 4, 5, 5)]
)
def test_a_fault_of_lint_types_or_suite_fails_the_tests(
    lint: int, types: int, suite: int, code: int, start: ModuleType,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    checker = [sys.executable, "-Sc", f"print('types are checked'); raise SystemExit({types})"]
    popen, suites = start.subprocess.Popen, []
    monkeypatch.setattr(start.subprocess, "run", lambda command: SimpleNamespace(returncode=lint))
    monkeypatch.setattr(start.subprocess, "Popen", lambda command, **options: popen(checker, **options))
    monkeypatch.setattr(start, "wait_for", lambda command: suites.append(command) or suite)
    assert start.tests(sys.executable, ["-m", "slow"]) == code
    assert len(suites) == (lint == 0) == ("types are checked" in capsys.readouterr().out)
    assert all(command[-2:] == ["-m", "slow"] for command in suites)


def test_restarts_that_are_no_number_are_refused(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_RESTARTS", "often")
    with pytest.raises(SystemExit, match=r"MAX_RESTARTS\): a whole number is needed, got 'often'"):
        start.main(["train", "a.py", "2"])


def test_several_processes_on_a_gpu_without_nccl_are_sent_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    launch = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in launch.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    for device in ("cuda", "mps"):
        with pytest.raises(RunError, match=r"runtime\.device=cpu"):
            dist.init(torch.device(device))
