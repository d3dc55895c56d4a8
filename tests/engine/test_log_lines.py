"""What the log of a run says: what it trains on and how, and nothing that it does not know."""

from __future__ import annotations

import copy
import json
import logging
import math
from pathlib import Path

import pytest

from srtoolbox import dist
from srtoolbox.cli import main
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.engine.job.report import describe
from tests.engine.runs import build, records, run


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    return caplog


@pytest.mark.parametrize("amp", [None, "bf16"])
def test_images_epochs_and_precision_are_said(
    amp: str | None, tiny_config: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    describe(build(tiny_config, tmp_path, f"runtime.amp={amp}", "accumulate=3", "max_iters=2"))
    epochs = 2 * 3 * 4 / 6
    (line,) = [message for message in log.messages if message.startswith("training on")]
    assert f"training on 6 images for {epochs:.4g} epochs, validation on photos (6 images), precision" in line
    assert ("bf16, where it is safe, and float32" in line) == (amp == "bf16") and line.endswith("float32")


@pytest.mark.parametrize("is_mixed", [False, True], ids=["shares", "shares and another set"])
def test_an_epoch_is_of_the_images_of_all_ranks(
    is_mixed: bool, tiny_config: Path, tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = build(tiny_config, tmp_path, "max_iters=6")
    monkeypatch.setattr(dist, "world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", lambda value: [value, 4])  # images of the other rank
    whole = copy.copy(runner.dataset)
    runner.dataset.is_share = True
    if is_mixed:
        runner.dataset = ConcatDataset([runner.dataset, whole])
    describe(runner)
    images = 6 + 4 + 6 * is_mixed
    (line,) = [message for message in log.messages if message.startswith("training on")]
    assert f"training on {images} images for {6 * 4 * 2 / images:.4g} epochs" in line


def test_a_run_that_leaves_something_undone_says_so(
    tiny_config: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    describe(build(tiny_config, tmp_path))
    assert "nothing" not in log.text and "never used" not in log.text
    describe(build(tiny_config, tmp_path, "hooks.evaluate=None"))
    assert "data.val is never used: hooks has no EvaluateHook" in log.messages
    assert "validation on nothing" in log.text


def test_the_line_of_the_iteration_resumed_at_claims_no_speed(
    tiny_config: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    board = "hooks.logger.tensorboard=True"
    run(tiny_config, tmp_path / "run", "max_iters=6", board)
    run(tiny_config, tmp_path / "run", "max_iters=9", board, resume=True)
    (line,) = [line for line in log.messages if line.startswith("iter 6/9")]
    assert "ms/iter" not in line and "time left" not in line and "lr" in line
    (line,) = [line for line in log.messages if line.startswith("iter 9/9")]
    assert "ms/iter" in line and "time left" in line
    train = [json.loads(line) for line in (tmp_path / "run/scores.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in train if line["kind"] == "train" and "time" not in line] == [6]


def test_scores_of_luma_alone_are_those_of_luma_networks(tiny_config: Path, tmp_path: Path) -> None:
    direct = "data.val.metrics.direct=dict(type='PSNR', crop_border=3, protocol='y_direct')"

    def scored(name: str, *changes: str) -> set[str]:
        run(tiny_config, tmp_path / name, direct, "max_iters=1", *changes)
        (record,) = [record for record in records(tmp_path / name) if record["kind"] == "eval"]
        return set(record["scores"])

    rgb = "model.generator.colour='rgb'"
    assert scored("y", "model.generator.colour='y'") == {"photos/psnr", "photos/mae", "photos/direct"}
    assert scored("rgb", rgb) == {"photos/psnr", "photos/mae"}
    assert scored("best", rgb, "hooks.checkpoint.best='photos/direct'") == {
        "photos/psnr",
        "photos/mae",
        "photos/direct",
    }
    stop = "hooks.stop=dict(type='EarlyStopHook', score='photos/direct')"
    assert "photos/direct" in scored("stop", rgb, stop)
    only = ("data.val.metrics.psnr=None", "data.val.metrics.mae=None", "hooks.checkpoint.best=None")
    assert scored("only", rgb, *only) == {"photos/direct"}


def test_sets_without_metrics_are_told(tiny_config: Path, tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    none = ("data.val.metrics.psnr=None", "data.val.metrics.mae=None", "hooks.checkpoint.best=None")
    describe(build(tiny_config, tmp_path, *none))
    assert "nothing is scored: data.val has sets and no metrics" in log.messages


def test_scores_that_are_no_numbers_are_told_with_the_image(
    tiny_config: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    runner = build(tiny_config, tmp_path)
    scores = runner.hooks["evaluate"].evaluate(runner).scores
    assert "not a number" not in log.text and scores["photos/psnr"] > 0
    runner.networks["generator_ema"].conv3.bias.data[0] = float("nan")
    assert math.isnan(runner.hooks["evaluate"].evaluate(runner).scores["photos/psnr"])
    (line,) = [message for message in log.messages if "not a number" in message]
    assert line.startswith("psnr, mae of 6 images are not a number (the first is cat0)")


def test_the_log_begins_with_what_the_check_warned_of(tiny_config: Path, tmp_path: Path) -> None:
    floor = (
        "optim.generator.scheduler=dict(type='CosineAnnealingLR', T_max=9, eta_min=1e-6)",
        "optim.generator.milestones=None",
        "optim.generator.param_groups={'conv1': dict(lr=0.0)}",
    )
    quick = ("max_iters=1", "data.val=None", "hooks.checkpoint.best=None")
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), *floor, *quick]) == 0
    assert "conv1: lr is 0, and CosineAnnealingLR raises it above" in (tmp_path / "run/train.log").read_text()
