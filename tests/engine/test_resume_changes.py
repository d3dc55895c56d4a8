"""Resuming with a changed config: what may change takes effect as if it had always been so, the rest is refused."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path

import pytest
import torch

from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.engine.job.run_config import comparable_from, save_config
from srtoolbox.errors import CheckpointError
from srtoolbox.image import read_image, write_image
from srtoolbox.weights.checkpoint import latest_checkpoint
from tests.engine.runs import Crash, build, listing, load, records, run, snapshot


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


def test_what_differs_is_listed_once_key_by_key_with_its_effect(
    cosine_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("srtoolbox").propagate = True
    run(cosine_config, tmp_path / "run", "hooks.kill.type=KillHook", "hooks.kill.at=7")
    caplog.clear()
    same = ("hooks.kill.type=KillHook", "hooks.kill.at=7")
    build(cosine_config, tmp_path / "run", *same, "work_dir='elsewhere'", "hooks.logger.wandb=None", resume=True)
    assert "this config is not" not in caplog.text
    changed = (
        "optim.generator.optimizer.lr=1e-3", "data.train.batch_size=2", "model.generator.mean=0.5", "seed=1",
        "model.losses.pixel.type=L1Loss", "data.train.dataset.transforms.1.type=RandomVerticalFlip", "max_iters=30",
    )  # fmt: skip
    build(cosine_config, tmp_path / "run", *changed, resume=True)
    listed = [record.getMessage().strip() for record in caplog.records if " -> " in record.getMessage()]
    assert [line.partition(" (from")[0] for line in listed] == [
        "seed 0 -> 1 (draws the samples to come; weights and random states are the checkpoint's)",
        "max_iters 20 -> 30 (the run ends there)",
        "model.generator.mean (not set) -> 0.5",
        "model.losses.pixel.type 'MSELoss' -> 'L1Loss'",
        "optim.generator.optimizer.lr 0.01 -> 0.001",
        "optim.generator.scheduler.T_max 20 -> 30",
        "data.train.dataset.transforms.1.type 'RandomTranspose' -> 'RandomVerticalFlip'",
        "data.train.batch_size 4 -> 2",
        "hooks.kill KillHook(at=7) -> (not set)",
    ]
    assert "(from here on, with the checkpoint's weights)" in listed[2] and "from the next batch on" in listed[7]


@pytest.mark.parametrize(
    "changes",
    [
        ("optim.generator.frozen=None",),
        ("optim.generator.frozen=['conv2']",),
        ("optim.generator.frozen=None", "optim.generator.param_groups={'conv2': {'lr': 1e-5}}"),
    ],
    ids=["thawed", "another part", "groups"],
)
def test_what_is_frozen_may_change_and_moments_stay_with_their_parameters(
    changes: tuple[str, ...], cosine_config: Path, tmp_path: Path
) -> None:
    run(cosine_config, tmp_path / "run", "max_iters=7", "optim.generator.frozen=['conv1']")
    resumed = build(cosine_config, tmp_path / "run", *changes, resume=True)
    state = load(tmp_path / "run", "iter_000007")["optims"]["generator"]
    saved = {name: state["optimizer"]["state"][place] for place, name in enumerate(state["names"])}
    assert saved.keys() == {"conv2.weight", "conv2.bias", "conv3.weight", "conv3.bias"}
    optim, network = resumed.optims["generator"], resumed.networks["generator"]
    for name, parameter in network.named_parameters():
        moments = optim.optimizer.state.get(parameter)
        if name in saved and parameter.requires_grad:
            assert torch.equal(moments["exp_avg"], saved[name]["exp_avg"]), name
        else:
            assert not moments, name
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    resumed.train()
    moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if "'conv2'" not in changes[0] or not name.startswith("conv2")}


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


def test_the_log_and_the_work_dir_keep_what_a_resume_changes(tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*arguments, "max_iters=5"]) == 0
    first, before = ((tmp_path / "run" / name).read_text() for name in ("config.py", "train.log"))
    assert main([*arguments, "--resume", "max_iters=7"]) == 0
    added = (tmp_path / "run/train.log").read_text().removeprefix(before)
    assert f"resuming from {tmp_path}/run/checkpoints/iter_000005.pth at iteration 5" in added
    assert added.count("max_iters 5 -> 7") == 1
    assert (tmp_path / "run/config_until_000005.py").read_text() == first
    assert (tmp_path / "run/config.py").read_text() == first.replace("max_iters = 5", "max_iters = 7")
    assert main([*arguments, "--resume-from", str(tmp_path / "run/checkpoints/iter_000005.pth"), "max_iters=6"]) == 0
    kept = ["config_until_000005-2.py", "config_until_000005.py"]
    assert sorted(path.name for path in (tmp_path / "run").glob("config_until*")) == kept
    assert main([*arguments, "--overwrite", "max_iters=3"]) == 0
    assert list((tmp_path / "run").glob("config_until*")) == []


def test_a_resume_without_a_config_goes_on_with_the_runs_own(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run_dir = str(tmp_path / "run")
    assert main(["train", str(tiny_config), "--work-dir", run_dir, "max_iters=5", "hooks.logger.interval=1"]) == 0
    assert main(["train", "--resume", "--work-dir", run_dir, "max_iters=7"]) == 0
    assert [line["iter"] for line in records(tmp_path / "run") if line["kind"] == "train"] == [1, 2, 3, 4, 5, 6, 7]
    assert f"srtoolbox test {run_dir}/config.py" in capsys.readouterr().err
    assert main(["train", "--resume", "--work-dir", str(tmp_path / "none")]) == 2
    assert "none holds no config.py: name the config" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "--work-dir", run_dir])
    assert "--resume --work-dir DIR" in capsys.readouterr().err


def test_a_longer_run_under_the_old_schedule_is_warned_of(
    cosine_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("srtoolbox").propagate = True
    run(cosine_config, tmp_path / "run", "max_iters=5")
    build(cosine_config, tmp_path / "run", "max_iters=8", resume=True)
    assert "is 5 still" not in caplog.text
    old = "optim.generator.scheduler.T_max=5"
    build(cosine_config, tmp_path / "run", "max_iters=8", old, "optim.generator.clip=1.0", resume=True)
    assert f"{old[:-2]} is 5 still, as max_iters was" in caplog.text and f"{old[:-1]}8 stretches it" in caplog.text
    assert "optim.generator.clip (not set) -> 1.0 (from the next iteration on)" in caplog.text


def test_configs_beside_a_run_that_cannot_be_read_end_no_run(cosine_config: Path, tmp_path: Path) -> None:
    config = Config.fromfile(cosine_config)
    for name, text in (("config_until_000005.py", b"model = dict("), ("config_until_friday.py", b"\xff")):
        (tmp_path / name).write_bytes(text)
    assert comparable_from(tmp_path, config) == 5
    (tmp_path / "config.py").write_bytes(b"\xff")  # a disk that failed
    save_config(tmp_path, config.dump(), 9)
    assert (tmp_path / "config.py").read_text() == config.dump() and (tmp_path / "config_until_000009.py").exists()


def test_a_run_beyond_max_iters_says_that_nothing_is_left(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*arguments, "max_iters=7"]) == 0
    before = snapshot(tmp_path / "run")
    capsys.readouterr()
    assert main([*arguments, "--resume", "max_iters=5"]) == 0
    told = capsys.readouterr().err
    assert "nothing is left to do: the run has reached iteration 7, and max_iters is 5" in told and "done" not in told
    assert {name: data for name, data in snapshot(tmp_path / "run").items() if name != "run.lock"} == {
        name: data for name, data in before.items() if name != "run.lock"
    }
    assert main([*arguments, "--resume", "max_iters=7"]) == 0
    told = capsys.readouterr().err
    assert "nothing is left to do: the run has reached iteration 7, and max_iters is 7" in told and "done" not in told
    assert "evaluat" not in told and snapshot(tmp_path / "run").keys() == before.keys()
    other = "data.val.metrics=dict(again=dict(type='PSNR', crop_border=2))"
    assert main([*arguments, "--resume", "max_iters=7", other]) == 0
    told = capsys.readouterr().err
    assert "nothing was left to train: iteration 7 of 7 was reached before" in told and "nothing is left" not in told
    assert any("photos/again" in record["scores"] for record in records(tmp_path / "run"))


def test_a_last_evaluation_that_was_broken_off_is_made_on_resume(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "max_iters=7"]
    for options in ([], ["--resume"]):
        with pytest.raises(Crash):
            main([*arguments, *options, "hooks.crash.type=CrashHook", "hooks.crash.at=7"])
    assert listing(tmp_path / "run")[-1].startswith("iter_000007")
    capsys.readouterr()
    for sentence in ("nothing was left to train: iteration 7 of 7 was reached before", "nothing is left to do"):
        assert main([*arguments, "--resume"]) == 0
        assert sentence in capsys.readouterr().err
    assert [record["iter"] for record in records(tmp_path / "run") if "scores" in record][-1] == 7


def test_changed_training_images_are_noticed_on_resume(
    tiny_config: Path, photo_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that changed unseen by the run that saved, too: it asks its files once, and what it decodes."""
    logging.getLogger("srtoolbox").propagate = True
    folder = shutil.copytree(photo_folder, tmp_path / "own")
    data = f"data.train.dataset.gt='{folder.as_posix()}'"
    run(tiny_config, tmp_path / "run", data, "hooks.kill.type=KillHook", "hooks.kill.at=7")
    build(tiny_config, tmp_path / "run", data, resume=True)
    assert "not those of the checkpoint" not in caplog.text
    changed = sorted(folder.iterdir())[0]
    write_image(changed, read_image(changed)[:57])
    build(tiny_config, tmp_path / "run", data, resume=True)
    assert caplog.text.count("the training images are not those of the checkpoint") == 1
