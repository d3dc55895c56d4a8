"""Steps whose gradients are not finite: left out with and without waiting, and counted."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from srtoolbox.optim.wrapper import OptimWrapper, build_optim


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


def step(optim: OptimWrapper, network: nn.Module, seed: int, factor: float = 1.0) -> None:
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    optim.update((network(x) - 0.5).square().mean() * factor)


OPTIMIZERS = [{"type": "Adam", "lr": 0.1}, {"type": "AdamW", "lr": 0.1}, {"type": "SGD", "lr": 0.1, "momentum": 0.9}]


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["Adam", "AdamW", "SGD"])
def test_a_fused_optimizer_leaves_out_without_waiting(
    optimizer: dict[str, Any], clip: float | None, network: nn.Module
) -> None:
    """What a GPU does, `found_inf` and a count that comes later, gives the weights of leaving out the call."""
    other = copy.deepcopy(network)
    plain = build_optim("generator", network, {"optimizer": optimizer, "clip": clip})
    fused = build_optim("generator", other, {"optimizer": optimizer, "clip": clip})
    fused.is_synchronous = False
    for number, factor in enumerate([math.inf, 1.0, math.nan, 1.0, -math.inf]):
        for optim, net in ((plain, network), (fused, other)):
            step(optim, net, number, factor)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    assert (plain.skipped_steps.total, plain.skipped_steps.in_a_row) == (3, 1)
    assert (fused.skipped_steps.total, fused.skipped_steps.in_a_row) == (2, 1)  # the last two flags are on their way
    assert fused.state_dict()["skips"] == [3, 1]


def test_gpu_seed_is_one_or_nan() -> None:
    """The arithmetic a GPU's seed uses, on the CPU."""
    for value, seed in ((3.5, 1.0), (math.inf, math.nan), (-math.inf, math.nan), (math.nan, math.nan)):
        found = torch.tensor(value) * 0 + 1
        assert float(found) == seed or (math.isnan(seed) and math.isnan(found))


def test_fp16_recovers_from_a_scale_far_too_high(network: nn.Module) -> None:
    optim = build_optim("generator", network, {"optimizer": {"type": "Adam", "lr": 1e-3}}, amp="fp16")
    optim.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    for number in range(60):
        with optim.autocast():
            output = network(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(number)))
        optim.update((output.float() - 0.5).square().mean())
        assert optim.skipped_steps.in_a_row < 10 or optim.is_recovering
    optim.skipped_steps.settle()
    assert optim.skipped_steps.total > 10 and optim.skipped_steps.in_a_row == 0


@pytest.mark.parametrize("optimizer", [{"type": "SGD", "lr": 0.1, "momentum": 0.9, "foreach": True}, {"type": "Muon"}])
def test_a_bad_first_step_on_the_device_makes_no_momentum(optimizer: dict, network: nn.Sequential) -> None:
    optim = build_optim("generator", network, {"optimizer": optimizer})
    with optim.on_device():
        step(optim, network, 0, factor=math.nan)
        assert not optim.optimizer.state
        step(optim, network, 1)
    assert all(bool(weight.isfinite().all()) for weight in [*network.parameters(), *optim.tensors])
