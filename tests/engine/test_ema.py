"""The moving average is the one of the formula, over weights and BatchNorm statistics, and evaluation uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srtoolbox.engine.checkpoint import load_network
from tests.engine.runs import build, load, records, run

BATCH_NORM = "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 1, '_delete_': True}"


@pytest.mark.parametrize("decay", [0.9, 0.5])
def test_average_by_the_formula(decay: float, tiny_config: Path, tmp_path: Path) -> None:
    changes = (BATCH_NORM, f"hooks.ema.decay={decay}", "hooks.checkpoint.interval=1", "max_iters=6")
    initial = build(tiny_config, tmp_path / "start", *changes).networks["generator"].state_dict()
    expected = {name: value.double() for name, value in initial.items()}
    assert any(name.endswith("running_var") for name in expected)
    run(tiny_config, tmp_path / "run", *changes)
    for iteration in range(1, 7):
        networks = load(tmp_path / "run", f"iter_{iteration:06d}")["networks"]
        for name, value in networks["generator"].items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
            if value.is_floating_point():  # counters of batches are rounded
                average = networks["generator_ema"][name].double()
                torch.testing.assert_close(average, expected[name], rtol=1e-5, atol=1e-6, msg=lambda m, n=name: n + m)
    statistics = "body.0.bn1.running_mean"
    assert not torch.allclose(networks["generator_ema"][statistics], networks["generator"][statistics], rtol=1e-2)


def test_evaluation_and_loading_use_the_average(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "with", "max_iters=5")
    run(tiny_config, tmp_path / "copy", "max_iters=5", "hooks.ema.decay=0")
    scores = [next(line for line in records(tmp_path / name) if line["kind"] == "eval") for name in ("with", "copy")]
    assert scores[0]["scores"] != scores[1]["scores"]
    path = tmp_path / "with/checkpoints/iter_000005.pth"
    saved = load(tmp_path / "with", "iter_000005")["networks"]
    for weights, name in (("ema", "generator_ema"), ("raw", "generator")):
        loaded = load_network(path, weights=weights).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in saved[name].items())
    assert not torch.equal(saved["generator"]["conv1.weight"], saved["generator_ema"]["conv1.weight"])
