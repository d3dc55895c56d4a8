"""How a run ends: scored before it learns, told where nothing became better or it diverged, and what to test."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.evaluate import evaluate
from srtoolbox.engine.job.job import Job
from srtoolbox.engine.job.report import _relapsed_loss, psnr_beside_bicubic
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.registry import DATASETS, NETWORKS
from tests.conftest import TINY
from tests.engine.runs import build, differing, final_state, listing, load, records, run
from tests.engine.test_gan_runs import GAN

SHORT = ("max_iters=6", "data.val.interval=3", "hooks.checkpoint.interval=3")


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> tuple[Path, str]:
    """A config, and a `load_from` of weights with which its network adds nothing to bicubic."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "tiny.py").write_text(TINY.format(folder=str(photo_folder)))
    config = folder / "vdsr.py"
    config.write_text(
        "_base_ = ['tiny.py']\n"
        "model = dict(generator=dict(type='VDSR', scale=3, num_blocks=1, num_features=4, _delete_=True))\n"
        "del _base_.hooks.ema\n"
    )
    weights = build(config, folder / "built").networks["generator"].state_dict()
    torch.save(
        {key: value * 0 if key.startswith("output") else value for key, value in weights.items()}, folder / "w.pth"
    )
    return config, f"load_from={str(folder / 'w.pth')!r}"


def train(config: Path, work_dir: Path, *changes: str) -> list[str]:
    """Return the messages of a whole run, as its log has them."""
    Job(Config.fromfile(config, changes), work_dir, source=config).train()
    return [line.split(" ", 2)[2] for line in (work_dir / "train.log").read_text().splitlines()]


def test_only_a_run_from_other_weights_is_scored_before_it_learns(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "first", *SHORT)
    start = tmp_path / "first/checkpoints/iter_000006.pth"
    run(tiny_config, tmp_path / "tuned", *SHORT, f"load_from={str(start)!r}")
    first, tuned = ([r for r in records(tmp_path / name) if r["kind"] == "eval"] for name in ("first", "tuned"))
    assert [record["iter"] for record in first] == [3, 6]
    assert [record["iter"] for record in tuned] == [0, 3, 6]
    assert tuned[0]["scores"] == first[-1]["scores"]


def test_a_resumed_run_from_other_weights_is_the_unbroken_one(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "first", *SHORT)
    tuning = (*SHORT, f"load_from={str(tmp_path / 'first/checkpoints/iter_000006.pth')!r}")
    run(tiny_config, tmp_path / "whole", *tuning)
    run(tiny_config, tmp_path / "parts", *tuning, "hooks.kill.type=KillHook", "hooks.kill.at=5")
    run(tiny_config, tmp_path / "parts", *tuning, resume=True)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert differing(final_state(tmp_path / "whole", 6), final_state(tmp_path / "parts", 6)) == []


def test_a_signal_in_the_first_evaluation_ends_the_run_with_nothing_saved(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["train", str(tiny_config), *SHORT, "--work-dir"]
    assert main([*arguments, str(tmp_path / "first")]) == 0
    tuning = [*arguments, str(tmp_path / "tuned"), f"load_from={tmp_path / 'first/checkpoints/iter_000006.pth'}"]
    assert main([*tuning, "hooks.kill.type=KillAtStart"]) == 143
    assert "nothing is saved" in capsys.readouterr().err and listing(tmp_path / "tuned") == []
    assert main([*tuning, "--resume"]) == 0
    assert [r["iter"] for r in records(tmp_path / "tuned") if r["kind"] == "eval"] == [0, 3, 6]


def test_fine_tuning_that_makes_things_worse_says_so(tiny_config: Path, tmp_path: Path) -> None:
    train(tiny_config, tmp_path / "first", "max_iters=100", "data.val.interval=100")
    start = f"load_from={str(tmp_path / 'first/checkpoints/iter_000100.pth')!r}"
    worse = train(tiny_config, tmp_path / "worse", *SHORT, start, "optim.generator.optimizer.lr=1")
    scores = [r["scores"] for r in records(tmp_path / "worse") if r["kind"] == "eval"]
    (told,) = [line for line in worse if "no evaluation was better" in line]
    best = max(part["photos/psnr"] for part in scores[1:])
    assert f"photos/psnr {scores[0]['photos/psnr']:.4f} at the start, at best {best:.4f} (iteration" in told
    assert load(tmp_path / "worse", "best_photos_psnr")["iter"] in (3, 6)  # what it made, not what it began with
    better = train(tiny_config, tmp_path / "better", "max_iters=60", "data.val.interval=60", start)
    scores = [r["scores"]["photos/psnr"] for r in records(tmp_path / "better") if r["kind"] == "eval"]
    assert scores[-1] > scores[0] and "no evaluation was better" not in "".join(better)


def test_a_run_that_diverged_says_so_and_a_sound_one_does_not(
    residual: tuple[Path, str], tiny_config: Path, tmp_path: Path
) -> None:
    config, start = residual
    each = (*SHORT, "hooks.logger.interval=1")
    sound = train(config, tmp_path / "sound", *each, start, "optim.generator.optimizer.lr=1e-7")
    assert "has diverged" not in "".join(sound)
    flat = ("optim.generator.milestones=None", "optim.generator.scheduler=None", "optim.generator.optimizer.lr=0.03")
    high = ("max_iters=3", "data.val.interval=3", "hooks.logger.interval=3", *flat, start)  # one loss: tells nothing
    (told,) = [line for line in train(config, tmp_path / "high", *high) if "has diverged" in line]
    scores = {r["iter"]: r["scores"]["photos/psnr"] for r in records(tmp_path / "high") if r["kind"] == "eval"}
    assert f"photos/psnr was {scores[0]:.2f} at iteration 0 and is {scores[3]:.2f}. Lower" in told
    assert "where bicubic has" in told and "Train longer" not in told


def test_a_run_too_short_to_learn_is_not_called_diverged(tiny_config: Path, tmp_path: Path) -> None:
    changes = ("max_iters=40", "data.val.interval=20", "hooks.logger.interval=10")
    messages = train(tiny_config, tmp_path / "short", *changes)
    (told,) = [line for line in messages if "has learned too little" in line]
    first, *_, last = [r["terms"]["pixel"] for r in records(tmp_path / "short") if r["kind"] == "train"]
    assert first > 2 * last
    assert f"the loss was {first:.4g} at iteration 10 and is {last:.4g} at iteration 40. Train longer" in told
    assert "where bicubic has" in told and "diverged" not in "".join(messages)


def test_a_loss_that_comes_back_is_told_beside_the_lowest_one() -> None:
    assert list(_relapsed_loss({10: 1.0, 20: 0.01, 30: 0.06})) == [
        "the loss was down to 0.01 at iteration 20 and is 0.06 at the end"
    ]
    assert "is nan at the end" in next(_relapsed_loss({10: 1.0, 20: math.nan}))
    assert list(_relapsed_loss({10: 1.0, 20: 0.01, 30: 0.04})) == list(_relapsed_loss({})) == []


def test_a_loss_that_rises_far_is_told_without_any_evaluation(tiny_config: Path, tmp_path: Path) -> None:
    blind = ("data.val=None", "hooks.checkpoint.best=None", "hooks.logger.interval=1", "optim.generator.scheduler=None")
    high = (*blind, "optim.generator.milestones=None", "max_iters=3", "optim.generator.optimizer.lr=1")
    messages = train(tiny_config, tmp_path / "high", *high)
    (told,) = [line for line in messages if "has diverged" in line]
    first, *_, last = [r["terms"]["pixel"] for r in records(tmp_path / "high")]
    assert f"the loss was {first:.4g} at iteration 1 and is {last:.4g} at iteration 3" in told
    low = (*high, "optim.generator.optimizer.lr=1e-3")
    assert "has diverged" not in "".join(train(tiny_config, tmp_path / "low", *low))


def test_a_loss_of_another_kind_since_a_resume_is_not_compared_with_the_one_before(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    blind = ("data.val=None", "hooks.checkpoint.best=None", "hooks.logger.interval=1")
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), *blind]
    assert main([*arguments, "max_iters=2"]) == 0
    heavier = [*arguments, "--resume", "model.losses.pixel.weight=100"]
    assert main([*heavier, "max_iters=4"]) == 0
    assert main([*heavier, "max_iters=6"]) == 0  # also where the change lies further back
    terms = [r["terms"]["pixel"] for r in records(tmp_path / "run") if r["kind"] == "train"]
    assert terms[-1] > 2 * terms[0]
    assert "has diverged" not in capsys.readouterr().err


def test_results_are_compared_with_bicubic_as_test_does(photo_folder: Path) -> None:
    dataset, images = DATASETS.build(dict(type="GTOnlyDataset", gt=str(photo_folder), scale=3)), []
    network = NETWORKS.build(dict(type="Bicubic", scale=3))
    scores = evaluate(network, dataset, {"psnr": PSNR(crop_border=8)}, on_picture=images.append)
    for image in images:
        own, bicubic = psnr_beside_bicubic(image.lq, image.sr, image.gt)
        assert own == bicubic == pytest.approx(scores[image.name]["psnr"], abs=1e-9)


def test_after_a_gan_stage_the_last_checkpoint_is_named_first(tiny_config: Path, tmp_path: Path) -> None:
    config = tiny_config.with_name("gan.py")
    config.write_text(GAN)
    messages = train(config, tmp_path / "gan", *SHORT)
    folder = tmp_path / "gan/checkpoints"
    assert messages[-1].endswith(f"srtoolbox test {config} {folder}/iter_000006.pth {folder}/best_photos_psnr.pth")
    messages = train(tiny_config, tmp_path / "plain", *SHORT)
    assert messages[-1].endswith(f"srtoolbox test {tiny_config} {tmp_path}/plain/checkpoints/best_photos_psnr.pth")


def test_a_run_that_was_never_scored_says_so_at_its_end(tiny_config: Path, tmp_path: Path) -> None:
    missing = f"data.val.datasets.photos.gt={str(tmp_path / 'nowhere')!r}"
    (told,) = [line for line in train(tiny_config, tmp_path / "a", *SHORT, missing) if "never scored" in line]
    assert "no best by photos/psnr, photos/mae was kept: of data.val.datasets (photos) none was there" in told
    assert "never scored" not in "".join(train(tiny_config, tmp_path / "b", *SHORT))
