"""One network's update: accumulation, clipping, groups, schedules, precision."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.optim.wrapper import OptimWrapper, build_optim


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
    with pytest.raises(ConfigError, match=r"no parameter's name begins with 'conv9'. There are 0, 2"):
        build_optim("generator", network, cfg)


def test_the_longest_beginning_decides_a_parameters_group(network: nn.Module) -> None:
    settings = {"0.bias": {"lr": 1e-5}, "0": {"lr": 1e-4}, "2.weight": {"lr": 1e-6}, "2": {"lr": 1e-7}}
    for order in (list(settings), list(reversed(settings))):
        cfg = {"optimizer": {"type": "SGD", "lr": 1.0}, "param_groups": {name: settings[name] for name in order}}
        optim = build_optim("generator", network, cfg)
        rates = {id(p): group["lr"] for group in optim.optimizer.param_groups for p in group["params"]}
        found = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
        assert found == {"0.weight": 1e-4, "0.bias": 1e-5, "2.weight": 1e-6, "2.bias": 1e-7}
        assert optim.rates == {name: settings[name]["lr"] for name in order}  # and none for a rest that is empty


def test_what_is_frozen_stays_through_any_schedule_and_weight_decay(network: nn.Module) -> None:
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    cfg = {
        "optimizer": {"type": "AdamW", "lr": 0.1, "weight_decay": 0.5},
        "scheduler": {"type": "CosineAnnealingLR", "T_max": 4, "eta_min": 0.05},
        "param_groups": {"0": {"lr": 0.01}},
        "frozen": ["2", "*.bias"],
    }
    optim = build_optim("generator", network, cfg)
    for _ in range(5):
        optim.update(loss_of(network, 0))
        optim.step_scheduler()
    changed = [name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])]
    assert changed == ["0.weight"] and list(optim.rates) == ["0"]


def test_a_frozen_part_computes_as_in_evaluation_for_good() -> None:
    torch.manual_seed(0)
    spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1))
    part = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), spectral, nn.Dropout(0.5))
    network = nn.Sequential(OrderedDict(part=part, norm=nn.BatchNorm2d(4), last=nn.Conv2d(4, 1, 1)))
    optim = build_optim("generator", network, {"optimizer": {"type": "SGD", "lr": 0.1}, "frozen": "part"})
    network.train()
    optim.hold_frozen()
    images = torch.rand(2, 1, 8, 8)
    first, state = part(images), {name: value.clone() for name, value in part.state_dict().items()}
    for _ in range(3):
        optim.update(network(images).square().mean())
    assert torch.equal(part(images), first)
    assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    assert network.norm.training and int(network.norm.num_batches_tracked) == 3
    weights_only = build_optim(
        "generator", network, {"optimizer": {"type": "SGD", "lr": 0.1}, "frozen": "*norm.weight"}
    )
    assert weights_only.frozen == [] and network.norm.bias.requires_grad  # its statistics go on, its bias learns


@pytest.mark.parametrize(
    ("make", "frozen", "message"),
    [
        (lambda: nn.Upsample(scale_factor=2), None, r"nothing to train in Upsample: it has no parameters"),
        (lambda: nn.Linear(2, 2), ["*"], r"nothing to train in Linear: all 2 parameter tensors are frozen"),
        (
            lambda: nn.Linear(2, 2),
            ["wieght"],
            r"frozen: no parameter's name begins with 'wieght'. Did you mean 'weight'",
        ),
    ],
)
def test_nothing_to_train_is_one_clear_error(make: Callable[[], nn.Module], frozen: list[str], message: str) -> None:
    cfg = {"optimizer": {"type": "Adam"}, "frozen": frozen}
    with pytest.raises(ConfigError, match=message):
        build_optim("generator", make(), cfg)


def test_a_wrapper_of_nothing_is_refused_too() -> None:
    other = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="nothing to train in Identity"):
        OptimWrapper(nn.Identity(), torch.optim.Adam(other.parameters()))


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
        rates.append(round(optim.rates[""], 4))
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
    assert optim.rates == resumed.rates
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_gradients_are_clipped_and_measured_as_if_there_were_no_scale(optimizer: str, network: nn.Module) -> None:
    cfg, steps = {"optimizer": {"type": optimizer, "lr": 0.1}, "clip": 1e-2}, {}
    for amp in (None, "fp16"):
        learning = copy.deepcopy(network)
        optim = build_optim("generator", learning, cfg, amp=amp)
        assert optim.scaler.get_scale() == (65536 if amp else 1)
        norms = [float(optim.update(loss_of(learning, seed), measure=True)) for seed in range(3)]
        steps[amp] = [torch.tensor(norms), *(p.detach() for p in learning.parameters())]
    torch.testing.assert_close(steps["fp16"], steps[None], rtol=1e-5, atol=1e-7)


def test_a_parameter_that_is_never_used_makes_no_step_wait_but_the_first(
    network: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.register_parameter("unused", nn.Parameter(torch.ones(1)))
    optim = build_optim("generator", network, {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}})
    optim.is_synchronous, asked = False, []  # as on a GPU, where to ask a tensor is to wait
    is_true = torch.Tensor.__bool__
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: (asked.append(tensor), is_true(tensor))[1])
    counts = []
    for _ in range(2):
        optim.update(loss_of(network, 0))
        counts.append(len(asked))
    assert counts == [1, 1] and len(optim.optimizer.state) == 4
