"""Power lost at any moment of several saves: whatever POSIX lets a disk forget, the run goes on from what was saved.

SIGKILL does not test this: it leaves the kernel's memory of what was written intact.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from srtoolbox.engine.hooks.checkpoint import CheckpointHook
from srtoolbox.errors import SrtoolboxError
from srtoolbox.io import files
from srtoolbox.weights.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint, verify_checkpoint
from tests.faults.disk import Disk, Operation, replace_atomic_write
from tests.faults.power import Model

SEED = 20260731
SAVES = 6
STATES_PER_MOMENT = 4


class Recording:
    """The operations of a run's first saves, with when each of them was finished."""

    def __init__(self, root: Path) -> None:
        self.root, self.work_dir = root, root / "runs/a"
        self.checkpoints = self.work_dir / "checkpoints"
        self.best = self.checkpoints / "best_set_psnr.pth"
        self.finished: list[tuple[int, str, int]] = []  # (operations so far, what, iteration)
        root.mkdir()
        disk = Disk(root)
        with disk.active():
            self._saves(disk)
        self.operations: list[Operation] = disk.operations

    def _saves(self, disk: Disk) -> None:
        files.write_text(self.work_dir / "config.py", "seed = 1\n")
        hook = CheckpointHook(interval=5, keep_last=2)
        hook.before_train(SimpleNamespace(work_dir=self.work_dir, resumed_from=None, iter=0))
        for number in range(1, SAVES + 1):
            files.append_line(self.work_dir / "scores.jsonl", f'{{"iter": {number}}}')
            files.sync_file(self.work_dir / "scores.jsonl")
            path = self.checkpoints / f"iter_{number:06d}.pth"
            save_checkpoint(path, state_of(number))
            self.finished.append((len(disk.operations), "latest", number))
            hook._retain(newest=path)
            if number % 2 == 0:
                save_checkpoint(self.best, state_of(number))
                self.finished.append((len(disk.operations), "best", number))

    def expected(self, count: int, what: str) -> int:
        """The last iteration whose save was finished when the power went: at least that must be there."""
        return max((number for done, kind, number in self.finished if kind == what and done <= count), default=0)


def state_of(number: int) -> dict[str, object]:
    values = torch.arange(300.0) * number
    return {"iter": number, "config": "{}", "networks": {"generator": {"w": values}}, "optims": {}}


def check(recording: Recording, count: int) -> None:
    """What a resume would find is whole, and nothing whose save was finished is missing."""
    newest = latest_checkpoint(recording.checkpoints)
    found = 0
    if newest is not None:
        state = load_checkpoint(newest)
        found = state["iter"]
        assert torch.equal(state["networks"]["generator"]["w"], state_of(found)["networks"]["generator"]["w"])
        lines = (recording.work_dir / "scores.jsonl").read_bytes().split(b"\n")
        assert lines[: found - 1] == [b'{"iter": %d}' % number for number in range(1, found)], "log lines are missing"
    assert found >= recording.expected(count, "latest"), f"{found} instead of {recording.expected(count, 'latest')}"
    best = recording.expected(count, "best")
    if best:
        assert verify_checkpoint(recording.best) is None
        assert load_checkpoint(recording.best)["iter"] >= best


def lose_power(recording: Recording, per_moment: int, *, stop: bool = False) -> tuple[int, int, list[str]]:
    """(states tried, states that differ, what failed) over every moment of the recording, or to the first failure."""
    rng, seen, tried, failures = random.Random(SEED), set(), 0, []
    for count in range(len(recording.operations) + 1):
        model = Model(recording.operations, count, {})
        model.folders.add(str(recording.root))
        for number in range(per_moment):
            chosen = model.write_state(recording.root, rng, {0: "none", 1: "all"}.get(number))
            tried += 1
            seen.add((count, chosen))
            try:
                check(recording, count)
            except (AssertionError, OSError, SrtoolboxError) as error:
                failures.append(f"after {count} operations, {chosen}: {type(error).__name__} {str(error)[:200]}")
                if stop:
                    return tried, len(seen), failures
    return tried, len(seen), failures


def test_every_state_recovers(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "disk")
    tried, different, failures = lose_power(recording, STATES_PER_MOMENT)
    assert failures == []
    assert different >= 200, (tried, different)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_ten_thousand_states_recover(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "disk")
    tried, different, failures = lose_power(recording, 10_000 // len(recording.operations) + 1)
    assert failures == [] and tried >= 10_000 and different >= 600, (tried, different)


def no_fsync_of_files(patch: pytest.MonkeyPatch) -> None:
    def atomic_write(path, writer, *, size=None, before_rename=lambda: None) -> None:
        files.make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.1-0a0a0a.tmp")
        with files.open(temporary, "xb") as file:
            writer(file)
        before_rename()
        os.replace(temporary, path)
        files.sync_folder(path.parent)

    replace_atomic_write(patch, atomic_write)


def no_fsync_of_folders(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "sync_folder", lambda folder: None)


def no_fsync_of_new_folders(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "make_folder", lambda folder: folder.mkdir(parents=True, exist_ok=True))
    patch.setattr("srtoolbox.engine.hooks.checkpoint.prepare_folder", lambda folder: folder.mkdir(exist_ok=True))


def no_fsync_of_logs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "sync_file", lambda path: None)


def writes_in_place(patch: pytest.MonkeyPatch) -> None:
    def atomic_write(path, writer, *, size=None, before_rename=lambda: None) -> None:
        files.make_folder(path.parent)
        with files.open(path, "wb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        before_rename()
        files.sync_folder(path.parent)

    replace_atomic_write(patch, atomic_write)


def file_before_its_sidecar(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("srtoolbox.weights.checkpoint.committed_entry", lambda *which: "unknown")


MUTANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    no_fsync_of_files,
    no_fsync_of_folders,
    no_fsync_of_new_folders,
    no_fsync_of_logs,
    writes_in_place,
    file_before_its_sidecar,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_model_bites(mutant: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        mutant(patch)
        recording = Recording(tmp_path / "disk")
    assert lose_power(recording, STATES_PER_MOMENT, stop=True)[2] != []
