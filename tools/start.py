"""Set up, test, and start several processes, on every system; the scripts of tools/*.sh call this one.

    python tools/start.py quickstart [key=value ...]            install into .venv, then the main job on photographs
    python tools/start.py tests [arguments of pytest]           install into .venv, then lint and tests
    python tools/start.py train CONFIG NGPUS [arguments of train.py]            as tools/dist_train.sh CONFIG NGPUS ...
    python tools/start.py test CONFIG CHECKPOINT NGPUS [arguments of test.py]   as tools/dist_test.sh CONFIG ...

Options of train and test, before CONFIG; the variables in capitals do the same:

    --nnodes N --node-rank R --master-addr HOST --master-port PORT   several machines: run it on each (NNODES, ...)
    --max-restarts N       start all processes again after a failure, from the newest checkpoint (MAX_RESTARTS)
    --shutdown-timeout S   seconds the launcher leaves for saving after a signal (SHUTDOWN_TIMEOUT)

PYTHON chooses the Python. This file needs nothing but Python itself, since it makes the environment for the rest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IS_WINDOWS = os.name == "nt"
OPTIONS = ("nnodes", "node-rank", "master-addr", "master-port", "max-restarts", "shutdown-timeout")
ACTIVATE = r".venv\Scripts\Activate.ps1" if IS_WINDOWS else "source .venv/bin/activate"


def main(arguments: list[str]) -> int:
    """Do what the first argument names; returns the exit code."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in ("quickstart", "tests"):
        os.chdir(ROOT)
        python = environment("test" if name == "tests" else "")
        return quickstart(python, rest) if name == "quickstart" else tests(python, rest)
    if name in ("train", "test"):
        return launch(name, rest)
    print(__doc__, file=sys.stderr)
    return 2


def environment(extra: str) -> str:
    """Make .venv with the tested versions where a stamp does not say that it is made; returns its Python."""
    if sys.version_info < (3, 11):  # noqa: UP036 - what is said to an older one
        raise SystemExit(
            f"srtoolbox needs Python 3.11 or newer; this is {sys.version.split()[0]}. Set PYTHON to a newer one."
        )
    folder = Path(".venv")
    python = folder / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")
    if not python.exists():
        run_or_stop([sys.executable, "-m", "venv", str(folder)])
    digest = hashlib.sha256(Path("setup.py").read_bytes() + Path("tools/constraints.txt").read_bytes()).hexdigest()
    stamp = folder / f".installed{extra}-{digest[:16]}"
    if not stamp.exists():
        print("== installing srtoolbox and what it needs into .venv (a few minutes the first time)", flush=True)
        for what in (["torch"], ["-e", f".[{extra}]" if extra else "."]):
            install = ["pip", "install", "--quiet", "--disable-pip-version-check", "-c", "tools/constraints.txt"]
            run_or_stop([str(python), "-m", *install, *what])
        stamp.touch()
    os.environ["VIRTUAL_ENV"] = str(folder.absolute())
    os.environ["PATH"] = os.pathsep.join([str(python.parent.absolute()), os.environ.get("PATH", "")])
    return str(python.absolute())


def run_or_stop(command: list[str]) -> None:
    """Run a step of the set-up; stop with one sentence below what it printed where it fails."""
    code = subprocess.run(command).returncode
    if code:
        raise SystemExit(f"{' '.join(command)}: failed ({code}); the reason stands above")


def quickstart(python: str, arguments: list[str]) -> int:
    """Train, test and upscale on photographs."""
    return become([python, "-m", "srtoolbox", "quickstart", *arguments])


def tests(python: str, arguments: list[str]) -> int:
    """Lint, then the suite with the type checker beside it: `-m slow` runs the slow part."""
    for lint in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        code = subprocess.run([python, "-m", *lint]).returncode
        if code:
            return code
    # one BLAS thread per test process: two processes on two cores would otherwise fight over them
    os.environ["OMP_NUM_THREADS"] = "1"
    with subprocess.Popen([python, "-m", "mypy"], stdout=subprocess.PIPE, text=True) as checker:
        code = wait_for([python, "-m", "pytest", "-n", "auto", "--dist", "worksteal", *arguments])
        print(f"mypy: {checker.communicate()[0]}", end="", flush=True)
    return code or checker.returncode


def launch(command: str, arguments: list[str]) -> int:
    """Start `srtoolbox train` or `srtoolbox test` on several processes by torchrun."""
    settings, rest = launch_settings(arguments)
    count = 2 if command == "train" else 3
    processes = rest[count - 1] if len(rest) >= count else ""
    if not processes.isdecimal() or int(processes) < 1:
        print(__doc__, file=sys.stderr)
        return 2
    python = os.environ.get("PYTHON") or sys.executable
    refuse_without_torch(python)
    named, more = rest[: count - 1], rest[count:]
    if command == "train" and int(settings["max-restarts"] or 0) and "--overwrite" not in more:
        # train does these two once: a restarted job goes on with what it began
        more += [] if any(text.startswith("--resume-from") for text in more) else ["--resume"]
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # each attempt its own store, none with old addresses
    os.environ["SRTOOLBOX_LAUNCHED"] = str(time.time())  # a restarted job knows by it which run it has begun
    if IS_WINDOWS:
        os.environ.setdefault("USE_LIBUV", "0")  # PyTorch for Windows is built without it
    run = ["-m", "torch.distributed.run", *launcher_arguments(processes, settings)]
    return become([python, *run, "-m", "srtoolbox", command, *named, *more])


def launch_settings(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the launcher's options, from the front of the arguments or the environment, and the other arguments."""
    settings = {name: os.environ.get(name.upper().replace("-", "_"), "") for name in OPTIONS}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name, equals, value = rest.pop(0)[2:].partition("=")
        if name not in OPTIONS or not (equals or rest):
            raise SystemExit(f"--{name}: the options before CONFIG are --{', --'.join(OPTIONS)}, each with a value")
        settings[name] = value if equals else rest.pop(0)
    if not (settings["max-restarts"] or "0").isdecimal():
        raise SystemExit(f"--max-restarts (MAX_RESTARTS): a whole number is needed, got {settings['max-restarts']!r}")
    return settings, rest


def launcher_arguments(processes: str, settings: dict[str, str]) -> list[str]:
    """Return the arguments of torchrun."""
    signals = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1")
    restarts, nodes = settings["max-restarts"] or "0", settings["nnodes"] or "1"
    host, port = settings["master-addr"] or "127.0.0.1", settings["master-port"] or "29500"
    options = ["--nproc-per-node", processes, "--max-restarts", restarts]
    options += ["--signals-to-handle", ",".join(name for name in signals if hasattr(signal, name))]
    if settings["shutdown-timeout"]:
        options += ["--shutdown-timeout", settings["shutdown-timeout"]]
    if nodes == "1" and not settings["master-port"]:
        return [*options, "--standalone"]
    if int(restarts):  # only this way the other machines learn of a restart
        name = os.environ.get("RUN_ID", "srtoolbox")
        return [*options, "--nnodes", nodes, "--rdzv-backend=c10d", "--rdzv-id", name, f"--rdzv-endpoint={host}:{port}"]
    rank = settings["node-rank"] or "0"
    return [*options, "--nnodes", nodes, "--node-rank", rank, "--master-addr", host, "--master-port", port]


def refuse_without_torch(python: str) -> None:
    """Stop with the way on where the Python that shall train has no PyTorch."""
    if python == sys.executable:
        fault = "" if importlib.util.find_spec("torch") else "has no PyTorch"
    else:
        look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
        try:
            fault = "has no PyTorch" if subprocess.run([python, "-c", look]).returncode else ""
        except OSError as error:
            fault = f"cannot be started ({error.strerror})"
    if fault:
        raise SystemExit(
            f"{python} {fault}. Activate the environment srtoolbox is installed in first ({ACTIVATE}), or set PYTHON "
            "to its Python; `python tools/start.py quickstart` makes one."
        )


def become(command: list[str]) -> int:
    """Run a command in place of this process, whose signals then reach it; Windows cannot, and waits."""
    if not IS_WINDOWS:
        sys.stdout.flush()
        os.execvp(command[0], command)  # noqa: S606
    return wait_for(command)


def wait_for(command: list[str]) -> int:
    """Run a command to its end: a console's signals reach it, too, and what it makes of them is waited for."""
    for name in ("SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: None)
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
