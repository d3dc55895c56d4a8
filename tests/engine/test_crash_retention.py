"""Whatever befalls a folder of checkpoints (saves, resumes, damage, kills), something to go on from is always there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from srtoolbox.engine.hooks.checkpoint import CheckpointHook
from srtoolbox.engine.job.workdir import prepare
from srtoolbox.errors import CheckpointError
from srtoolbox.weights.checkpoint import (
    committed_entry,
    iteration_of,
    latest_checkpoint,
    list_checkpoints,
    save_checkpoint,
    sidecar_path,
    verify_checkpoint,
)
from tests.faults.disk import Disk, in_child

DISK_OPERATIONS = 16  # of a save and its retention
MEMORY = Path("/dev/shm")  # thousands of flushes to a real disk would take most of the time


class Retention(RuleBasedStateMachine):
    """A run that saves, is killed anywhere in a save, resumes, and whose disk damages files that are not the last."""

    @initialize(keep_last=st.integers(2, 4))
    def start(self, keep_last: int) -> None:
        self.work_dir = Path(tempfile.mkdtemp(prefix="retention_", dir=MEMORY if MEMORY.is_dir() else None))
        self.folder = self.work_dir / "checkpoints"
        self.iteration, self.keep_last, self.saved = 0, keep_last, False
        self.best: int | None = None
        self._begin(None)

    def _begin(self, resumed_from: Path | None) -> None:
        self.hook = CheckpointHook(interval=1, keep_last=self.keep_last)
        self.resumed_from = resumed_from
        runner = SimpleNamespace(work_dir=self.work_dir, resumed_from=resumed_from, iter=self.iteration)
        self.hook.before_train(runner)

    def _save(self) -> None:
        path = self.folder / f"iter_{self.iteration:06d}.pth"
        save_checkpoint(path, self._state())
        self.hook._retain(newest=path)

    def _state(self) -> dict[str, object]:
        networks = {"generator": {"w": torch.full((4,), float(self.iteration))}}
        return {"iter": self.iteration, "config": "{}", "networks": networks, "optims": {}}

    @rule()
    def save(self) -> None:
        self.iteration += 1
        self._save()
        self.saved = True

    @rule()
    def save_best(self) -> None:
        save_checkpoint(self._best_path, self._state())
        self.best = self.iteration

    @property
    def _best_path(self) -> Path:
        return self.folder / "best_set_psnr.pth"

    def _killed_at(self, at: int, action: Callable[[], object]) -> None:
        disk = Disk(self.folder, at)

        def act() -> None:
            with disk.active():
                action()

        in_child(act)

    @rule(at=st.integers(0, DISK_OPERATIONS))
    def killed_while_saving(self, at: int) -> None:
        self.iteration += 1
        self._killed_at(at, self._save)
        self.resume()

    @rule(at=st.integers(0, DISK_OPERATIONS))
    def killed_while_saving_best(self, at: int) -> None:
        """The old one is there, or the new one; of a first one perhaps nothing."""
        self._killed_at(at, lambda: save_checkpoint(self._best_path, self._state()))
        found = committed_entry(self._best_path)
        whole = found["iter"] if isinstance(found, dict) else None
        assert whole == self.iteration or whole == self.best
        self.best = whole
        self.resume()

    @rule()
    def resume(self) -> None:
        try:
            path = latest_checkpoint(self.folder)
        except CheckpointError:  # damaged ones alone, from before the point gone back to; then that is named again
            assert not self.saved
            path = self.resumed_from
        self._resume_from(path)

    @rule(which=st.integers(0, 9), at=st.none() | st.integers(0, DISK_OPERATIONS), save=st.booleans())
    def resume_from(self, which: int, at: int | None, save: bool) -> None:
        """Back to any one that is whole, or on from one put aside; perhaps killed while the folder is made ready."""
        choice = [path for path in self._whole() + self._whole("superseded") if path != self.resumed_from]
        if not choice:
            return
        path = choice[which % len(choice)]
        if at is not None:
            self._killed_at(at, lambda: self._prepare(path))
        self._resume_from(path)
        if save:
            self.iteration += 1
            self._save()
            self.saved = True

    @precondition(lambda self: self.saved and len(self._whole()) >= 2)
    @rule(at=st.none() | st.integers(0, DISK_OPERATIONS))
    def twice_the_same_iteration(self, at: int | None) -> None:
        """The newest is put aside, made again, damaged together with its commit; then the run returns to the first."""
        before, newest = self._whole()[-2:]
        self._resume_from(before)
        while self.iteration < iteration_of(newest):
            self.save()
        newest.write_bytes(newest.read_bytes()[:-9] + bytes(9))
        sidecar_path(newest).unlink()
        aside = self.folder / "superseded" / newest.name
        if at is not None:
            self._killed_at(at, lambda: self._prepare(aside))
        self._resume_from(aside)

    def _prepare(self, path: Path | None) -> None:
        iteration = iteration_of(path) if path else 0
        prepare(self.work_dir, iteration=iteration, overwrite=False, resumed_from=path)

    def _resume_from(self, path: Path | None) -> None:
        self._prepare(path)
        self.iteration = iteration_of(path) if path else 0
        self.saved = bool(self._whole())  # one put aside may be older than all in the folder
        if self.best is not None and self.best > self.iteration:
            self.best = None  # moved aside with the checkpoints of its time
        self._begin(path)

    @precondition(lambda self: self.saved and len(self._whole()) >= 2)
    @rule(which=st.integers(0, 9), cut=st.booleans(), alone=st.booleans())
    def damage(self, which: int, cut: bool, alone: bool) -> None:
        path = self._whole()[which % len(self._whole())]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data[: len(data) // 2] if cut else data)
        if alone:  # as if its save had been killed before the commit
            sidecar_path(path).unlink()

    def _whole(self, folder: str = ".") -> list[Path]:
        return [path for path in list_checkpoints(self.folder / folder) if verify_checkpoint(path) is None]

    @invariant()
    def something_is_there(self) -> None:
        if getattr(self, "saved", False):
            assert self._whole(), "no whole checkpoint is left"
            assert latest_checkpoint(self.folder) == self._whole()[-1]

    @invariant()
    def what_is_vouched_for_is_right(self) -> None:
        for path in self._whole() if hasattr(self, "folder") else ():
            state = torch.load(path, weights_only=True)
            assert {float(value) for value in state["networks"]["generator"]["w"]} == {float(iteration_of(path))}

    @invariant()
    def what_is_promised_is_there(self) -> None:
        if getattr(self, "best", None) is not None:
            assert committed_entry(self._best_path)["iter"] == self.best
            assert not list(self.folder.glob("best_*.tmp"))
        if getattr(self, "resumed_from", None) is not None:
            assert self.resumed_from.exists(), "the one resumed from was deleted"

    def teardown(self) -> None:
        shutil.rmtree(self.work_dir, ignore_errors=True)


TestRetention = Retention.TestCase
TestRetention.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_thousand_sequences() -> None:
    run_state_machine_as_test(Retention, settings=settings(max_examples=2000, stateful_step_count=20, deadline=None))
