"""Whole adversarial runs: exact resume, two processes, what the checkpoints and the log hold."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.engine.ranks import run_ranks
from tests.engine.runs import build, differing, final_state, load, records, run

GAN = """
_base_ = ['./tiny.py']
model = dict(
    type='GANRestorer',
    generator=dict(_delete_=True, type='RRDBNet', scale=3, num_features=8, growth_channels=4, num_blocks=1),
    discriminator=dict(type='VGGDiscriminator', input_size=24, channels=[4, 4, 8, 8], fc=[8], norm=None),
    losses=dict(pixel=dict(weight=1e-2),
                features=dict(type='PerceptualLoss', backbone='squeezenet1_1',
                              weights='random', layers={'fire2': 1e-2})),
    gan_loss=dict(type='RelativisticGANLoss', weight=5e-3), disc_init_iters=2)
# rounding of the first steps, where Adam divides by next to nothing, would be all one sees with its usual eps
adam = dict(optimizer=dict(type='Adam', lr=1e-3, eps=1e-3),
            scheduler=dict(type='MultiStepLR', milestones=[8], gamma=0.5))
optim = dict(generator=dict(_delete_=True, **adam), discriminator=adam)
"""


@pytest.fixture
def gan_config(tiny_config: Path) -> Path:
    path = tiny_config.with_name("gan.py")
    path.write_text(GAN)
    return path


@pytest.mark.parametrize(
    "stop", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 5, 13]
)
def test_a_resumed_run_is_the_unbroken_one(gan_config: Path, tmp_path: Path, stop: int) -> None:
    run(gan_config, tmp_path / "whole")
    # one that comes in iteration 5 ends its evaluation; else the next iteration is the last
    stopped = run(gan_config, tmp_path / "parts", f"hooks.kill=dict(type='KillHook', at={stop + 1})")
    assert stopped.iter == (5 if stop == 5 else stop + 1)
    assert load(tmp_path / "parts", f"iter_{stopped.iter:06d}")["networks"].keys() == {
        "generator", "discriminator", "generator_ema",
    }  # fmt: skip
    run(gan_config, tmp_path / "parts", resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    assert records(tmp_path / "whole") == records(tmp_path / "parts")


def test_the_best_checkpoint_keeps_the_discriminator_and_no_loss_network(gan_config: Path, tmp_path: Path) -> None:
    run(gan_config, tmp_path / "run")
    networks = load(tmp_path / "run", "best_photos_psnr")["networks"]
    assert networks.keys() == {"generator", "discriminator", "generator_ema"}
    assert not any("features" in key for state in networks.values() for key in state)


def test_the_log_tells_of_both_networks(gan_config: Path, tmp_path: Path) -> None:
    run(gan_config, tmp_path / "run")
    first, second = (line for line in records(tmp_path / "run") if line["kind"] == "train" and line["iter"] in (3, 6))
    assert {"pixel", "features", "gan", "discriminator", "d_real", "d_fake"} <= second["terms"].keys()
    assert {"grad_norm_generator", "grad_norm_discriminator"} <= second["terms"].keys()
    assert second["unweighted"]["gan"] == pytest.approx(second["terms"]["gan"] / 5e-3)
    assert second["unweighted"]["pixel"] == pytest.approx(second["terms"]["pixel"] / 1e-2)
    assert second["lr"].keys() == {"generator", "discriminator"}
    # the discriminator alone learned in iterations 1 and 2: the mean is over the one that had the term
    assert first["terms"]["pixel"] == pytest.approx(second["terms"]["pixel"], rel=0.5)


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    "extra", [(), pytest.param(("accumulate=2",), marks=pytest.mark.slow)], ids=["plain", "accumulate"]
)
def test_two_processes_equal_one(gan_config: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    # the mean of a relativistic loss goes over one batch: two half ones in a row are no whole one, two ranks are
    run(gan_config, tmp_path / "one", *extra)
    run_ranks(
        tmp_path, "train", str(gan_config), "--work-dir", str(tmp_path / "two"), "data.train.batch_size=2", *extra
    )
    one, two = (load(tmp_path / name, "iter_000020")["networks"] for name in ("one", "two"))
    for name in ("generator", "discriminator"):
        for key, value in one[name].items():
            torch.testing.assert_close(two[name][key], value, rtol=1e-6, atol=1e-6, msg=f"{name} {key}")
    pairs = zip(records(tmp_path / "one"), records(tmp_path / "two"), strict=True)
    for alone, together in pairs:
        if alone["kind"] == "train":
            for term, value in alone["terms"].items():
                tolerance = {"rel": 1e-2} if term.startswith("grad_norm") else {"rel": 1e-4, "abs": 1e-6}
                assert together["terms"][term] == pytest.approx(value, **tolerance), term


def test_a_discriminator_that_does_not_fit_is_told_why(
    gan_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("srtoolbox").propagate = True
    path = tmp_path / "other.pth"
    networks = build(gan_config, tmp_path / "a").network_state()
    networks["networks"]["discriminator"] = {"head.weight": torch.zeros(3, 3)}
    torch.save(networks, path)
    build(gan_config, tmp_path / "b", f"load_from={str(path)!r}")
    assert "no weights for the discriminator, which starts from its initialisation" in caplog.text
    assert "nothing in it fits VGGDiscriminator" in caplog.text and "1 unexpected (head.weight)" in caplog.text
