"""A run stopped and resumed equals one that was not, bit for bit: networks, EMA, optimizers, schedules, best, log."""

from __future__ import annotations

from pathlib import Path

import pytest

from srtoolbox.config import Config
from srtoolbox.engine.loop import Runner
from srtoolbox.errors import CheckpointError
from srtoolbox.weights.checkpoint import latest_checkpoint, load_checkpoint, verify_checkpoint
from tests.engine.runs import final_state, records, run


@pytest.fixture
def whole_run(tiny_config: Path, tmp_path: Path) -> Path:
    run(tiny_config, tmp_path / "whole")
    return tmp_path / "whole"


@pytest.mark.parametrize("at", [2, 4, 5, 7, 10, 13, 19])
def test_resumed_equals_uninterrupted(at: int, tiny_config: Path, whole_run: Path, tmp_path: Path) -> None:
    stopped = run(tiny_config, tmp_path / "parts", "hooks.kill.type=KillHook", f"hooks.kill.at={at}")
    assert stopped.iter == at
    resumed = run(tiny_config, tmp_path / "parts", resume=True)
    assert (resumed.iter, resumed.resumed_from.stem) == (20, f"iter_{at:06d}")
    expected, found = final_state(whole_run), final_state(tmp_path / "parts")
    found = {key: value for key, value in found.items() if not key.startswith("/hooks/kill")}
    assert sorted(expected) == sorted(found)
    assert [key for key in expected if expected[key] != found[key]] == []
    assert records(tmp_path / "parts") == records(whole_run)


def test_a_state_without_its_file_is_no_fresh_start(tiny_config: Path, whole_run: Path, tmp_path: Path) -> None:
    """What follows the save is done again, the evaluation first; nothing of a beginning is."""
    state = load_checkpoint(whole_run / "checkpoints/iter_000010.pth")
    config = Config.fromfile(tiny_config, [f"load_from={str(whole_run / 'checkpoints/iter_000020.pth')!r}"])
    Runner(config, tmp_path / "other", resume=state).train()
    expected = [record for record in records(whole_run) if record["iter"] >= 10]
    assert expected[0]["kind"] == "eval" and records(tmp_path / "other") == expected
    with pytest.raises(CheckpointError, match=r"^the state: does not fit this config"):
        Runner(Config.fromfile(tiny_config, ["model.generator.channels=[8,8]"]), tmp_path / "third", resume=state)


def test_the_best_files_survive_a_resume(tiny_config: Path, whole_run: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "parts", "hooks.kill.type=KillHook", "hooks.kill.at=12")
    run(tiny_config, tmp_path / "parts", resume=True)
    for name in ("best_photos_psnr", "best_photos_mae"):
        paths = [folder / "checkpoints" / f"{name}.pth" for folder in (whole_run, tmp_path / "parts")]
        assert all(verify_checkpoint(path) is None for path in paths)


@pytest.mark.parametrize(
    "change",
    [
        "data.train.workers=2",
        "accumulate=2",
        "optim.generator.clip=0.01",
        "runtime.amp=bf16",
        "runtime.channels_last=True",
    ],
)
def test_resume_is_exact_under(change: str, tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole", change)
    run(tiny_config, tmp_path / "parts", change, "hooks.kill.type=KillHook", "hooks.kill.at=7")
    run(tiny_config, tmp_path / "parts", change, resume=True)
    expected, found = final_state(tmp_path / "whole"), final_state(tmp_path / "parts")
    assert [key for key in expected if expected[key] != found.get(key)] == []


def test_resume_with_other_workers(tiny_config: Path, whole_run: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "parts", "data.train.workers=2", "hooks.kill.type=KillHook", "hooks.kill.at=7")
    run(tiny_config, tmp_path / "parts", "data.train.workers=1", resume=True)
    expected, found = final_state(whole_run), final_state(tmp_path / "parts")
    assert [key for key in expected if expected[key] != found[key]] == []


def test_random_state_is_part_of_it(tiny_config: Path, whole_run: Path, tmp_path: Path) -> None:
    """The comparison bites: another seed gives other bytes."""
    run(tiny_config, tmp_path / "other", "seed=1")
    expected, found = final_state(whole_run), final_state(tmp_path / "other")
    differing = {key.split("/")[1] for key in expected if expected[key] != found[key]}
    assert {"networks", "optims", "rng"} <= differing


def test_damaged_newest_is_skipped_and_named(
    tiny_config: Path, whole_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newest = whole_run / "checkpoints/iter_000020.pth"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    import logging

    logging.getLogger("srtoolbox").propagate = True
    assert latest_checkpoint(whole_run / "checkpoints").name == "iter_000015.pth"
    assert "iter_000020.pth" in caplog.text and "sha256" in caplog.text


def test_all_damaged_is_refused(whole_run: Path) -> None:
    for path in (whole_run / "checkpoints").glob("*.json"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        latest_checkpoint(whole_run / "checkpoints")
