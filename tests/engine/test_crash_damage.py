"""Damage to the newest checkpoint is found, named and stepped over; damage to all of them is refused."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from srtoolbox.engine.job.workdir import find_state, prepare
from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.logger import LOGGER
from srtoolbox.weights.checkpoint import latest_checkpoint, save_checkpoint, verify_checkpoint

SEED = 7


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints of iterations 5, 10 and 15, with values that do not compress."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    for iteration in (5, 10, 15):
        values = {"w": torch.randn(4000, generator=torch.Generator().manual_seed(iteration))}
        state = {"iter": iteration, "config": "{}", "networks": {"generator": values}, "optims": {}, "draws": 3}
        save_checkpoint(folder / f"iter_{iteration:06d}.pth", state)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "run/checkpoints")
    return tmp_path / "run/checkpoints"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    LOGGER.propagate = True
    yield caplog


def flips(data: bytes, rng: random.Random) -> Iterator[bytes]:
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        yield bytes(damaged)


def cuts(data: bytes, rng: random.Random) -> Iterator[bytes]:
    for _ in range(60):
        yield data[: rng.randrange(len(data))]


def zeroed_pages(data: bytes, rng: random.Random) -> Iterator[bytes]:
    for _ in range(60):
        at = rng.randrange(len(data) // 4096) * 4096
        if any(data[at : at + 4096]):  # else nothing changes
            yield data[:at] + bytes(len(data[at : at + 4096])) + data[at + 4096 :]


def grown(data: bytes, rng: random.Random) -> Iterator[bytes]:
    yield from (data + b"\0", data + data, b"")


@pytest.mark.parametrize("damage", [flips, cuts, zeroed_pages, grown], ids=lambda damage: damage.__name__)
def test_every_damage_to_the_newest_is_found(
    damage: Callable, folder: Path, warnings: pytest.LogCaptureFixture
) -> None:
    newest = folder / "iter_000015.pth"
    tried = 0
    for damaged in damage(newest.read_bytes(), random.Random(SEED)):
        newest.write_bytes(damaged)
        warnings.clear()
        assert latest_checkpoint(folder).name == "iter_000010.pth"
        assert str(newest) in warnings.text
        tried += 1
    assert tried >= 3


def test_every_flip_in_a_sidecar_is_found_or_harmless(folder: Path) -> None:
    sidecar = folder / "iter_000015.json"
    whole = sidecar.read_bytes()
    found = 0
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            sidecar.write_bytes(damaged)
            state, path = find_state(folder.parent, resume=True)
            found += path.name == "iter_000010.pth"
            expected = torch.randn(4000, generator=torch.Generator().manual_seed(state["iter"]))
            assert torch.equal(state["networks"]["generator"]["w"], expected)
    assert found > len(whole) * 4, "most flips are in what matters"


def swap(a: Path, b: Path) -> None:
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: shutil.copy(f / "iter_000010.json", f / "iter_000015.json"), "that of iteration 10"),
        (lambda f: (f / "iter_000015.json").write_text("{}"), "missing or damaged"),
        (lambda f: (f / "iter_000015.json").write_text("[1, 2]"), "missing or damaged"),
        (lambda f: (f / "iter_000015.json").write_bytes(b"\xff\xfe"), "missing or damaged"),
        (lambda f: (f / "iter_000015.json").unlink(), "missing or damaged"),
        (lambda f: (f / "iter_000015.pth").unlink(), "the file is missing"),
        (lambda f: (f / "iter_000015.pth").rename(f / "iter_000020.pth"), "iter_000020.pth"),
        (lambda f: write_format(f / "iter_000015.json", 99), "newer srtoolbox"),
        (lambda f: ((f / "iter_000015.pth").unlink(), (f / "iter_000015.pth").mkdir()), "bytes|cannot be read"),
    ],
    ids=["swapped", "empty", "list", "bytes", "no sidecar", "no file", "renamed", "newer", "folder"],
)  # fmt: skip
def test_what_does_not_belong_together(
    change: Callable, reason: str, folder: Path, warnings: pytest.LogCaptureFixture
) -> None:
    change(folder)
    assert latest_checkpoint(folder).name == "iter_000010.pth"
    assert re.search(reason, warnings.text)


def test_two_whole_checkpoints_that_changed_names(folder: Path) -> None:
    for suffix in (".pth", ".json"):
        swap(folder / f"iter_000010{suffix}", folder / f"iter_000015{suffix}")
    assert latest_checkpoint(folder).name == "iter_000005.pth"


def write_format(path: Path, number: int) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))


def test_all_damaged_are_refused_and_listed(folder: Path) -> None:
    (folder / "iter_000005.pth").write_bytes(b"")
    (folder / "iter_000010.json").unlink()
    write_format(folder / "iter_000015.json", 99)
    with pytest.raises(CheckpointError) as caught:
        find_state(folder.parent, resume=True)
    for words in (
        "iter_000005.pth: has 0 bytes",
        "iter_000010.pth: its .json is missing",
        "iter_000015.pth: written by",
    ):
        assert words in str(caught.value)


def test_a_folder_that_cannot_be_read_is_no_fresh_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(CheckpointError, match=r"checkpoints: cannot be read \(Permission denied\)"):
        find_state(folder.parent, resume=True)


def test_a_disk_that_cannot_read_the_newest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    from srtoolbox.io.files import sha256

    def failing(path: Path) -> str:
        if path.name == "iter_000015.pth":
            raise OSError(5, "Input/output error")
        return sha256(path)

    monkeypatch.setattr("srtoolbox.weights.checkpoint.sha256", failing)
    assert latest_checkpoint(folder).name == "iter_000010.pth"
    assert "cannot be read (Input/output error)" in warnings.text


def test_a_first_save_that_was_killed_is_used(folder: Path, warnings: pytest.LogCaptureFixture) -> None:
    """The kill came between the file, which is whole, and its sidecar; there is nothing else to go on from."""
    for iteration in (5, 10):
        for suffix in (".pth", ".json"):
            (folder / f"iter_{iteration:06d}{suffix}").unlink()
    (folder / "iter_000015.json").unlink()
    assert latest_checkpoint(folder).name == "iter_000015.pth"
    assert "killed within that save" in warnings.text
    data = bytearray((folder / "iter_000015.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "iter_000015.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        latest_checkpoint(folder)


def test_a_save_that_was_killed_is_used_where_all_before_it_are_damaged(
    folder: Path, warnings: pytest.LogCaptureFixture
) -> None:
    (folder / "iter_000005.pth").write_bytes(b"")
    (folder / "iter_000010.pth").unlink()
    (folder / "iter_000015.json").unlink()
    assert latest_checkpoint(folder).name == "iter_000015.pth"
    assert "iter_000005.pth: has 0 bytes" in warnings.text and "iter_000010.pth: the file is missing" in warnings.text


def test_what_a_killed_deletion_left_is_not_where_a_run_began(folder: Path) -> None:
    """The run goes back to 10; of 5 the sidecar is deleted already. Its next start must not find 5."""
    (folder / "iter_000005.json").unlink()
    (folder / "superseded").mkdir()
    for suffix in (".pth", ".json"):
        (folder / f"iter_000010{suffix}").rename(folder / f"superseded/iter_000010{suffix}")
    named = str(folder / "superseded/iter_000010.pth")
    state, path = find_state(folder.parent, resume_from=named)
    prepare(folder.parent, iteration=state["iter"], overwrite=False, resumed_from=path)
    assert (folder / "superseded/iter_000005.pth").exists()
    assert find_state(folder.parent, resume=True, resume_from=named)[1] == path


def test_the_save_after_a_killed_first_one_may_be_killed_too(folder: Path) -> None:
    for name in ("iter_000005.pth", "iter_000015.pth", "iter_000005.json", "iter_000010.json", "iter_000015.json"):
        (folder / name).rename(folder.parent / name)
    path = find_state(folder.parent, resume=True)[1]
    assert path.name == "iter_000010.pth"
    prepare(folder.parent, iteration=10, overwrite=False, resumed_from=path)  # what the resumed run does first
    assert verify_checkpoint(folder / "iter_000010.pth") is None
    (folder.parent / "iter_000015.pth").rename(folder / "iter_000015.pth")
    assert latest_checkpoint(folder).name == "iter_000010.pth"


def test_a_replaced_best_one_is_vouched_for_all_along(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = folder / "best_set_psnr.pth"

    def save(iteration: int) -> None:
        save_checkpoint(
            best, {"iter": iteration, "config": "{}", "networks": {"generator": {"w": torch.ones(iteration)}}}
        )

    def refuse(source: Path, target: Path) -> None:
        if target == best:
            raise SrtoolboxError("stopped between sidecar and file")
        os.replace(source, target)

    save(5)
    with monkeypatch.context() as patch, pytest.raises(SrtoolboxError):
        patch.setattr("srtoolbox.io.files.replace", refuse)
        save(10)
    assert verify_checkpoint(best) is None and torch.load(best, weights_only=True)["iter"] == 5
    save(15)
    assert verify_checkpoint(best) is None and torch.load(best, weights_only=True)["iter"] == 15
    assert json.loads(best.with_suffix(".json").read_text())["replaces"]["iter"] == 5


def test_the_best_of_a_killed_replacement_is_the_one_that_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sidecar tells of iteration 15 first; the file is that of 5, and stays where the run resumes at 10."""
    best = folder / "best_set_psnr.pth"
    state = {"config": "{}", "networks": {"generator": {"w": torch.ones(3)}}}
    save_checkpoint(best, {"iter": 5, **state})

    def refuse(source: Path, target: Path) -> None:
        if target == best:
            raise SrtoolboxError("stopped between sidecar and file")
        os.replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(SrtoolboxError):
        patch.setattr("srtoolbox.io.files.replace", refuse)
        save_checkpoint(best, {"iter": 15, **state})
    prepare(folder.parent, iteration=10, overwrite=False)
    assert verify_checkpoint(best) is None
    assert not (folder / "superseded/best_set_psnr.pth").exists()
    save_checkpoint(best, {"iter": 15, **state})
    prepare(folder.parent, iteration=10, overwrite=False)
    assert verify_checkpoint(folder / "superseded/best_set_psnr.pth") is None


def test_a_file_that_was_not_loaded_is_not_vouched_for(folder: Path) -> None:
    """Iteration 10 is damaged and has no sidecar; another file of that iteration is resumed from."""
    (folder / "superseded").mkdir()
    for name in ("iter_000010.pth", "iter_000010.json"):
        shutil.copy(folder / name, folder / "superseded")
    data = bytearray((folder / "iter_000010.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "iter_000010.pth").write_bytes(data)
    (folder / "iter_000010.json").unlink()
    named = str(folder / "superseded/iter_000010.pth")
    state, path = find_state(folder.parent, resume_from=named)
    prepare(folder.parent, iteration=state["iter"], overwrite=False, resumed_from=path)
    assert verify_checkpoint(folder / "iter_000010.pth") is not None
    assert verify_checkpoint(folder / "superseded/iter_000010.pth") is None
    assert latest_checkpoint(folder).name == "iter_000005.pth"
