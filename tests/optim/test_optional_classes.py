"""Optimizers of the extra: in the wrapper with all that a config can ask for, and what the toolbox adds to them."""

from __future__ import annotations

import importlib.util
import io
import logging
import math
from typing import Any

import pytest
import torch
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.optim.optional_classes import averaged_weights
from srtoolbox.optim.wrapper import OptimWrapper, build_optim
from srtoolbox.registry import NETWORKS, OPTIMIZERS

pytest.importorskip("pytorch_optimizer")

ALL: dict[str, dict[str, Any]] = {
    "Adan": {"lr": 3e-3},
    "Prodigy": {"d0": 1e-4},
    "SOAP": {"lr": 3e-3, "precondition_frequency": 2},
    "ScheduleFreeAdamW": {"lr": 1e-2, "warmup_steps": 5},
    "ScheduleFreeSGD": {"lr": 0.5},
    "Muon": {"lr": 3e-3},
}
every_optimizer = pytest.mark.parametrize("kind", ALL)


def network() -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS.build({"type": "ESPCN", "scale": 2, "kernels": [3, 3, 3], "channels": [8, 6]})


def optim_of(kind: str, network: nn.Module, *, amp: str | None = None, **more: object) -> OptimWrapper:
    return build_optim("generator", network, {"optimizer": {"type": kind, **ALL[kind]}, **more}, amp=amp)


def train(optim: OptimWrapper, network: nn.Module, steps: range, batches: int = 1) -> list[float]:
    losses = []
    for step in steps:
        for part in range(batches):
            generator = torch.Generator().manual_seed(batches * step + part)
            target = torch.rand(2, 1, 8, 8, generator=generator).cumsum(-1).div(8)
            with optim.autocast():
                loss = (network(nn.functional.avg_pool2d(target, 2)).float() - target).square().mean()
            optim.accumulate(part, batches)
            optim.update(loss)
        losses.append(loss.item())
    return losses


@every_optimizer
def test_it_trains(kind: str) -> None:
    net = network()
    losses = train(optim_of(kind, net), net, range(50))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@every_optimizer
@pytest.mark.parametrize("amp", [None, *(pytest.param(amp, marks=pytest.mark.slow) for amp in ("bf16", "fp16"))])
def test_its_state_goes_on_bit_for_bit(kind: str, amp: str | None) -> None:
    more = {"clip": 0.5, "frozen": ["conv1.bias"], "param_groups": {"conv3": {"weight_decay": 0.1}}}
    net = network()
    frozen = net.conv1.bias.detach().clone()
    optim = optim_of(kind, net, amp=amp, **more)
    train(optim, net, range(4), batches=2)
    file = io.BytesIO()
    torch.save((net.state_dict(), optim.state_dict()), file)
    train(optim, net, range(4, 8), batches=2)
    weights, state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    again = network()
    again.load_state_dict(weights)
    resumed = optim_of(kind, again, amp=amp, **more)
    resumed.load_state_dict(state)
    train(resumed, again, range(4, 8), batches=2)
    for name, weight in again.state_dict().items():
        assert torch.equal(weight, net.state_dict()[name]), name
        assert torch.equal(weight, weights[name]) is (name == "conv1.bias"), name
    assert torch.equal(frozen, net.conv1.bias)


@every_optimizer
def test_a_step_that_is_not_finite_is_left_out(kind: str) -> None:
    net = network()
    optim = optim_of(kind, net)
    for before in (0, 2):  # the first step of all, and a later one
        train(optim, net, range(before))
        kept = [tensor.detach().clone() for tensor in (*net.parameters(), *optim.tensors)]
        counts = repr([{key: group[key] for key in group if key != "params"} for group in optim.optimizer.param_groups])
        optim.update(sum(weight.sum() for weight in net.parameters()) * math.nan)
        assert len(kept) == len([*net.parameters(), *optim.tensors])
        for value, tensor in zip(kept, (*net.parameters(), *optim.tensors), strict=True):
            assert torch.equal(value, tensor)
        groups = optim.optimizer.param_groups
        assert counts == repr([{key: group[key] for key in group if key != "params"} for group in groups])


@every_optimizer
def test_other_settings_keep_what_it_has_counted(kind: str) -> None:
    net = network()
    optim = optim_of(kind, net)
    train(optim, net, range(3))
    groups = {"conv3": {"weight_decay": 0.5}}
    other = optim_of(kind, net, param_groups=groups)
    other.load_state_dict(optim.state_dict(), restart_at=3)
    counted = getattr(optim.optimizer, "counted", ())
    expected = {key: value for key, value in optim.optimizer.param_groups[0].items() if key in counted}
    assert bool(expected) is (kind != "Muon")
    for group in other.optimizer.param_groups:
        assert {key: group[key] for key in expected} == expected
    assert 0.5 in [group["weight_decay"] for group in other.optimizer.param_groups]
    train(other, net, range(3, 5))


def test_other_settings_hold_where_it_keeps_options_beside_its_moments() -> None:
    net = network()
    optim = optim_of("SOAP", net)
    train(optim, net, range(3))
    other = build_optim("generator", net, {"optimizer": {"type": "SOAP", "precondition_frequency": 7}})
    other.load_state_dict(optim.state_dict(), restart_at=3)
    assert {state["precondition_frequency"] for state in other.optimizer.state.values()} == {7}


@pytest.mark.parametrize("kind", ["ScheduleFreeAdamW", "ScheduleFreeSGD"])
def test_averaged_weights_are_a_copy_of_the_librarys(kind: str) -> None:
    net = network()
    optim = optim_of(kind, net)
    assert averaged_weights(optim.optimizer) == {}
    train(optim, net, range(6))
    before = [weight.detach().clone() for weight in net.parameters()]
    averaged = optim.averaged([*net.parameters()])
    assert all(map(torch.equal, before, net.parameters()))
    optim.optimizer.eval()  # type: ignore[operator]
    for copied, own, trained in zip(averaged, net.parameters(), before, strict=True):
        assert torch.equal(copied, own.detach()) and not torch.equal(own, trained)


@pytest.mark.parametrize(
    ("kind", "other"), [("ScheduleFreeAdamW", {"betas": [0.95, 0.999]}), ("ScheduleFreeSGD", {"momentum": 0.5})]
)
def test_an_average_is_not_read_by_another_share(kind: str, other: dict[str, Any]) -> None:
    net = network()
    optim = optim_of(kind, net)
    train(optim, net, range(3))
    changed = build_optim("generator", net, {"optimizer": {"type": kind, **ALL[kind], **other}})
    with pytest.raises(ValueError, match=r"shares of averaged weights, \[0\..*differ: momentum or betas"):
        changed.load_state_dict(optim.state_dict(), restart_at=3)


def test_prodigy_refuses_a_rate_of_a_group() -> None:
    with pytest.raises(ConfigError, match="no group has an lr of its own"):
        optim_of("Prodigy", network(), param_groups={"conv3": {"lr": 0.1}})


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    absent = {"pytorch_optimizer"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else find(name, *rest))
    with pytest.raises(ConfigError, match=r"Adan is an optimizer .* pip install 'srtoolbox\[optimizers\]'"):
        optim_of("Adan", network())
    assert set(ALL) <= set(OPTIMIZERS.names())


def test_running_statistics_under_an_average_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        optim_of("ScheduleFreeSGD", nn.Sequential(network(), nn.InstanceNorm2d(1)))
        assert not caplog.messages
        optim_of("ScheduleFreeSGD", nn.Sequential(network(), nn.BatchNorm2d(1)))
    assert "running statistics of the averaged weights" in caplog.text
