"""One network's update: accumulation, clipping, groups, schedules, precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from srtoolbox.engine.optim import build_optim
from srtoolbox.errors import ConfigError


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


def loss_of(network: nn.Module, seed: int, count: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (network(torch.rand(count, 1, 8, 8, generator=generator)) - 0.5).square().mean()


def test_two_half_batches_equal_one_whole(network: nn.Module) -> None:
    whole = copy.deepcopy(network)
    optim = build_optim("generator", whole, {"optimizer": {"type": "SGD", "lr": 0.1}})
    optim.update((loss_of(whole, 1) + loss_of(whole, 2)) / 2)
    optim = build_optim("generator", network, {"optimizer": {"type": "SGD", "lr": 0.1}})
    for part in (0, 1):
        optim.accumulate(part, 2)
        optim.update(loss_of(network, part + 1))
    for a, b in zip(whole.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_clip_limits_the_step(network: nn.Module) -> None:
    before = [p.detach().clone() for p in network.parameters()]
    optim = build_optim("generator", network, {"optimizer": {"type": "SGD", "lr": 1.0}, "clip": 1e-3})
    optim.update(loss_of(network, 1))
    step = torch.cat([(a - b).flatten() for a, b in zip(before, network.parameters(), strict=True)]).detach().norm()
    torch.testing.assert_close(float(step), 1e-3, rtol=1e-3, atol=0)


def test_groups_by_name(network: nn.Module) -> None:
    cfg = {"optimizer": {"type": "Adam", "lr": 1e-3}, "param_groups": {"2": {"lr": 1e-5}}}
    groups = build_optim("generator", network, cfg).optimizer.param_groups
    assert [(group["lr"], len(group["params"])) for group in groups] == [(1e-3, 2), (1e-5, 2)]
    cfg["param_groups"]["conv9"] = {"lr": 1.0}
    with pytest.raises(ConfigError, match=r"no parameter begins with 'conv9'. There are 0, 2"):
        build_optim("generator", network, cfg)


def test_warm_up_then_cosine(network: nn.Module) -> None:
    cfg = {
        "optimizer": {"type": "Adam", "lr": 1.0},
        "scheduler": [
            {"type": "LinearLR", "start_factor": 0.25, "total_iters": 3},
            {"type": "CosineAnnealingLR", "T_max": 4},
        ],
        "milestones": [3],
    }
    optim = build_optim("generator", network, cfg)
    rates = []
    for _ in range(7):
        rates.append(round(optim.lr, 4))
        optim.update(loss_of(network, 0))
        optim.step_scheduler()
    assert rates == [0.25, 0.5, 0.75, 1.0, 0.8536, 0.5, 0.1464]
    with pytest.raises(ConfigError, match="1 milestones"):
        build_optim("generator", network, {**cfg, "milestones": [3, 5]})


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_learns(amp: str, network: nn.Module) -> None:
    optim = build_optim("generator", network, {"optimizer": {"type": "Adam", "lr": 1e-2}}, amp=amp)
    first = float(loss_of(network, 0))
    for _ in range(30):
        with optim.autocast():
            loss = loss_of(network, 0)
        optim.update(loss.float())
    assert float(loss_of(network, 0)) < first / 2


def test_an_overflow_skips_the_step_and_lowers_the_scale(network: nn.Module) -> None:
    optim = build_optim("generator", network, {"optimizer": {"type": "Adam", "lr": 1e-2}}, amp="fp16")
    before = [p.detach().clone() for p in network.parameters()]
    scale = optim.scaler.get_scale()
    optim.update(loss_of(network, 0) * float("inf"))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert optim.scaler.get_scale() < scale


def test_state_survives(network: nn.Module) -> None:
    cfg = {"optimizer": {"type": "Adam", "lr": 1e-2}, "scheduler": {"type": "StepLR", "step_size": 2, "gamma": 0.1}}
    optim = build_optim("generator", network, cfg)
    for _ in range(3):
        optim.update(loss_of(network, 0))
        optim.step_scheduler()
    other = copy.deepcopy(network)
    resumed = build_optim("generator", other, cfg)
    resumed.load_state_dict(copy.deepcopy(optim.state_dict()))
    for model, wrapper in ((network, optim), (other, resumed)):
        for _ in range(3):
            wrapper.update(loss_of(model, 1))
            wrapper.step_scheduler()
    assert optim.lr == resumed.lr
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
