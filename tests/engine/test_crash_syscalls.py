"""Each system call of a save, one after the other: killed there, or failing there, the run is as before or as after.

The save is that of a real run's iteration 15: a checkpoint, retention, two best ones replaced, two lines of log.
"""

from __future__ import annotations

import errno
import os
import pickle
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from srtoolbox.engine.loop import Runner, iterations
from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.weights.checkpoint import latest_checkpoint, verify_checkpoint
from tests.conftest import TINY
from tests.engine.runs import build, differing, final_state, flatten, records, run, snapshot
from tests.faults.disk import ERRORS, KILL, Disk, Operation, in_child, replace_atomic_write, writing_in_turn

# a high rate: scores rise and fall, and iteration 15 is better than 5 and 10 by both metrics or by one
SETTINGS = ("hooks.checkpoint.keep_last=2", "hooks.logger.interval=5", "hooks.ema=None")


def networks_in(path: Path) -> dict[str, bytes]:
    return flatten(load_tensors(path)["networks"])


class Scene:
    """A run that stands before iteration 15, to which everything can be put back."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.config, self.folder, self.backup = config, folder / "run", folder / "backup"
        run(config, folder / "whole", *SETTINGS)
        self.whole = folder / "whole"
        run(config, self.folder, *SETTINGS, "max_iters=10")
        self.runner: Runner = build(config, self.folder, *SETTINGS, resume=True)
        self.iterations = iterations(self.runner)
        with writing_in_turn():
            while self.runner.iter < 14:
                next(self.iterations)
        self.random_state = random.getstate()
        shutil.copytree(self.folder, self.backup)
        self.before = snapshot(self.folder)
        self.operations = self.record()
        self.after = snapshot(self.folder)
        shutil.copytree(self.folder / "checkpoints", folder / "after")

    def attempt(self, disk: Disk) -> int:
        """Iteration 15 in a forked process on a failing disk. Returns its exit code."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.backup, self.folder)
        (self.folder.parent / "told").unlink(missing_ok=True)
        return in_child(lambda: self._act(disk))

    def _act(self, disk: Disk) -> None:
        told: object = disk.operations
        random.setstate(self.random_state)  # Python seeds itself anew in a forked process
        try:
            with disk.active(), writing_in_turn():
                next(self.iterations)
        except SrtoolboxError as error:
            told = str(error)
        (self.folder.parent / "told").write_bytes(pickle.dumps(told))
        os._exit(2 if isinstance(told, str) else 0)

    def told(self) -> Any:
        """The error of the last attempt, or what it did."""
        return pickle.loads((self.folder.parent / "told").read_bytes())

    def record(self) -> list[Operation]:
        """The operations of iteration 15 on a disk without faults."""
        assert self.attempt(Disk(self.folder)) == 0, self.told()
        return self.told()

    def torn_files(self) -> list[str]:
        """Files that are neither as before nor as after; logs may have some of the new lines."""
        found = snapshot(self.folder)
        torn = [name for name, data in found.items() if data not in (self.before.get(name), self.after.get(name))]
        return [name for name in torn if not name.endswith((".tmp", ".jsonl")) and "best_" not in name]

    def best_are_whole(self) -> bool:
        """Each best file verifies and holds the networks of before or of after (its scores include seconds)."""
        folders = (self.backup / "checkpoints", self.folder.parent / "after")
        return all(
            verify_checkpoint(path) is None
            and networks_in(path) in [networks_in(folder / path.name) for folder in folders]
            for path in [self.folder / "checkpoints" / f"best_photos_{metric}.pth" for metric in ("psnr", "mae")]
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    config = folder / "tiny.py"
    config.write_text(TINY.format(folder=str(photo_folder)))
    yield Scene(config, folder)


def check_state(scene: Scene) -> int:
    """Old or new, never a mix. Returns the iteration a resume would begin at."""
    assert scene.torn_files() == []
    newest = latest_checkpoint(scene.folder / "checkpoints")
    assert newest is not None
    name = f"checkpoints/{newest.name}"
    assert newest.read_bytes() == {**scene.before, **scene.after}[name]
    assert scene.best_are_whole()
    assert sum(verify_checkpoint(p) is None for p in (scene.folder / "checkpoints").glob("iter_*.pth")) >= 2
    return int(newest.stem[5:])


EACH_OPERATION = pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.slow, id="each"), pytest.param(4, id="one_of_four")]
)


def test_the_scene_holds_every_kind_of_operation(scene: Scene) -> None:
    kinds = [operation.kind for operation in scene.operations]
    assert {"create", "open", "write", "fsync", "close", "rename", "fsync_folder", "unlink"} == set(kinds)
    renamed = {Path(operation.target).name for operation in scene.operations if operation.kind == "rename"}
    assert {"iter_000015.pth", "iter_000015.json", "best_photos_psnr.pth", "best_photos_psnr.json"} <= renamed
    assert len(kinds) >= 30


@EACH_OPERATION
def test_killed_at_every_system_call(step: int, scene: Scene) -> None:
    """Each time the run is resumed to its end, which equals that of the run nobody killed."""
    reached = set()
    for number in range(0, len(scene.operations), step):
        assert scene.attempt(Disk(scene.folder, number, KILL)) == -9, scene.operations[number]
        reached.add(check_state(scene))
        run(scene.config, scene.folder, *SETTINGS, resume=True)
        where = f"killed at operation {number}, {scene.operations[number][:3]}"
        assert differing(final_state(scene.whole), final_state(scene.folder)) == [], where
        assert records(scene.folder) == records(scene.whole), where
        assert not list(scene.folder.rglob(".*.tmp")), where
    assert reached == {10, 15}


FAULTS = [
    (errno.ENOSPC, True),
    (errno.EIO, False),
    *((fault, lasting) for fault in ERRORS for lasting in (False, True)),
]


@pytest.mark.parametrize(
    ("fault", "lasting"),
    [pytest.param(*case, marks=[pytest.mark.slow] * (number > 0)) for number, case in enumerate(dict.fromkeys(FAULTS))],
    ids=lambda value: ("once", "lasting")[value] if isinstance(value, bool) else errno.errorcode[value],
)
@EACH_OPERATION
def test_a_failing_disk_at_every_system_call(step: int, fault: int, lasting: bool, scene: Scene) -> None:
    told = 0
    for number, operation in list(enumerate(scene.operations))[::step]:
        code = scene.attempt(Disk(scene.folder, number, fault, lasting=lasting))
        where = f"{errno.errorcode[fault]} at operation {number}, {operation[:3]}"
        check_state(scene)
        assert not list(scene.folder.rglob(".*.tmp")), where
        if operation.kind == "unlink":
            assert code in (0, 2), where  # an old checkpoint that cannot be deleted is a warning
            continue
        assert code == 2, where
        told += 1
        assert str(scene.folder) in scene.told(), where
        if fault == errno.ENOSPC and operation.kind == "write":
            assert re.search(r"disk full: \d+ bytes .* needed, \d+ bytes .* free", scene.told()), where
    assert told >= 25 / step


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {}


def mutant(change: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    MUTANTS[change.__name__] = change
    return change


@mutant
def writes_in_place(patch: pytest.MonkeyPatch) -> None:
    from srtoolbox.io import files

    def atomic_write(path, writer, *, size=None, before_rename=lambda: None) -> None:
        with files.open(path, "wb") as file:
            writer(file)
            os.fsync(file.fileno())
        before_rename()

    patch.setattr(files, "open", open, raising=False)
    replace_atomic_write(patch, atomic_write)


@mutant
def deletes_before_it_writes(patch: pytest.MonkeyPatch) -> None:
    from srtoolbox.io import files

    real = files.atomic_write

    def atomic_write(path, writer, *, size=None, before_rename=lambda: None) -> None:
        if os.path.exists(path):
            os.unlink(path)
        real(path, writer, size=size, before_rename=before_rename)

    replace_atomic_write(patch, atomic_write)


@mutant
def replaces_a_best_one_before_its_sidecar(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("srtoolbox.weights.checkpoint.committed_entry", lambda *which: "unknown")


@mutant
def leaves_its_temporary_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_checks_bite(name: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        MUTANTS[name](broken)
        operations = scene.record()
    leaves = "temporary" in name
    for number in range(len(operations)):
        with monkeypatch.context() as broken:
            MUTANTS[name](broken)
            scene.attempt(Disk(scene.folder, number, errno.ENOSPC if leaves else KILL))
        try:
            check_state(scene)
            assert not leaves or not list(scene.folder.rglob(".*.tmp"))
        except (AssertionError, SrtoolboxError):
            return
    pytest.fail(f"no check noticed that the code {name.replace('_', ' ')}")
