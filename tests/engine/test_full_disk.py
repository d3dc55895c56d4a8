"""A disk that fills during a run: what only watches goes on trying, what must be saved ends the run with a sentence."""

from __future__ import annotations

import errno
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.hooks.tensorboard import open_writer
from srtoolbox.engine.loop import Runner
from srtoolbox.errors import RunError
from srtoolbox.io.files import write_fault
from srtoolbox.plots.snapshots import list_snapshots
from srtoolbox.registry import HOOKS
from tests.engine.runs import build, differing, events, final_state, records, run
from tests.faults.disk import Disk

ROOT = Path(__file__).parents[2]
BOARD = ("hooks.logger.tensorboard=True", "hooks.logger.interval=1", "hooks.checkpoint.interval=5")


@HOOKS.register
class FullDiskHook(Hook):
    """Fills the disk below a path of the work dir after one iteration, until after another or the run's end."""

    phase = Phase.LOG  # last in the config, it acts after the logger

    def __init__(self, path: str, first: int, last: int = 10**6) -> None:
        self.path, self.first, self.last = path, first, last

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.first:
            written = threading.Event()  # what is being saved meanwhile must fit: the next save is the one that fails
            runner.hooks["checkpoint"].when_written(written.set)
            assert written.wait(60)
            if (writer := runner.hooks["logger"].writer) is not None:
                writer.flush()
            self.disk = Disk(runner.work_dir / self.path, at=0, fault=errno.ENOSPC, lasting=True).active()
            self.disk.__enter__()
        elif runner.iter == self.last:
            self._free()

    def after_train(self, runner: Runner, error: BaseException | None = None) -> None:
        self._free()

    def _free(self) -> None:
        if hasattr(self, "disk"):
            self.disk.__exit__(None, None, None)
            del self.disk


def full(path: str, first: int, last: int = 10**6) -> str:
    return f"hooks.full=dict(type='FullDiskHook', path={path!r}, first={first}, last={last})"


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said, filled as the test runs."""
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    said: list[str] = []
    monkeypatch.setattr(caplog.handler, "emit", lambda record: said.append(record.getMessage()))
    return said


def test_tensorboard_waits_for_room_and_lacks_nothing(tiny_config: Path, tmp_path: Path, messages: list[str]) -> None:
    run(tiny_config, tmp_path / "whole", *BOARD)
    run(tiny_config, tmp_path / "full", *BOARD, full("events", 3, 12))
    (told,) = [line for line in messages if "disk full" in line]
    assert "The training goes on; TensorBoard's records wait" in told
    assert events(tmp_path / "full") == events(tmp_path / "whole") != {}
    assert records(tmp_path / "full") == records(tmp_path / "whole")


def test_tensorboard_may_lack_its_end_and_the_run_ends_well(
    tiny_config: Path, tmp_path: Path, messages: list[str], capfd: pytest.CaptureFixture
) -> None:
    run(tiny_config, tmp_path / "whole", *BOARD)
    assert run(tiny_config, tmp_path / "full", *BOARD, full("events", 13)).iter == 20
    assert "Traceback" not in capfd.readouterr().err
    assert len([line for line in messages if "disk full" in line]) == 1
    assert any(re.search(r"lacks its last \d+ records", line) for line in messages)
    steps = [step for step, _ in events(tmp_path / "full")["loss/pixel"]]
    assert steps == list(range(1, 14))


def test_a_writer_that_finds_the_disk_full_begins_when_there_is_room(tmp_path: Path) -> None:
    with Disk(tmp_path, at=0, fault=errno.ENOSPC, lasting=True).active():
        writer = open_writer(tmp_path, purge_step=0)
        writer.add_scalar("loss/pixel", 2.0, 1)
        writer.flush()
    writer.add_scalar("loss/pixel", 1.0, 2)
    writer.close()
    assert events(tmp_path) == {"loss/pixel": [(1, 2.0), (2, 1.0)]}


def test_snapshots_go_on_when_there_is_room(
    tiny_config: Path, tmp_path: Path, photo_folder: Path, messages: list[str]
) -> None:
    patches = f"hooks.patches=dict(type='PatchesHook', patches=[{str(photo_folder / 'cat1.png')!r}], interval=2)"
    run(tiny_config, tmp_path / "run", patches, full("snapshots", 3, 9))
    assert sorted(list_snapshots(tmp_path / "run/snapshots/patches/cat1")) == [0, 2, 10, 12, 14, 16, 18, 20]
    (told,) = [line for line in messages if "disk full" in line]
    assert "The training goes on without this snapshot and tries again with the next" in told


def test_snapshots_begin_when_there_is_room(tiny_config: Path, tmp_path: Path, photo_folder: Path) -> None:
    patches = f"hooks.patches=dict(type='PatchesHook', patches=[{str(photo_folder / 'cat1.png')!r}], interval=2)"
    runner = build(tiny_config, tmp_path / "run", patches)
    hook = runner.hooks["patches"]
    with Disk(tmp_path / "run/snapshots", at=0, fault=errno.ENOSPC, lasting=True).active():
        hook.before_train(runner)
    hook.after_iter(runner)
    folder = tmp_path / "run/snapshots/patches/cat1"
    assert {"input.png", "truth.png", "about.json", "iter_000000.png"} <= {path.name for path in folder.iterdir()}


def test_a_checkpoint_that_does_not_fit_ends_the_run_and_a_resume_goes_on(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole", *BOARD)
    with pytest.raises(RunError) as caught:
        run(tiny_config, tmp_path / "full", *BOARD, full("checkpoints", 8))
    told = str(caught.value)
    assert re.search(r"checkpoints/iter_000010.pth: disk full: \d+ bytes .* needed, \d+ bytes .* free", told)
    assert "The run stops at iteration 10; --resume continues from the newest save" in told
    run(tiny_config, tmp_path / "full", *BOARD, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "full")) == []
    assert records(tmp_path / "full") == records(tmp_path / "whole")


def test_the_sentence_says_how_much_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 3 << 20})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    told = write_fault(tmp_path / "iter_000010.pth", error, 5 << 20)
    assert "5242880 bytes (5.0 MiB) needed, 3145728 bytes (3.0 MiB) free, 2097152 bytes (2.0 MiB) missing" in told
    assert "missing" not in write_fault(tmp_path / "iter_000010.pth", error, 1 << 20)


@pytest.mark.slow
def test_a_real_small_disk_that_fills(tiny_config: Path, tmp_path: Path) -> None:
    """tmpfs in a namespace: a ballast file is written during the run, taken away, and the run goes on to its end."""
    script = """
import sys
from pathlib import Path
from srtoolbox.cli import main
disk, config, wide = Path(sys.argv[1]), sys.argv[2], "model.generator.channels=[64, 64]"
arguments = ["train", config, "--work-dir", str(disk / "run"), wide, "hooks.logger.tensorboard=True",
             "hooks.logger.interval=1", "hooks.checkpoint.keep_last=2", "hooks.checkpoint.best=None"]
(disk / "ballast").write_bytes(bytes(2_100_000))
print(main(arguments), flush=True)
(disk / "ballast").unlink()
print(main([*arguments, "--resume"]), sorted(path.name for path in (disk / "run/checkpoints").glob("*.pth")))
"""
    shell = f'mount -t tmpfs -o size=4m tmpfs "{tmp_path}/disk" && "{sys.executable}" -c "$0" "$@"'
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", shell, script, str(tmp_path / "disk"), str(tiny_config)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["2", "0 ['iter_000010.pth', 'iter_000015.pth', 'iter_000020.pth']"], (
        done.stderr[-3000:]
    )
    assert re.search(r"error: .*iter_0000\d\d.*: disk full: .* needed, .* free, .* missing", done.stderr)
