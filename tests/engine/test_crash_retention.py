"""Whatever befalls a folder of checkpoints (saves, resumes, damage, kills), something to go on from is always there."""

from __future__ import annotations

import shutil
import tempfile
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

from srtoolbox.engine.checkpoint import (
    iteration_of,
    latest_checkpoint,
    list_checkpoints,
    save_checkpoint,
    verify_checkpoint,
)
from srtoolbox.engine.hooks.checkpoint import CheckpointHook
from srtoolbox.engine.workdir import prepare
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
        save_checkpoint(self.folder / "best_set_psnr.pth", self._state())
        self.best = self.iteration

    @rule(at=st.integers(0, DISK_OPERATIONS))
    def killed_while_saving(self, at: int) -> None:
        self.iteration += 1
        disk = Disk(self.folder, at)

        def act() -> None:
            with disk.active():
                self._save()

        in_child(act)
        self.resume()

    @rule()
    def resume(self) -> None:
        newest = latest_checkpoint(self.folder)
        self.iteration = iteration_of(newest) if newest else 0
        prepare(self.work_dir, iteration=self.iteration, overwrite=False, resumed_from=newest)
        if self.best is not None and self.best > self.iteration:
            self.best = None  # moved aside with the checkpoints of its time
        self._begin(newest)

    @precondition(lambda self: self.saved and len(self._whole()) >= 2)
    @rule(which=st.integers(0, 9), cut=st.booleans())
    def damage(self, which: int, cut: bool) -> None:
        path = self._whole()[which % len(self._whole())]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data[: len(data) // 2] if cut else data)

    def _whole(self) -> list[Path]:
        return [path for path in list_checkpoints(self.folder) if verify_checkpoint(path) is None]

    @invariant()
    def something_is_there(self) -> None:
        if getattr(self, "saved", False):
            assert self._whole(), "no whole checkpoint is left"
            assert latest_checkpoint(self.folder) == self._whole()[-1]

    @invariant()
    def what_is_promised_is_there(self) -> None:
        if getattr(self, "best", None) is not None:
            assert verify_checkpoint(self.folder / "best_set_psnr.pth") is None
            assert not list(self.folder.glob("best_*.tmp"))
        if getattr(self, "resumed_from", None) is not None:
            assert self.resumed_from.exists(), "the one resumed from was deleted"

    def teardown(self) -> None:
        shutil.rmtree(self.work_dir, ignore_errors=True)


TestRetention = Retention.TestCase
TestRetention.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_thousand_sequences() -> None:
    run_state_machine_as_test(Retention, settings=settings(max_examples=2000, stateful_step_count=20, deadline=None))
