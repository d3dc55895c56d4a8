"""Resuming with a changed config: what may change takes effect as if it had always been so, the rest is refused."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.engine.checkpoint import latest_checkpoint
from srtoolbox.errors import CheckpointError
from tests.engine.runs import build, load, records, run, snapshot


@pytest.fixture
def cosine_config(tiny_config: Path, tmp_path: Path) -> Path:
    """A schedule that spans the run, logged at each iteration."""
    path = tmp_path / "cosine.py"
    path.write_text(
        "_base_ = ['tiny.py']\nmax_iters = 20\n"
        "optim = dict(generator=dict(milestones=None,\n"
        "    scheduler=dict(type='CosineAnnealingLR', T_max=max_iters, _delete_=True)))\n"
        "hooks = dict(logger=dict(interval=1))\n"
    )
    return path


def rates(work_dir: Path) -> dict[int, float]:
    return {line["iter"]: line["lr"]["generator"] for line in records(work_dir) if line["kind"] == "train"}


def test_an_extended_run_has_the_rates_of_a_long_one(cosine_config: Path, tmp_path: Path) -> None:
    run(cosine_config, tmp_path / "long")
    run(cosine_config, tmp_path / "parts", "max_iters=10")
    short = rates(tmp_path / "parts")
    assert short[10] == pytest.approx(0, abs=1e-9) and short[5] == pytest.approx(5e-3)
    run(cosine_config, tmp_path / "parts", resume=True)
    long, found = rates(tmp_path / "long"), rates(tmp_path / "parts")
    assert list(found) == list(long) == list(range(1, 21))
    # iteration 10's line is written again by the run that goes on, from its own schedule
    assert {i: found[i] for i in range(10, 21)} == pytest.approx({i: long[i] for i in range(10, 21)}, rel=1e-6)
    assert long[15] == pytest.approx(1e-2 * (1 + math.cos(math.pi * 15 / 20)) / 2, rel=1e-6)


@pytest.mark.parametrize("scheduled", [True, False])
def test_another_rate_takes_effect(scheduled: bool, cosine_config: Path, tmp_path: Path) -> None:
    none = () if scheduled else ("optim.generator.scheduler=None",)
    run(cosine_config, tmp_path / "long", *none, "optim.generator.optimizer.lr=1e-3")
    run(cosine_config, tmp_path / "parts", *none, "hooks.kill.type=KillHook", "hooks.kill.at=7")
    run(cosine_config, tmp_path / "parts", *none, "optim.generator.optimizer.lr=1e-3", resume=True)
    long, found = rates(tmp_path / "long"), rates(tmp_path / "parts")
    assert {i: found[i] for i in range(7, 21)} == pytest.approx({i: long[i] for i in range(7, 21)}, rel=1e-6)
    assert found[6] == pytest.approx(10 * long[6], rel=1e-6)


def test_moments_are_kept_under_another_rate(cosine_config: Path, tmp_path: Path) -> None:
    run(cosine_config, tmp_path / "run", "max_iters=7")
    resumed = build(cosine_config, tmp_path / "run", "optim.generator.optimizer.lr=1e-3", resume=True)
    saved = load(tmp_path / "run", "iter_000007")["optims"]["generator"]["optimizer"]["state"]
    found = resumed.optims["generator"].optimizer.state_dict()["state"]
    assert sorted(found) == sorted(saved) != []
    for index, moments in saved.items():
        assert all(torch.equal(found[index][name], value) for name, value in moments.items())


def test_only_changed_settings_are_told_of(
    cosine_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("srtoolbox").propagate = True
    run(cosine_config, tmp_path / "run", "hooks.kill.type=KillHook", "hooks.kill.at=7")
    build(cosine_config, tmp_path / "run", resume=True)
    assert "differs from the checkpoint's" not in caplog.text
    build(cosine_config, tmp_path / "run", "optim.generator.optimizer.lr=1e-3", resume=True)
    assert "optim.generator differs from the checkpoint's" in caplog.text


def test_channels_last_may_be_switched_on(tiny_config: Path, tmp_path: Path) -> None:
    # enough channels that a layout mix-up in the fused optimizer shows
    changes = ("model.generator.channels=[16, 8]", "optim.generator.optimizer.lr=1e-3")
    run(tiny_config, tmp_path / "whole", *changes)
    run(tiny_config, tmp_path / "parts", *changes, "hooks.kill.type=KillHook", "hooks.kill.at=7")
    resumed = build(tiny_config, tmp_path / "parts", *changes, "runtime.channels_last=True", resume=True)
    for parameter, moments in resumed.optims["generator"].optimizer.state.items():
        assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == parameter.stride()
    resumed.train()
    whole = load(tmp_path / "whole", "iter_000020")["networks"]
    for name, weights in load(tmp_path / "parts", "iter_000020")["networks"].items():
        for key, value in weights.items():
            torch.testing.assert_close(value, whole[name][key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        "model.generator.channels=[8, 6]",
        "model.generator.kernels=[5, 3, 3]",
        "model.generator={'type': 'SRCNN', 'scale': 3, '_delete_': True}",
        "optim.generator.optimizer.type=SGD",
        "optim.generator.param_groups={'conv3': {'lr': 1e-5}}",
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_touched(
    change: str, tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*arguments, "max_iters=10"]) == 0
    before = snapshot(tmp_path / "run")
    capsys.readouterr()
    assert main([*arguments, "--resume", change]) == 2
    errors = capsys.readouterr().err
    assert "--load-from" in errors and "iter_000010.pth" in errors and "Traceback" not in errors
    older = str(tmp_path / "run/checkpoints/iter_000005.pth")
    assert main([*arguments, "--resume-from", older, change]) == 2
    assert snapshot(tmp_path / "run") == before
    with pytest.raises(CheckpointError, match="does not fit this config"):
        build(tiny_config, tmp_path / "run", change, resume=True)
    assert latest_checkpoint(tmp_path / "run/checkpoints").name == "iter_000010.pth"
