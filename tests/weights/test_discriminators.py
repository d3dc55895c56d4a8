"""A discriminator that starts from a file: `model.discriminator=FILE`, `load_from = dict(discriminator=FILE)`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.job.job import train
from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.weights import of_config
from srtoolbox.weights.load import load_network
from srtoolbox.weights.of_config import with_network_of_file
from tests.engine.runs import build, load, run

GAN = """
_base_ = ['./tiny.py']
model = dict(
    type='GANRestorer', discriminator=dict(type='UNetDiscriminatorSN', num_features=2),
    generator=dict(_delete_=True, type='RRDBNet', scale=3, num_features=4, growth_channels=2, num_blocks=1),
    gan_loss=dict(type='GANLoss', weight=0.1))
adam = dict(optimizer=dict(type='Adam', lr=0.0), scheduler=dict(type='MultiStepLR', milestones=[8], gamma=0.5))
optim = dict(generator=dict(_delete_=True, **adam), discriminator=adam)
"""
FEATURES = 3
WIDTHS = {1: (6, 3), 2: (12, 6), 3: (24, 12), 4: (12, 24), 5: (6, 12), 6: (3, 6), 7: (3, 3), 8: (3, 3)}
"""Outputs and inputs of the published discriminator's convolutions, of 3 features where that has 64."""


def published() -> dict[str, Tensor]:
    """Return the tensors of RealESRGAN_x4plus_netD.pth, narrower, by their names, shapes and order there."""
    torch.manual_seed(0)
    state = {"conv0.weight": torch.randn(FEATURES, 3, 3, 3), "conv0.bias": torch.randn(FEATURES)}
    for number, (outputs, inputs) in WIDTHS.items():
        side = 4 if outputs > inputs else 3
        state[f"conv{number}.weight_orig"] = torch.randn(outputs, inputs, side, side)
        left, _, right = torch.linalg.svd(state[f"conv{number}.weight_orig"].flatten(1), full_matrices=False)
        state[f"conv{number}.weight_u"], state[f"conv{number}.weight_v"] = left[:, 0].clone(), right[0].clone()
    return {**state, "conv9.weight": torch.randn(1, FEATURES, 3, 3), "conv9.bias": torch.randn(1)}


@pytest.fixture
def gan_config(tiny_config: Path) -> Path:
    path = tiny_config.with_name("gan.py")
    path.write_text(GAN)
    return path


@pytest.fixture
def net_d(tmp_path: Path) -> str:
    torch.save({"params": published()}, tmp_path / "RealESRGAN_x4plus_netD.pth")
    return str(tmp_path / "RealESRGAN_x4plus_netD.pth")


def test_the_published_file_says_which_network_it_is(gan_config: Path, net_d: str) -> None:
    config = with_network_of_file(Config.fromfile(gan_config, [f"model.discriminator={net_d}"]))
    assert config["model"]["discriminator"] == {"type": "UNetDiscriminatorSN", "num_features": 3, "colour": "rgb"}
    assert config["load_from"] == {"discriminator": net_d}


@pytest.mark.parametrize(
    ("load_from", "starts"),
    [
        (None, {"generator": "G.pth", "discriminator": "D.pth"}),
        ("other.pth", {"generator": "other.pth", "discriminator": "D.pth"}),
        ({"discriminator": "other.pth"}, {"generator": "G.pth", "discriminator": "other.pth"}),
        ({"generator": "other.pth"}, {"generator": "other.pth", "discriminator": "D.pth"}),
        ({"discriminator": None}, {"generator": "G.pth", "discriminator": None}),
    ],
)
def test_files_of_load_from_go_before_those_of_the_model(
    load_from: object, starts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_config, "network_to_tune", lambda source, scale, role: {"type": role})
    config = Config({"model": {"generator": "G.pth", "discriminator": "D.pth"}, "load_from": load_from})
    assert with_network_of_file(config).to_dict()["load_from"] == starts


@pytest.mark.slow
def test_a_run_learns_on_from_both_files_and_is_resumed_without_them(
    gan_config: Path, net_d: str, tmp_path: Path
) -> None:
    start = run(gan_config, tmp_path / "first", "max_iters=1")
    net_g = str(tmp_path / "first/checkpoints/iter_000001.pth")
    frozen = ("max_iters=2", "hooks.evaluate=None", "data.val=None", "hooks.checkpoint.best=None")
    changes = (f"model.generator={net_g}", f"model.discriminator={net_d}", *frozen)
    train(gan_config, work_dir=tmp_path / "tuned", overrides=changes)
    tuned = load(tmp_path / "tuned", "iter_000002")["networks"]
    theirs = published()
    assert tuned["discriminator"].keys() == theirs.keys()
    for key, value in theirs.items():  # its rate is 0, and an iteration finds the vectors that are there
        torch.testing.assert_close(tuned["discriminator"][key], value, rtol=1e-4, atol=1e-5)
    for key, value in start.networks["generator"].state_dict().items():
        assert torch.equal(tuned["generator"][key], value)
    Path(net_d).unlink()
    train(gan_config, work_dir=tmp_path / "tuned", overrides=(*changes, "max_iters=3"), resume=True)
    assert load(tmp_path / "tuned", "iter_000003")["iter"] == 3


def test_each_network_may_have_a_file_of_its_own(gan_config: Path, net_d: str, tmp_path: Path) -> None:
    change = f"load_from={ {'discriminator': net_d} }", "model.discriminator.num_features=3"
    check(Config.fromfile(gan_config, change))
    started = build(gan_config, tmp_path / "run", *change)
    fresh = build(gan_config, tmp_path / "fresh", change[1])
    for key, value in published().items():
        assert torch.equal(started.networks["discriminator"].state_dict()[key], value)
    for key, value in fresh.networks["generator"].state_dict().items():
        assert torch.equal(started.networks["generator"].state_dict()[key], value)


def test_a_checkpoint_of_ours_gives_its_discriminator(gan_config: Path, tmp_path: Path) -> None:
    first = run(gan_config, tmp_path / "first", "max_iters=1", "model.discriminator.num_features=5")
    path = tmp_path / "first/checkpoints/iter_000001.pth"
    second = with_network_of_file(Config.fromfile(gan_config, [f"model.discriminator={path}", "load_from='g.pth'"]))
    assert second["model"]["discriminator"]["num_features"] == 5
    assert second["load_from"] == {"generator": "g.pth", "discriminator": str(path)}
    tuned = build(gan_config, tmp_path / "tuned", f"load_from={ {'discriminator': str(path)} }",
                  "model.discriminator.num_features=5")  # fmt: skip
    for key, value in first.networks["discriminator"].state_dict().items():
        assert torch.equal(tuned.networks["discriminator"].state_dict()[key], value)


def test_what_does_not_fit_is_told(gan_config: Path, net_d: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a discriminator \(a U-Net with spectral norm\), not a generator"):
        load_network(net_d)
    with pytest.raises(CheckpointError, match="load_from names 'critic'; the networks are generator, discriminator"):
        build(gan_config, tmp_path / "a", f"load_from={ {'critic': net_d} }")
    with pytest.raises(CheckpointError, match="load_from names the file of each network, got 3 for 'discriminator'"):
        build(gan_config, tmp_path / "a", "load_from={'discriminator': 3}")
    torch.save({"params": {"head.weight": torch.zeros(3, 3)}}, tmp_path / "other.pth")
    other = {"discriminator": str(tmp_path / "other.pth")}
    with pytest.raises(CheckpointError, match=r"other.pth: nothing in it fits UNetDiscriminatorSN"):
        build(gan_config, tmp_path / "b", f"load_from={other}")
    with pytest.raises(ConfigError, match=r"holds no discriminator that is recognised \(UNetDiscriminatorSN\)"):
        with_network_of_file(Config.fromfile(gan_config, [f"model.discriminator={other['discriminator']}"]))
    broken: dict[str, Any] = {**published(), "conv4.weight_orig": torch.zeros(1, 1, 3, 3)}
    torch.save({"params": broken}, tmp_path / "broken.pth")
    with pytest.raises(ConfigError, match=re.escape("looks like UNetDiscriminatorSN, but 1 of another shape")):
        with_network_of_file(Config.fromfile(gan_config, [f"model.discriminator={tmp_path / 'broken.pth'}"]))
