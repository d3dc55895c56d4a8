"""Which checkpoints a run keeps, which it calls the best, and from which it goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.weights.checkpoint import latest_checkpoint, verify_checkpoint
from tests.engine.runs import differing, final_state, listing, load, records, run

RESTLESS = (  # evaluated and saved at each of 12 iterations, with a rate that makes scores go up and down
    "max_iters=12",
    "optim.generator.scheduler=None",
    "optim.generator.milestones=None",
    "optim.generator.optimizer.lr=0.3",
    "hooks.ema.decay=0",
    "hooks.checkpoint.interval=1",
    "data.val.interval=1",
)


def pair(*iterations: int) -> list[str]:
    return sorted(f"iter_{i:06d}{suffix}" for i in iterations for suffix in (".pth", ".json"))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def evaluations(work_dir: Path, score: str) -> dict[int, float]:
    return {line["iter"]: line["scores"][score] for line in records(work_dir) if line["kind"] == "eval"}


def test_of_equal_scores_the_earlier_stays_the_best(tiny_config: Path, tmp_path: Path) -> None:
    still = ("optim.generator.optimizer.lr=0.0", "max_iters=10", "hooks.ema=None")
    run(tiny_config, tmp_path, *still)
    scores = [line["scores"] for line in records(tmp_path) if line["kind"] == "eval" and line["iter"] > 0]
    assert len(scores) == 2 and scores[0] == scores[1]
    for name in ("best_photos_psnr", "best_photos_mae"):  # higher is better, lower is
        assert load(tmp_path, name)["iter"] == 5


@pytest.mark.parametrize(("metric", "better"), [("psnr", max), ("mae", min)])
def test_the_best_is_the_best_by_the_log(metric: str, better: object, tiny_config: Path, tmp_path: Path) -> None:
    key, name = f"photos/{metric}", f"best_photos_{metric}"
    run(tiny_config, tmp_path / "a", *RESTLESS)
    scores = evaluations(tmp_path / "a", key)
    first_best = better(scores, key=scores.get)
    values = list(scores.values())
    assert values not in (sorted(values), sorted(values, reverse=True)), "the log must go up and down to tell anything"
    assert load(tmp_path / "a", name)["iter"] == first_best

    run(tiny_config, tmp_path / "b", *RESTLESS, f"hooks.checkpoint.best_after={first_best + 1}")
    later = {i: score for i, score in evaluations(tmp_path / "b", key).items() if i > first_best}
    kept = load(tmp_path / "b", name)
    assert kept["iter"] == better(later, key=later.get) != first_best
    assert math.isclose(kept["scores"][key], later[kept["iter"]])
    whole = load(tmp_path / "b", f"iter_{kept['iter']:06d}")["networks"]["generator"]
    assert all(torch.equal(whole[name], value) for name, value in kept["networks"]["generator"].items())
    assert load(tmp_path / "b", "iter_000012")["hooks"]["checkpoint"]["best"][key]["iter"] == kept["iter"]


@pytest.mark.parametrize("change", ["best_after=21", "best=None"])
def test_no_best_before_its_time_or_unasked(change: str, tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", f"hooks.checkpoint.{change}")
    assert listing(tmp_path / "run", "best_*") == []


def test_the_last_few_are_kept(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", "hooks.checkpoint.keep_last=2")
    assert listing(tmp_path / "run") == pair(15, 20)
    run(tiny_config, tmp_path / "all")
    assert listing(tmp_path / "all") == pair(5, 10, 15, 20)


def test_what_was_resumed_from_is_kept(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", "max_iters=6")
    run(tiny_config, tmp_path / "run", "hooks.checkpoint.keep_last=2", resume=True)
    assert listing(tmp_path / "run") == pair(6, 15, 20)


def test_a_damaged_save_deletes_nothing(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srtoolbox.engine.hooks.checkpoint.verify_checkpoint", lambda *which: "damaged")
    run(tiny_config, tmp_path / "run", "hooks.checkpoint.keep_last=2")
    assert listing(tmp_path / "run") == pair(5, 10, 15, 20)


def test_two_damaged_ones_are_skipped_and_set_aside(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole")
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "hooks.checkpoint.keep_last=4"]
    assert main(arguments) == 0
    for iteration in (15, 20):
        damage(tmp_path / f"run/checkpoints/iter_{iteration:06d}.pth")
    assert main([*arguments, "--resume"]) == 0
    assert sorted(path.name for path in (tmp_path / "run/checkpoints/superseded").glob("iter_*")) == pair(15, 20)
    assert listing(tmp_path / "run") == pair(5, 10, 15, 20)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "run")) == []
    assert records(tmp_path / "run") == records(tmp_path / "whole")


def test_resuming_from_an_older_one_supersedes_the_newer(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole")
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main(arguments) == 0
    folder = tmp_path / "run/checkpoints"
    before = {path.name: path.read_bytes() for path in folder.glob("iter_*")}
    later_best = [path.name for path in folder.glob("best_*.json") if json.loads(path.read_text())["iter"] > 10]
    assert later_best
    kill = ["hooks.kill.type=KillHook", "hooks.kill.at=13"]
    assert main([*arguments, "--resume-from", str(folder / "iter_000010.pth"), *kill]) == 143
    assert {path.name: path.read_bytes() for path in (folder / "superseded").glob("iter_*")} == {
        name: before[name] for name in pair(15, 20)
    }
    assert listing(tmp_path / "run") == pair(5, 10, 13)
    assert set(later_best) <= {path.name for path in (folder / "superseded").iterdir()}
    assert latest_checkpoint(folder).name == "iter_000013.pth"
    assert [line["iter"] for line in records(tmp_path / "run")][-1] == 12
    assert main([*arguments, "--resume"]) == 0
    assert listing(tmp_path / "run") == pair(5, 10, 13, 15, 20)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "run")) == []
    assert records(tmp_path / "run") == records(tmp_path / "whole")


def test_resuming_in_another_work_dir_leaves_the_first_alone(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole")
    start = tmp_path / "whole/checkpoints/iter_000010.pth"
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "fork"), "--resume-from", str(start)]
    assert main(arguments) == 0
    assert listing(tmp_path / "whole") == pair(5, 10, 15, 20)
    assert listing(tmp_path / "fork") == pair(15, 20)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "fork")) == []
    assert records(tmp_path / "fork") == [line for line in records(tmp_path / "whole") if line["iter"] >= 10]


def test_networks_alone_are_no_state_to_resume(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(tiny_config, tmp_path / "run", "max_iters=5")
    best = str(tmp_path / "run/checkpoints/best_photos_psnr.pth")
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "b"), "--resume-from", best]) == 2
    assert "--load-from" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("lost", ["elsewhere", "damaged"])
def test_a_best_network_that_is_not_there_is_no_longer_the_best(
    lost: str, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The first run ends at its best; what follows, at a rate far too high, is worse."""
    arguments = ["train", str(tiny_config), "max_iters=20"]
    worse = ["optim.generator.optimizer.lr=0.5", "optim.generator.scheduler=None", "optim.generator.milestones=None"]
    assert main([*arguments, "--work-dir", str(tmp_path / "a"), "max_iters=10"]) == 0
    newest = tmp_path / "a/checkpoints/iter_000010.pth"
    work_dir = tmp_path / ("b" if lost == "elsewhere" else "a")
    best = work_dir / "checkpoints/best_photos_psnr.pth"
    if lost == "damaged":
        damage(best)
    assert main([*arguments, "--work-dir", str(work_dir), "--resume-from", str(newest), *worse]) == 0
    assert "best_photos_psnr.pth of iteration 5 is not in" in capsys.readouterr().err
    assert verify_checkpoint(best) is None
    scores = evaluations(work_dir, "photos/psnr")
    assert load(work_dir, best.stem)["iter"] == max((i for i in scores if i >= 10), key=scores.get)
