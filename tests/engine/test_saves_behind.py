"""Saves that a thread writes while the training goes on: the same files and faults, and nothing believed too early."""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.hooks import checkpoint as saving
from srtoolbox.engine.loop import Runner
from srtoolbox.engine.stop import Stop
from srtoolbox.io import files
from srtoolbox.io.threads import BackgroundCall
from srtoolbox.registry import HOOKS
from srtoolbox.weights.checkpoint import verify_checkpoint
from tests.engine.ranks import start
from tests.engine.runs import differing, final_state, listing, records, run, snapshot
from tests.engine.test_checkpoints import pair
from tests.faults.disk import Disk

UNDISTURBED = ("data.val.interval=20", "hooks.checkpoint.best=None")  # no evaluation whose best waits for a save


@HOOKS.register
class ListingHook(Hook):
    """Notes which checkpoints are there after each iteration."""

    phase = Phase.LOG

    def __init__(self) -> None:
        self.seen: dict[int, list[str]] = {}

    def after_iter(self, runner: Runner) -> None:
        self.seen[runner.iter] = listing(runner.work_dir, "iter_*.pth")


@HOOKS.register
class BreakHook(Hook):
    """Raises, or sends a signal, after iteration `at`."""

    phase = Phase.UPDATE

    def __init__(self, at: int, signum: int = 0) -> None:
        self.at, self.signum = at, signum

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at and self.signum:
            os.kill(os.getpid(), self.signum)
        elif runner.iter == self.at:
            raise ZeroDivisionError


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before the main thread waits for it."""
    is_awaited, wait, save = threading.Event(), BackgroundCall.wait, saving.save_checkpoint

    def waited(self: BackgroundCall) -> None:
        is_awaited.set()
        try:
            wait(self)
        finally:
            is_awaited.clear()

    def saved(path: Path, state: dict) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert is_awaited.wait(60)
        save(path, state)

    monkeypatch.setattr(BackgroundCall, "wait", waited)
    monkeypatch.setattr(saving, "save_checkpoint", saved)


def checkpoints(work_dir: Path) -> dict[str, bytes]:
    return {name: data for name, data in snapshot(work_dir / "checkpoints").items() if name.startswith("iter_")}


@pytest.mark.parametrize("settings", [UNDISTURBED, ("data.val.interval=7",)], ids=["saves", "saves and bests"])
def test_what_is_written_late_is_the_state_of_its_iteration(
    settings: tuple[str, ...], tiny_config: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run(tiny_config, tmp_path / "whole", *settings)
    request.getfixturevalue("late")
    runner = run(tiny_config, tmp_path / "late", *settings, "hooks.seen.type=ListingHook")
    seen = runner.hooks["seen"].seen
    assert seen[6] == [] and seen[10] == ["iter_000005.pth"]  # the training went on, and the next save waited
    assert seen[20] == listing(tmp_path / "late", "iter_*.pth") == listing(tmp_path / "whole", "iter_*.pth")
    for iteration in (5, 10, 15, 20):
        states = [final_state(tmp_path / name, iteration) for name in ("whole", "late")]
        assert [path for path in differing(*states) if not path.startswith("/hooks/seen")] == []
    assert records(tmp_path / "late") == records(tmp_path / "whole")
    for best in listing(tmp_path / "whole", "best_*.pth"):
        assert verify_checkpoint(tmp_path / "late/checkpoints" / best) is None
        assert (tmp_path / "late/checkpoints" / best).stat().st_size > 0


def test_the_bytes_of_a_late_save_are_those_of_one_in_turn(
    tiny_config: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run(tiny_config, tmp_path / "whole", *UNDISTURBED)
    request.getfixturevalue("late")
    run(tiny_config, tmp_path / "late", *UNDISTURBED)
    assert checkpoints(tmp_path / "late") == checkpoints(tmp_path / "whole")


def test_a_signal_waits_for_the_save_at_hand_and_saves_too(
    late: None, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_hook = f"hooks.break={{'type': 'BreakHook', 'at': 7, 'signum': {int(signal.SIGTERM)}}}"
    run(tiny_config, tmp_path / "run", *UNDISTURBED, signal_hook)
    assert listing(tmp_path / "run") == pair(5, 8)
    assert all(verify_checkpoint(path) is None for path in (tmp_path / "run/checkpoints").glob("*.pth"))


def test_a_crash_waits_for_the_save_at_hand(late: None, tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tiny_config, tmp_path / "run", *UNDISTURBED, "hooks.break={'type': 'BreakHook', 'at': 7}")
    assert listing(tmp_path / "run") == pair(5)
    assert verify_checkpoint(tmp_path / "run/checkpoints/iter_000005.pth") is None


def test_a_crash_and_a_failed_save_are_both_reported(
    late: None, tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srtoolbox.logger.LOGGER.propagate", True)
    with pytest.raises(ZeroDivisionError), failing(tmp_path / "run/checkpoints/.iter_000005"):
        run(tiny_config, tmp_path / "run", *UNDISTURBED, "hooks.break={'type': 'BreakHook', 'at': 7}")
    assert listing(tmp_path / "run") == []
    (line,) = [line for line in caplog.messages if "failed, too" in line]
    assert "hooks.checkpoint" in line and "iter_000005.pth: cannot be written (Permission denied)" in line


def test_the_pause_looks_for_no_cycles_and_is_alone_with_its_tensors(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the thread writes, each tensor that the main thread frees may wait for Python's lock."""
    states: list[weakref.ref] = []
    left: list[int] = []
    state_dict, start = Runner.state_dict, BackgroundCall.start

    def collected(runner: Runner) -> dict:
        state = state_dict(runner)
        states.extend(map(weakref.ref, state["networks"]["generator"].values()))
        assert not gc.isenabled()
        return state

    def started(self: BackgroundCall, call: Callable[[], object]) -> None:
        if self._name == "save":
            left.append(sum(state() is not None for state in states))
        start(self, call)

    monkeypatch.setattr(Runner, "state_dict", collected)
    monkeypatch.setattr(BackgroundCall, "start", started)
    run(tiny_config, tmp_path / "run", *UNDISTURBED, "max_iters=10")
    assert states and set(left) == {0} and gc.isenabled()


def failing(path: Path, *, after: int = 0) -> object:
    """Whatever is to be written to names that begin like `path`, is refused."""
    return Disk(path, after, errno.EACCES, lasting=True).active()


@pytest.mark.parametrize("name", ["iter_000010.pth", "iter_000010.json", "best_photos_psnr.pth"])
def test_a_failed_save_ends_the_run_and_is_not_believed(name: str, tiny_config: Path, tmp_path: Path) -> None:
    """Of the save of iteration 10, or of the best one of then; the run goes on from what was saved before."""
    settings = ("hooks.checkpoint.keep_last=2", *(UNDISTURBED if "iter" in name else ()))
    run(tiny_config, tmp_path / "whole", *settings)
    run(tiny_config, tmp_path / "run", *settings, "max_iters=7")
    with pytest.raises(Stop) as caught, failing(tmp_path / f"run/checkpoints/.{name}"):
        run(tiny_config, tmp_path / "run", *settings, resume=True)
    message = re.search(
        rf"{name}: cannot be written \(Permission denied\).* stops at iteration (\d+)", str(caught.value)
    )
    assert message and 10 <= int(message[1]) <= 15, caught.value
    whole = [path for path in listing(tmp_path / "run", "iter_*.pth") if is_whole(tmp_path / "run", path)]
    kept = (7, 10) if "best" in name else (5, 7)
    assert whole == [f"iter_{iteration:06d}.pth" for iteration in kept]
    assert all(is_whole(tmp_path / "run", path) for path in listing(tmp_path / "run", "best_*.pth"))
    assert not list((tmp_path / "run").rglob(".*.tmp"))
    run(tiny_config, tmp_path / "run", *settings, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "run")) == []
    assert records(tmp_path / "run") == records(tmp_path / "whole")


@pytest.mark.parametrize("name", ["iter_000005.pth", "best_photos_psnr.pth"])
def test_a_failed_save_at_the_end_stops_the_run_like_any_other(name: str, tiny_config: Path, tmp_path: Path) -> None:
    message = rf"{name}: cannot be written .* stops at iteration 5;"
    with pytest.raises(Stop, match=message), failing(tmp_path / f"run/checkpoints/.{name}"):
        run(tiny_config, tmp_path / "run", "max_iters=5")


@HOOKS.register
class SignalHook(Hook):
    """Sends SIGTERM after iteration 7, and waits until a save that `SIGNALLED` lets go has ended."""

    phase = Phase.UPDATE

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == 7:
            os.kill(os.getpid(), signal.SIGTERM)
            SIGNALLED.set()
            for thread in threading.enumerate():
                if thread.name == "save":
                    thread.join(60)


SIGNALLED = threading.Event()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before the signal of `SignalHook`."""
    save = saving.save_checkpoint
    SIGNALLED.clear()

    def saved(path: Path, state: dict) -> None:
        assert SIGNALLED.wait(60)
        save(path, state)

    monkeypatch.setattr(saving, "save_checkpoint", saved)


@pytest.mark.parametrize("when", ["late", "known"])
@pytest.mark.parametrize("names", ["iter_000005", "iter_"], ids=["one", "all"])
def test_a_signal_saves_though_the_save_before_it_has_failed(
    when: str,
    names: str,
    tiny_config: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The failure is met by the signal's own save, or is known as the signal comes."""
    monkeypatch.setattr("srtoolbox.logger.LOGGER.propagate", True)
    request.getfixturevalue(when)
    kind = "BreakHook', 'at': 7, 'signum': 15" if when == "late" else "SignalHook'"
    settings = (*UNDISTURBED, f"hooks.break={{'type': '{kind}}}")
    with failing(tmp_path / f"run/checkpoints/.{names}"):
        if names == "iter_":
            with pytest.raises(Stop, match=r"iter_000008.pth: cannot be written .* stops at iteration 8"):
                run(tiny_config, tmp_path / "run", *settings)
        else:
            run(tiny_config, tmp_path / "run", *settings)
    assert listing(tmp_path / "run") == ([] if names == "iter_" else pair(8))
    (line,) = [line for line in caplog.messages if line.startswith("a save before the last one failed: ")]
    assert "iter_000005.pth: cannot be written (Permission denied)" in line


def is_whole(work_dir: Path, name: str) -> bool:
    return verify_checkpoint(work_dir / "checkpoints" / name) is None


@pytest.mark.usefixtures("known")
def test_a_signal_saves_whatever_the_save_before_it_has_failed_with(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srtoolbox.logger.LOGGER.propagate", True)
    save = saving.save_checkpoint

    def saved(path: Path, state: dict) -> None:
        if path.name == "iter_000005.pth":
            assert SIGNALLED.wait(60)
            raise MemoryError("no memory is left")
        save(path, state)

    monkeypatch.setattr(saving, "save_checkpoint", saved)
    run(tiny_config, tmp_path / "run", *UNDISTURBED, "hooks.break={'type': 'SignalHook'}")
    assert listing(tmp_path / "run") == pair(8)
    assert "a save before the last one failed: MemoryError: no memory is left" in caplog.messages


def test_what_was_verified_is_read_once_in_a_run_and_again_in_the_next(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    sha256 = files.sha256

    def counted(path: Path) -> str:
        read[Path(path).name] += 1
        return sha256(path)

    monkeypatch.setattr(files, "sha256", counted)
    settings = (*UNDISTURBED, "hooks.checkpoint.keep_last=3", "hooks.checkpoint.interval=2")
    run(tiny_config, tmp_path / "run", *settings, "max_iters=8")
    assert read == {f"iter_{number:06d}.pth": 1 for number in (2, 4, 6, 8)}
    read.clear()
    path = tmp_path / "run/checkpoints/iter_000006.pth"
    data = path.read_bytes()
    path.write_bytes(data[:-30] + bytes([data[-30] ^ 1]) + data[-29:])
    run(tiny_config, tmp_path / "run", *settings, "max_iters=10", resume=True)
    assert read == {f"iter_{number:06d}.pth": 1 for number in (4, 6, 8, 10)}
    assert listing(tmp_path / "run", "*.pth") == [f"iter_{number:06d}.pth" for number in (4, 6, 8, 10)]  # 6 is no count


def test_lines_of_the_log_are_on_the_disk_before_the_checkpoint_that_follows_them(
    tiny_config: Path, tmp_path: Path
) -> None:
    disk = Disk(tmp_path / "run")
    with disk.active():
        run(tiny_config, tmp_path / "run", *UNDISTURBED, "max_iters=10", "hooks.checkpoint.interval=10")
    kinds = [(operation.kind, Path(operation.target or operation.path).name) for operation in disk.operations]
    lines = [number for number, kind in enumerate(kinds) if kind == ("write", "scores.jsonl")][:3]  # of 3, 6, 9
    synced, committed = kinds.index(("fsync", "scores.jsonl")), kinds.index(("rename", "iter_000010.json"))
    assert lines[-1] < synced < committed


@pytest.mark.timeout(120)
def test_two_ranks_go_on_while_one_writes_and_end_when_it_cannot(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = saving.save_checkpoint

    def slow(path: Path, state: dict) -> None:
        time.sleep(0.2)
        save(path, state)

    monkeypatch.setattr(saving, "save_checkpoint", slow)
    command = ["train", str(tiny_config), *UNDISTURBED, "data.train.batch_size=2", "--work-dir"]
    ranks = start(2, tmp_path / "ranks", [*command, str(tmp_path / "run")])
    try:
        assert ranks.wait(60) == {0: 0, 1: 0}
    finally:
        ranks.end()
    assert listing(tmp_path / "run") == pair(5, 10, 15, 20)
    with failing(tmp_path / "full/checkpoints/.iter_000010"):
        ranks = start(2, tmp_path / "ranks", [*command, str(tmp_path / "full")])
        try:
            codes = ranks.wait(60)
        finally:
            ranks.end()
    assert codes == {0: 1, 1: 1}
    assert "iter_000010.pth: cannot be written (Permission denied)" in ranks.errors(0)
    assert listing(tmp_path / "full") == pair(5)
