"""`load_from`: weights and nothing else of an earlier run."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.io.tensor_files import save_safetensors, save_tensors
from srtoolbox.registry import MODELS, NETWORKS
from tests.engine.runs import build, load, run
from tests.weights.fitted import fitted_espcn


@pytest.fixture
def start(tiny_config: Path, tmp_path: Path) -> Path:
    run(tiny_config, tmp_path / "first", "max_iters=5")
    return tmp_path / "first/checkpoints/iter_000005.pth"


def test_weights_come_and_all_else_is_fresh(start: Path, tiny_config: Path, tmp_path: Path) -> None:
    runner = build(tiny_config, tmp_path / "tuned", f"load_from={str(start)!r}")
    saved = load(tmp_path / "first", "iter_000005")["networks"]["generator_ema"]
    for name in ("generator", "generator_ema"):
        found = runner.networks[name].state_dict()
        assert sorted(found) == sorted(saved)
        assert all(torch.equal(found[key], value) for key, value in saved.items())
    assert (runner.iter, runner.draws) == (0, 0)
    optim = runner.optims["generator"]
    assert not optim.optimizer.state
    assert optim.rates == pytest.approx({"": 1e-3})  # the warm-up begins anew
    assert runner.hooks["checkpoint"].best == {}
    fresh = build(tiny_config, tmp_path / "fresh")
    assert not torch.equal(fresh.networks["generator"].conv1.weight, saved["conv1.weight"])
    assert next(fresh.batches)["draw"].tolist() == next(runner.batches)["draw"].tolist()


def test_what_fits_is_loaded_and_the_rest_named(
    start: Path, tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    wider = "model.generator.channels=[8, 6]"
    runner = build(tiny_config, tmp_path / "tuned", f"load_from={str(start)!r}", wider)
    fresh = build(tiny_config, tmp_path / "fresh", wider)
    saved = load(tmp_path / "first", "iter_000005")["networks"]["generator_ema"]
    found, initial = (r.networks["generator"].state_dict() for r in (runner, fresh))
    fitting = {"conv1.weight", "conv1.bias", "conv3.bias"}
    for key in found:
        assert torch.equal(found[key], (saved if key in fitting else initial)[key]), key
    assert "loaded 3 of 6 tensors" in caplog.text
    assert "3 of another shape (conv2.weight (4, 8, 3, 3) for (6, 8, 3, 3)" in caplog.text


def test_nothing_that_fits_is_an_error(tiny_config: Path, tmp_path: Path) -> None:
    torch.save({"params": {"head.weight": torch.zeros(3, 3)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"nothing in it fits ESPCN.*6 missing.*1 unexpected \(head.weight\)"):
        build(tiny_config, tmp_path / "tuned", f"load_from={str(tmp_path / 'other.pth')!r}")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        build(tiny_config, tmp_path / "tuned", "load_from='nowhere.pth'")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    caplog.set_level(logging.INFO, "srtoolbox")
    return caplog


SMALL = {"type": "ESPCN", "scale": 3, "kernels": [3, 3, 3], "channels": [8, 4]}


def test_another_projects_file_is_recognised_renamed_and_compared(
    tiny_config: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    """yjn870's names of an ESPCN trained with relu; the run's has tanh."""
    state = fitted_espcn({**SMALL, "activation": "relu"})
    theirs = {"conv1": "first_part.0", "conv2": "first_part.2", "conv3": "last_part.0"}
    renamed = {f"{theirs[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in state.items()}
    torch.save(renamed, tmp_path / "foreign.pth")
    change = f"load_from={str(tmp_path / 'foreign.pth')!r}"
    runner = build(tiny_config, tmp_path / "tuned", change, "model.generator.activation='relu'")
    found = runner.networks["generator"].state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())
    assert "loaded 6 of 6 tensors" in told.text and "WARNING" not in told.text
    told.clear()
    build(tiny_config, tmp_path / "wrong", change)
    assert "foreign.pth was trained with activation='relu', model.generator has activation='tanh'" in told.text
    told.clear()
    build(tiny_config, tmp_path / "wider", change, "model.generator.channels=[8, 6]")
    assert "foreign.pth: ESPCN, yjn870's names, x3, 3-3-3, luma, activation='relu'; on a photograph" in told.text
    assert "loaded 3 of 6 tensors" in told.text and "was trained with activation='relu'" in told.text


def test_our_own_file_of_another_activation_is_told(
    start: Path, tiny_config: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    told.clear()
    build(tiny_config, tmp_path / "relu", f"load_from={str(start)!r}", "model.generator.activation='relu'")
    assert "was trained with activation='tanh', model.generator has activation='relu'" in told.text


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (NETWORKS.build({"type": "MSRResNet", "scale": 3, "num_features": 8, "num_blocks": 1}).state_dict(), None),
        (
            {"conv0_0.weight": torch.ones(1), "linear1.weight": torch.ones(1)},
            r"looks like a discriminator \(VGG style\)",
        ),
        ({"state": {}, "param_groups": []}, "is the state of an optimizer"),
    ],
    ids=["another network", "discriminator", "optimizer"],
)
def test_a_wrong_file_is_named(
    state: dict, reason: str | None, tiny_config: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=reason or "nothing in it fits ESPCN"):
        build(tiny_config, tmp_path / "tuned", f"load_from={str(tmp_path / 'other.pth')!r}")
    if reason is None:
        assert "other.pth: MSRResNet, BasicSR's names, x3, 1 block, 8 features" in told.text


@pytest.mark.parametrize(
    "network",
    [{"type": "Adapter", "network": {}}, {"type": "ESPCN", "mean": ["a"]}, {"type": ["ESPCN"]}, {"type": "Mine"}],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_names_no_network_that_is_one_is_taken_by_its_tensors(
    network: dict, suffix: str, tiny_config: Path, tmp_path: Path
) -> None:
    state, path = fitted_espcn({**SMALL, "activation": "relu"}), tmp_path / f"odd{suffix}"
    if suffix == ".pth":
        config = {"model": {"generator": network}}
        save_tensors(path, {"config": json.dumps(config), "networks": {"generator": state}})
    else:
        save_safetensors(path, state, {"network": json.dumps(network)})
    runner = build(tiny_config, tmp_path / "tuned", f"load_from={str(path)!r}", "model.generator.activation='relu'")
    found = runner.networks["generator"].state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_a_resume_goes_before_load_from(start: Path, tiny_config: Path, tmp_path: Path) -> None:
    change = f"load_from={str(start)!r}"
    run(tiny_config, tmp_path / "tuned", change, "max_iters=3")
    runner = build(tiny_config, tmp_path / "tuned", change, resume=True)
    saved = load(tmp_path / "tuned", "iter_000003")["networks"]["generator"]
    assert runner.iter == 3
    assert all(torch.equal(value, saved[key]) for key, value in runner.networks["generator"].state_dict().items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [("load_from='nowhere.pth'", "nowhere.pth"), ("data.train.dataset.gt='nowhere'", "training set is not there")],
)
def test_what_is_missing_is_told_before_a_model_is_built(
    change: str, reason: str, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(cfg: dict) -> None:
        raise AssertionError("a perceptual loss would download its network now")

    monkeypatch.setattr(MODELS, "build", download)
    with pytest.raises(SrtoolboxError, match=reason):
        build(tiny_config, tmp_path / "run", change)
