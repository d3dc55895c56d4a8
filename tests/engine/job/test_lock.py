"""Two runs on one work dir: the second refuses. A lock ends with its holder, however that ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.hooks import checkpoint as saving
from srtoolbox.engine.job import job
from srtoolbox.engine.job.job import Job
from srtoolbox.engine.job.workdir import RunLock, is_in_use
from srtoolbox.engine.run import Run
from srtoolbox.errors import RunError
from srtoolbox.io import threads
from srtoolbox.system import FileLock
from tests.engine.job.test_signals import running
from tests.engine.ranks import start
from tests.engine.runs import listing, snapshot
from tests.engine.test_checkpoints import pair


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("world", "option"),
    [
        (1, "--resume"),
        (2, "--overwrite"),
        pytest.param(2, "--resume", marks=pytest.mark.slow),
        pytest.param(1, "--overwrite", marks=pytest.mark.slow),
    ],
)
def test_the_second_run_refuses(
    world: int, option: str, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    with running(world, tiny_config, tmp_path) as ranks:
        before = (tmp_path / "run/scores.jsonl").read_text()
        assert main([*arguments, option]) == 2
        error = capsys.readouterr().err
        assert "in use by another run" in error and f'"pid": {ranks.pids[0]}' in error
        assert (tmp_path / "run/scores.jsonl").read_text().startswith(before)
        os.kill(ranks.pids[0], signal.SIGKILL)
        ranks.wait(30)
    assert main([*arguments, "--resume"]) == 0  # the lock's file is there, its holder is not


@pytest.mark.timeout(100)
def test_a_killed_run_is_resumed_while_its_workers_live(tiny_config: Path, tmp_path: Path) -> None:
    if multiprocessing.get_start_method() == "forkserver":
        pytest.skip("the workers are children of the fork server, not of the run")
    again = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--resume"]
    assert main([*again, "max_iters=5"]) == 0
    # in a used folder the lock is taken before the workers start, who then know of its file
    with running(1, tiny_config, tmp_path, "--resume", "data.train.workers=2") as ranks:
        pid = ranks.pids[0]
        children, deadline = Path(f"/proc/{pid}/task/{pid}/children"), time.monotonic() + 60
        while len(workers := [int(word) for word in children.read_text().split()]) < 2:
            ranks.poll()
            assert not ranks.codes and time.monotonic() < deadline, ranks.errors(0)
            time.sleep(0.02)
        try:
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)  # else they would end a few seconds after the run
            os.kill(pid, signal.SIGKILL)
            ranks.wait(30)
            assert main(again) == 0
            for worker in workers:
                os.kill(worker, 0)
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)


def test_a_folder_stays_locked_until_its_last_save_is_written(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C again and again: whoever waits for the save gives up, and the thread writes on."""
    gate, save, wait = threading.Event(), saving.save_checkpoint, threads.wait

    def slow(path: Path, state: dict) -> None:
        assert gate.wait(60)
        save(path, state)

    def interrupted(*arguments: object, **options: object) -> object:
        if any(thread.name == "save" for thread in threading.enumerate()):
            raise KeyboardInterrupt
        return wait(*arguments, **options)  # for the copy of the state, before there is a writer

    monkeypatch.setattr(saving, "save_checkpoint", slow)
    job = Job(Config.fromfile(str(tiny_config), ["data.val.interval=20"]), tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threads, "wait", interrupted)
        job.train()
    (writer,) = [thread for thread in threading.enumerate() if thread.name == "save"]
    for other in (job, Job(job.config, tmp_path / "run")):
        with pytest.raises(RunError, match=f"in use by another run .*{os.getpid()}"):
            other.train(resume=True)
    gate.set()
    writer.join(60)
    assert listing(tmp_path / "run") == pair(5)
    assert job.train(resume=True).iteration == 20


def test_who_only_looks_whether_a_folder_is_in_use_hinders_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, own = FileLock(tmp_path / "run.lock"), RunLock(tmp_path)
    assert looking.acquire()
    monkeypatch.setattr(time, "sleep", lambda _: looking.release())
    own.acquire()
    assert is_in_use(tmp_path)
    own.release()
    assert not is_in_use(tmp_path)


@pytest.mark.timeout(60)
def test_a_fresh_folder_is_given_to_one_of_two(tiny_config: Path, tmp_path: Path) -> None:
    """Started at once: neither sees files of the other when it looks."""
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "max_iters=300"]
    pairs = [start(1, tmp_path / name, arguments) for name in ("a", "b")]
    try:
        codes = [pair.wait(50)[0] for pair in pairs]
    finally:
        for pair in pairs:
            pair.end()
    assert sorted(codes) == [0, 2], [pair.errors(0) for pair in pairs]


@pytest.mark.parametrize("option", ["--resume", "--overwrite", None])
def test_a_run_that_came_and_went_meanwhile_is_left_alone(
    option: str | None,
    tiny_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """Both find an empty folder; the other one has trained and ended before this one is built."""
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    build = Run.__init__

    def slowly(self: Run, *given: object, **named: object) -> None:
        monkeypatch.setattr(Run, "__init__", build)
        monkeypatch.setattr(job, "_ONE_RUN", threading.Lock())  # as in a process of its own
        assert main(arguments) == 0
        before.update(snapshot(tmp_path / "run"))
        build(self, *given, **named)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(Run, "__init__", slowly)
    assert main([*arguments, *filter(None, [option])]) == 2
    assert "another run" in capsys.readouterr().err
    after = snapshot(tmp_path / "run")
    assert before.pop("run.json") and after.pop("run.json") and before == after


@pytest.mark.parametrize("option", ["--resume", "--overwrite", None])
@pytest.mark.parametrize("place", ["file", "file/run", "/dev/null/run", "/proc/run", "long" * 80])
def test_a_work_dir_that_cannot_be_made_is_one_error(
    place: str,
    option: str | None,
    tiny_config: Path,
    photo_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    patches = f"hooks.patches={{'type': 'PatchesHook', 'patches': ['{photo_folder}/cat0.png']}}"
    work_dir = str(tmp_path / place)
    assert main(["train", str(tiny_config), "--work-dir", work_dir, patches, *filter(None, [option])]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {work_dir}")
