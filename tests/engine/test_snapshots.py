"""PatchesHook and FeatureMapsHook in real runs: what they keep, when, and that the training does not notice."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox.check import check
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.engine.loop import Runner
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.plots.snapshots import list_snapshots, read_maps
from srtoolbox.weights.load import load_network
from tests.engine.ranks import start
from tests.engine.runs import build, final_state, run, snapshot

ADDED = """
hooks['patches'] = dict(type='PatchesHook', interval=8,
                        patches=[dict(picture={picture!r}, box=[9, 15, 24, 18]), {picture!r}])
hooks['maps'] = dict(type='FeatureMapsHook', picture={picture!r}, layers=['conv1', 'conv2'], channels=3, interval=8)
"""
DUE = [0, 8, 16, 20]


@pytest.fixture
def config(tiny_config: Path, photo_folder: Path) -> Path:
    tiny_config.write_text(tiny_config.read_text() + ADDED.format(picture=str(photo_folder / "cat1.png")))
    return tiny_config


def folders(work_dir: Path) -> dict[str, Path]:
    return {
        f"{kind}/{path.name}": path
        for kind in ("patches", "features")
        for path in sorted((work_dir / "snapshots" / kind).iterdir())
    }


def test_they_keep_the_first_every_due_and_the_last_iteration(config: Path, tmp_path: Path) -> None:
    run(config, tmp_path / "run")
    found = folders(tmp_path / "run")
    assert list(found) == ["patches/cat1", "patches/cat1-2", "features/conv1", "features/conv2"]
    assert all(list(list_snapshots(folder)) == DUE for folder in found.values())


def test_a_patch_is_the_place_in_what_the_network_makes_of_the_whole_image(config: Path, tmp_path: Path) -> None:
    run(config, tmp_path / "run")
    folder = tmp_path / "run/snapshots/patches/cat1"
    network = load_network(tmp_path / "run/checkpoints/iter_000020.pth")  # the averaged weights
    image = Config.fromfile(str(config))["hooks"]["patches"]["patches"][1]
    samples = GTOnlyDataset(str(Path(image).parent), 3)
    sample = next(samples[index] for index in range(len(samples)) if samples[index]["key"] == "cat1")
    whole = upscale_whole(network, np.ascontiguousarray(sample["lq"]))
    kept = read_image(folder / "iter_000020.png")
    assert np.array_equal(kept, whole[15:33, 9:33])
    assert np.array_equal(read_image(folder / "truth.png"), sample["gt"][15:33, 9:33])
    assert np.array_equal(read_image(folder / "input.png"), sample["lq"][5:11, 3:11])
    assert read_image(folder / "bicubic.png").shape == kept.shape
    assert not np.array_equal(kept, read_image(folder / "iter_000000.png"))


def test_patches_of_a_denoiser_are_degraded_as_in_evaluations(config: Path, tmp_path: Path) -> None:
    noise = "[dict(type='GaussianNoise', sigma=[25, 25])]"
    run(config, tmp_path / "run", f"hooks.patches.degradations={noise}", "max_iters=1")
    image = Config.fromfile(str(config))["hooks"]["patches"]["patches"][1]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/cat1.png").write_bytes(Path(image).read_bytes())
    noisy = GTOnlyDataset(str(tmp_path / "one"), 3, degradations=[{"type": "GaussianNoise", "sigma": [25, 25]}])
    folder = tmp_path / "run/snapshots/patches/cat1"
    lq = noisy.whole(0)["lq"]
    assert np.array_equal(read_image(folder / "input.png"), lq[5:11, 3:11])
    network = load_network(tmp_path / "run/checkpoints/iter_000001.pth")
    assert np.array_equal(read_image(folder / "iter_000001.png"), upscale_whole(network, lq)[15:33, 9:33])
    with pytest.raises(ConfigError, match="GaussianNose"):
        check(Config.fromfile(config, ["hooks.patches.degradations=[dict(type='GaussianNose')]"]))


def test_maps_are_what_the_layer_gives(config: Path, tmp_path: Path) -> None:
    runner = run(config, tmp_path / "run")
    network = load_network(tmp_path / "run/checkpoints/iter_000020.pth")
    seen = []
    network.conv1.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    upscale_whole(network, runner.hooks["maps"].patch.lq)
    kept = read_maps(tmp_path / "run/snapshots/features/conv1/iter_000020.npz")
    channels = json.loads((tmp_path / "run/snapshots/features/conv1/about.json").read_text())["channels"]
    assert channels == [0, 2, 5] and kept.dtype == np.float16
    assert np.allclose(kept, seen[0][0, channels].numpy(), atol=1e-3)


def test_the_training_does_not_notice(config: Path, tmp_path: Path) -> None:
    run(config, tmp_path / "with")
    run(config, tmp_path / "without", "hooks.patches=None", "hooks.maps=None")
    ours, theirs = (
        {key: value for key, value in final_state(tmp_path / name).items() if not key.startswith("/hooks")}
        for name in ("with", "without")
    )
    assert ours == theirs


def test_nothing_runs_between(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = build(config, tmp_path / "run")
    kept: list[int] = []
    for name in ("patches", "maps"):
        monkeypatch.setattr(type(runner.hooks[name]), "_keep", lambda self, network, iteration: kept.append(iteration))
    runner.train()
    assert sorted(kept) == sorted(2 * DUE)


def test_a_resumed_run_keeps_what_one_run_would(config: Path, tmp_path: Path) -> None:
    run(config, tmp_path / "whole")
    stopped = "hooks.kill=dict(type='KillHook',at=14)"
    run(config, tmp_path / "run", stopped)
    late = tmp_path / "run/snapshots/patches/cat1/iter_000018.png"
    late.write_bytes(b"of a run that went on from an older checkpoint")
    run(config, tmp_path / "run", resume=True)
    assert snapshot(tmp_path / "run/snapshots") == snapshot(tmp_path / "whole/snapshots")


def test_another_place_replaces_what_is_there(config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(config, tmp_path / "run", "hooks.kill=dict(type='KillHook',at=10)")
    logging.getLogger("srtoolbox").propagate = True
    run(config, tmp_path / "run", "hooks.patches.patches.0.box=[0,0,24,18]", resume=True)
    found = folders(tmp_path / "run")
    assert list(list_snapshots(found["patches/cat1"])) == [16, 20]
    assert list(list_snapshots(found["patches/cat1-2"])) == DUE
    assert "2 earlier snapshots were of another place" in caplog.text


def test_overwrite_deletes_them_too(config: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    assert main(["train", str(config), "--work-dir", str(work_dir), "max_iters=9"]) == 0
    assert main(["train", str(config), "--work-dir", str(work_dir), "--overwrite", "max_iters=1"]) == 0
    assert all(list(list_snapshots(folder)) == [0, 1] for folder in folders(work_dir).values())


def test_an_image_that_is_not_there_is_reported_and_the_training_goes_on(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("srtoolbox").propagate = True
    away = ("hooks.patches.patches.1=nowhere.png", "hooks.maps.picture=nowhere.png", "max_iters=2")
    assert run(config, tmp_path / "run", *away).iter == 2
    assert "nowhere.png: no such image" in caplog.text
    assert list(folders(tmp_path / "run") if (tmp_path / "run/snapshots/features").exists() else []) == []
    assert list(list_snapshots(tmp_path / "run/snapshots/patches/cat1")) == [0, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("hooks.patches.patches.0.box=[9,15,25,18]", "multiples of the scale 3, such as [9, 15, 24, 18]"),
        ("hooks.patches.patches.0.box=[9,15,24]", "[x, y, width, height]"),
        ("hooks.patches.patches.0.where=[9,15,24,18]", "a patch is an image's path"),
        ("hooks.maps.box=[1,3,24,18]", "multiples of the scale 3"),
        ("hooks.maps.layers.0=conv11", "Did you mean 'conv1'"),
        ("hooks.maps.network=generater", "Did you mean 'generator'"),
        ("hooks.maps.channels=0", "at least one"),
        ("hooks.patches.interval=0", "above 0"),
        ("hooks.patches.patches=[]", "names no image"),
        ("hooks.logger.graph=True", "tensorboard=False"),
    ],
)
def test_check_tells_their_faults(config: Path, change: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(Config.fromfile(str(config), [change]), mode="train")
    assert len(caught.value.faults) == 1 and words in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("hooks.patches.patches.0.box=[60,15,24,18]", "cat1.png: box [60, 15, 24, 18] lies outside the image of 72"),
        ("hooks.maps.channels=[1,8]", "channels 0 ... 7, not 8"),
    ],
)
def test_what_only_the_image_or_the_layer_tells_stops_the_run_before_it_begins(
    config: Path, tmp_path: Path, change: str, words: str
) -> None:
    with pytest.raises(SrtoolboxError) as caught:
        Runner(Config.fromfile(str(config), [change]), tmp_path / "run")
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_random_state_is_left_alone(config: Path, tmp_path: Path) -> None:
    runner = build(config, tmp_path / "run")
    before = torch.get_rng_state()
    runner.call("before_train")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_of_two_ranks_only_the_first_keeps_and_both_train_on_alike(config: Path, tmp_path: Path) -> None:
    states = {}
    for name, hooks in (("with", ()), ("without", ("hooks.patches=None", "hooks.maps=None"))):
        work_dir = tmp_path / name
        arguments = [
            "train",
            str(config),
            "--work-dir",
            str(work_dir),
            "data.train.batch_size=2",
            "max_iters=9",
            *hooks,
        ]
        ranks = start(2, tmp_path / f"ranks_{name}", arguments)
        try:
            assert ranks.wait(90) == {0: 0, 1: 0}, ranks.errors(0)
        finally:
            ranks.end()
        state = final_state(work_dir, 9)
        states[name] = {key: value for key, value in state.items() if not key.startswith("/hooks")}
    assert states["with"] == states["without"]
    assert all(list(list_snapshots(folder)) == [0, 8, 9] for folder in folders(tmp_path / "with").values())
