"""The launch scripts as a user runs them: training and testing on two processes, restarts, SLURM; faulty launches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.registry import HOOKS
from tests.engine.ranks import free_port, start
from tests.engine.runs import differing, final_state, listing, records, run
from tests.engine.test_faulty_ranks import FaultHook

TOOLS = Path(__file__).parents[3] / "tools"
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
KILL_ONCE = """
import os, signal
from pathlib import Path
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.registry import HOOKS

@HOOKS.register
class KillOnceHook(Hook):
    phase = Phase.UPDATE

    def __init__(self, at: int, mark: str) -> None:
        self.at, self.mark = at, mark

    def after_iter(self, runner) -> None:
        if runner.iter == self.at and os.environ["RANK"] == "1" and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def launch(script: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess:
    command = [str(TOOLS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**ENV, **environ}, timeout=200)


@pytest.mark.timeout(280)
def test_train_and_test_on_two_processes(tiny_config: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    done = launch("dist_train.sh", tiny_config, 2, "--work-dir", work_dir, "data.train.batch_size=2")
    assert done.returncode == 0, done.stderr[-3000:]
    log = (work_dir / "train.log").read_text()
    assert "batch 2 per process x 2 processes = 4 samples per iteration" in log
    run(tiny_config, tmp_path / "one")
    rates = [
        [line["lr"] for line in records(folder) if line["kind"] == "train"] for folder in (work_dir, tmp_path / "one")
    ]
    assert rates[0] == rates[1]  # never changed for the number of processes
    scores = tmp_path / "scores.json"
    done = launch("dist_test.sh", tiny_config, work_dir / "checkpoints/iter_000020.pth", 2, "--json", scores)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(scores.read_text())["iter_000020"]["photos"]["images"]) == 6


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_restart_goes_on_exactly(tiny_config: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "kill_once.py"
    plugin.write_text(KILL_ONCE)
    hook = f"hooks.kill={{'type': 'KillOnceHook', 'at': 8, 'mark': '{tmp_path / 'mark'}'}}"
    options = ["data.train.batch_size=2", "--plugin", plugin, hook]
    ranks = start(2, tmp_path, ["train", str(tiny_config), "--work-dir", str(tmp_path / "whole"), options[0]])
    try:
        assert ranks.wait(100) == {0: 0, 1: 0}, ranks.errors(0)
    finally:
        ranks.end()
    parts = launch("dist_train.sh", tiny_config, 2, "--work-dir", tmp_path / "parts", *options, MAX_RESTARTS="3")
    assert parts.returncode == 0, parts.stderr[-3000:]
    assert (tmp_path / "mark").exists() and "resuming from" in parts.stderr
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("restarts", [0, 3])
def test_two_machines(restarts: int, tiny_config: Path, tmp_path: Path) -> None:
    """Two launchers, one process each: with a process killed, both learn of it and start again."""
    (tmp_path / "kill_once.py").write_text(KILL_ONCE)
    hook = f"hooks.kill={{'type': 'KillOnceHook', 'at': 8, 'mark': '{tmp_path / 'mark'}'}}"
    options = ["--plugin", tmp_path / "kill_once.py", hook] if restarts else []
    arguments = ["data.train.batch_size=2", "runtime.dist_timeout=20"]
    whole = launch("dist_train.sh", tiny_config, 2, "--work-dir", tmp_path / "whole", *arguments)
    assert whole.returncode == 0, whole.stderr[-3000:]
    environ = {"NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = ["dist_train.sh", tiny_config, 1, "--work-dir", tmp_path / "parts", *arguments, *options]
    with ThreadPoolExecutor(2) as pool:
        machines = [
            pool.submit(launch, *command, **environ, NODE_RANK=str(rank), MAX_RESTARTS=str(restarts)) for rank in (0, 1)
        ]
    for machine in machines:
        assert machine.result().returncode == 0, machine.result().stderr[-3000:]
    assert (tmp_path / "mark").exists() == bool(restarts)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("at", [2, 5, 9, 13, 19])
def test_a_restart_anywhere_goes_on_exactly(at: int, tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "kill_once.py").write_text(KILL_ONCE)
    hook = f"hooks.kill={{'type': 'KillOnceHook', 'at': {at}, 'mark': '{tmp_path / 'mark'}'}}"
    options = ["data.train.batch_size=2", "--plugin", tmp_path / "kill_once.py", hook]
    whole = launch("dist_train.sh", tiny_config, 2, "--work-dir", tmp_path / "whole", "data.train.batch_size=2")
    parts = launch("dist_train.sh", tiny_config, 2, "--work-dir", tmp_path / "parts", *options, MAX_RESTARTS="3")
    assert whole.returncode == parts.returncode == 0, parts.stderr[-3000:]
    assert (tmp_path / "mark").exists()
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


SRUN = """#!/usr/bin/env bash
# srun as slurm_train.sh uses it: two tasks, and signals passed on to them
shift
pids=()
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 "$@" &
    pids+=($!)
done
echo "${pids[@]}" > "$PIDS"
code=0
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
exit $code
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_slurm_saves_queues_again_and_goes_on(tiny_config: Path, tmp_path: Path) -> None:
    """With stand-ins for srun and scontrol, which pass on what SLURM would."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text(SRUN)
    (tools / "scontrol").write_text(f'#!/bin/sh\n[ "$1" = show ] && echo 127.0.0.1 || echo "$@" >> {tmp_path}/queue\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "here",
        "MASTER_PORT": str(free_port()),
        "PIDS": f"{tmp_path}/pids",
    }
    environ = {**ENV, **job, "PATH": f"{tools}:{os.environ['PATH']}"}
    command = [str(TOOLS / "slurm_train.sh"), str(tiny_config), "--work-dir", str(tmp_path / "run")]
    process = subprocess.Popen([*command, "max_iters=1000000"], env=environ, stderr=subprocess.PIPE, text=True)
    log, deadline = tmp_path / "run/scores.jsonl", time.monotonic() + 90
    while not (log.exists() and log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    for pid in (tmp_path / "pids").read_text().split():
        os.kill(int(pid), signal.SIGUSR1)
    process.send_signal(signal.SIGUSR1)  # the shell of the job must survive it
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 138, errors
    assert (tmp_path / "queue").read_text() == "requeue 7\n"
    reached = int(max(listing(tmp_path / "run", "iter_*.pth")).removeprefix("iter_").removesuffix(".pth"))
    again = subprocess.run(
        [*command, f"max_iters={reached + 3}"], env=environ, capture_output=True, text=True, timeout=90
    )
    assert again.returncode == 0, again.stderr
    assert f"resuming from {tmp_path}/run/checkpoints/iter_{reached:06d}.pth" in again.stderr


def test_slurm_takes_no_signal_for_the_end_of_the_tasks(tmp_path: Path) -> None:
    """The shell is told of the time limit just as the tasks fail: that is no reason to queue the job again."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text("#!/usr/bin/env bash\nkill -USR1 $PPID\nexit 3\n")
    (tools / "scontrol").write_text(f'#!/bin/sh\n[ "$1" = show ] && echo here || echo "$@" >> {tmp_path}/queue\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "here", "PATH": f"{tools}:{os.environ['PATH']}"}
    assert {launch("slurm_train.sh", "a.py", **job).returncode for _ in range(20)} == {3}
    assert not (tmp_path / "queue").exists()


@pytest.mark.parametrize(
    ("script", "arguments"), [("dist_train.sh", ["a.py"]), ("dist_test.sh", ["a.py", "b.pth", "x"])]
)
def test_a_wrong_call_shows_the_right_one(script: str, arguments: list[str]) -> None:
    done = launch(script, *arguments)
    assert done.returncode == 2 and f"tools/{script} CONFIG" in done.stderr


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh"])
@pytest.mark.parametrize(
    ("python", "fault"), [(None, "has no PyTorch"), ("no-such-python", "no-such-python cannot be started")]
)
def test_outside_the_environment_it_is_said_what_to_activate(
    script: str, python: str | None, fault: str, tmp_path: Path
) -> None:
    """As found on a machine without an environment: a python3 alone on the path, and no PyTorch in it."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "dirname", "env"):
        (bare / name).symlink_to(shutil.which(name))
    (bare / "python3").write_text(f'#!/bin/sh\nexec {sys.base_prefix}/bin/python3 -S "$@"\n')
    (bare / "python3").chmod(0o755)
    environ = {"PATH": str(bare), **({"PYTHON": python} if python else {})}
    command = [str(TOOLS / script), "a.py", *(["b.pth"] if script == "dist_test.sh" else []), "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert fault in done.stderr and "source .venv/bin/activate" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", ["MASTER_ADDR", "port", pytest.param("world", marks=pytest.mark.slow)])
def test_a_faulty_launch_is_one_line(fault: str, tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "runtime.dist_timeout=3"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environ = {
            "MASTER_ADDR": {"MASTER_ADDR": ""},
            "port": {"MASTER_PORT": str(taken.getsockname()[1])},
            "world": {"WORLD_SIZE": "2"},
        }[fault]
        ranks = start(1, tmp_path, arguments, **environ)
        try:
            assert ranks.wait(30)[0] not in (0, -9)
        finally:
            ranks.end()
    told = [line for line in ranks.errors(0).splitlines() if "rank 0 of" in line]
    assert told and "Traceback" not in ranks.errors(0), ranks.errors(0)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("where", ["save", "evaluate"])
def test_rank_0_may_take_longer_than_the_timeout(where: str, tiny_config: Path, tmp_path: Path) -> None:
    slow = f"hooks.fault={{'type': '{FaultHook.__name__}', 'what': '8', 'where': '{where}', 'rank': 0}}"
    options = ["runtime.dist_timeout=3", "max_iters=6", "data.val.interval=5", slow]
    ranks = start(2, tmp_path, ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), *options])
    try:
        assert ranks.wait(100) == {0: 0, 1: 0}, ranks.errors(1)
    finally:
        ranks.end()


@HOOKS.register
class SameScoresHook(Hook):
    """Writes each rank's scores of each evaluation."""

    phase = Phase.LOG

    def after_eval(self, runner: Runner, evaluation: object) -> None:
        images = evaluation.images["photos"]
        scores = {name: {k: v.hex() for k, v in s.items() if k != "seconds"} for name, s in images.items()}
        (runner.work_dir / f"scores{os.environ['RANK']}.json").write_text(json.dumps(scores))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3, 5, 6, 7, 8, 9))])
def test_scores_do_not_depend_on_the_number_of_ranks(
    count: int, tiny_config: Path, photo_folder: Path, tmp_path: Path
) -> None:
    """Fewer, as many and more images than ranks, none twice, on every rank alike: to the last bit."""
    folder = tmp_path / "few"
    folder.mkdir()
    photos = sorted(photo_folder.glob("*.png"))
    for number in range(count):
        (folder / f"{number}.png").write_bytes(photos[number % len(photos)].read_bytes())
    found = {}
    for world in (1, 2, 3):
        work_dir = tmp_path / f"run{world}"
        options = ["max_iters=1", "hooks.same.type=SameScoresHook", f"data.val.datasets.photos.gt={folder}"]
        options += ["optim.generator.optimizer.lr=0.0"]
        ranks = start(
            world, tmp_path / f"ranks{world}", ["train", str(tiny_config), "--work-dir", str(work_dir), *options]
        )
        try:
            assert set(ranks.wait(60).values()) == {0}, ranks.errors(0)
        finally:
            ranks.end()
        found[world] = {(work_dir / f"scores{rank}.json").read_text() for rank in range(world)}
    assert len(found[1] | found[2] | found[3]) == 1
    assert len(json.loads(found[1].pop())) == count
