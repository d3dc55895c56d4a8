"""Muon for convolutions beside AdamW for the rest, against torch's own two optimizers."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.optim.muon import Muon, orthogonalised
from srtoolbox.optim.wrapper import OptimWrapper, build_optim
from srtoolbox.registry import NETWORKS
from tests.models.networks.small import small_arguments


class Small(nn.Module):
    """Convolutions wide and tall, one depthwise, a linear layer, a norm and a table."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 8, 3, padding=1)
        self.wide2 = nn.Conv2d(8, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.GroupNorm(2, 8)
        self.tall = nn.Conv2d(8, 20, 1)
        self.linear = nn.Linear(20, 8)
        self.table = nn.Parameter(torch.ones(4, 8))
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.depthwise(self.wide2(self.wide(self.first(image)).relu())))
        features = self.linear(self.tall(features).relu().permute(0, 2, 3, 1)) + self.table.mean(0)
        return self.last(features.permute(0, 3, 1, 2))


TURNED = ["wide.weight", "wide2.weight", "tall.weight", "linear.weight"]


def cfg(**options: object) -> dict[str, object]:
    return {"optimizer": {"type": "Muon", "lr": 0.01, **options}}


def train(optim: OptimWrapper, network: nn.Module, seeds: range) -> list[float]:
    losses = []
    for seed in seeds:
        image = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
        loss = (network(image) - image.flip(1)).square().mean()
        optim.update(loss)
        losses.append(loss.item())
        optim.step_scheduler()
    return losses


def turned(optim: OptimWrapper) -> list[str]:
    names = dict(zip(*(optim._names, range(99)), strict=False))
    places = [
        place
        for group in optim.optimizer.state_dict()["param_groups"]
        if group["orthogonalise"]
        for place in group["params"]
    ]
    return [name for name, place in names.items() if place in places]


@pytest.mark.parametrize("rule", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
def test_it_takes_the_steps_of_torchs_muon_on_matrices_and_of_adamw_on_the_rest(
    rule: str, layout: torch.memory_format
) -> None:
    network = Small().to(memory_format=layout)
    same = copy.deepcopy(network)
    optim = build_optim("generator", network, cfg(adamw_lr=0.003, weight_decay=0.1, adjust_lr_fn=rule))
    weights = dict(same.named_parameters())

    def as_matrix(tensor: torch.Tensor) -> torch.Tensor:  # columns as they lie in memory
        return (tensor.permute(0, 2, 3, 1) if layout == torch.channels_last and tensor.ndim == 4 else tensor).flatten(1)

    matrices = {name: nn.Parameter(as_matrix(weights[name].detach()).clone()) for name in TURNED}
    by_matrix = torch.optim.Muon(matrices.values(), lr=0.01, weight_decay=0.1, adjust_lr_fn=rule)
    rest = [parameter for name, parameter in weights.items() if name not in TURNED]
    by_adamw = torch.optim.AdamW(rest, lr=0.003, weight_decay=0.1, fused=True)
    for seed in range(5):
        train(optim, network, range(seed, seed + 1))
        for name, parameter in network.named_parameters():
            weights[name].grad = parameter.grad.clone()
        for name, matrix in matrices.items():
            matrix.grad = as_matrix(weights[name].grad)
        by_matrix.step()
        by_adamw.step()
        for name, parameter in network.named_parameters():
            ours, theirs = parameter.detach(), weights[name].detach()
            if name in TURNED:
                ours, theirs = as_matrix(ours), matrices[name].detach()
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_matrices_are_the_inner_weights_of_linear_layers_and_convolutions() -> None:
    assert turned(build_optim("generator", Small(), cfg())) == TURNED
    groups = {"first": {"orthogonalise": True}, "linear": {"orthogonalise": False}}
    optim = build_optim("generator", Small(), {**cfg(), "param_groups": groups})
    assert turned(optim) == [*TURNED[:-1], "first.weight"]  # group by group
    assert optim.group_names == ["", "adamw", "first", "first.adamw", "linear.adamw"]


@pytest.mark.parametrize(
    ("arguments", "first", "inner"),
    [
        ({"type": "VDSR"}, ["input.weight"], "residual_layer.0.conv.weight"),
        ({"type": "OmniSR"}, ["input.weight"], "residual_layer.0.residual_layer.0.layer.0.fn.0.weight"),
        ({"type": "SPAN"}, ["conv_1.sk.weight", "conv_1.conv.0.weight"], "conv_1.conv.2.weight"),
    ],
)
def test_the_first_weights_take_the_image_wherever_they_are_named(
    arguments: dict[str, str], first: list[str], inner: str
) -> None:
    network = NETWORKS.build({**arguments, "scale": 2, **small_arguments(arguments["type"])})
    names = turned(build_optim("generator", network, cfg()))
    assert inner in names and not set(first) & set(names)


def test_both_rates_follow_the_schedule_and_a_groups_own() -> None:
    groups = {"tall": {"lr": 0.001}, "linear": {"adamw_lr": 0.5}}
    schedule = {"scheduler": {"type": "MultiStepLR", "milestones": [1], "gamma": 0.1}}
    network = Small()
    optim = build_optim("generator", network, {**cfg(adamw_lr=0.002), **schedule, "param_groups": groups})
    rates = {"": 0.01, "adamw": 0.002, "tall": 0.001, "tall.adamw": 0.0002, "linear": 0.01, "linear.adamw": 0.5}
    assert optim.rates == pytest.approx(rates)
    train(optim, network, range(1))
    assert optim.rates == pytest.approx({name: rate / 10 for name, rate in rates.items()})


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
def test_its_state_goes_on_bit_for_bit(layout: torch.memory_format) -> None:
    network = Small().to(memory_format=layout)
    optim = build_optim("generator", network, cfg())
    train(optim, network, range(3))
    file = io.BytesIO()
    torch.save((network.state_dict(), optim.state_dict()), file)
    train(optim, network, range(3, 6))
    weights, state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    again = Small().to(memory_format=layout)
    again.load_state_dict(weights)
    resumed = build_optim("generator", again, cfg())
    resumed.load_state_dict(state)
    train(resumed, again, range(3, 6))
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_weight_that_changes_sides_gets_new_moments() -> None:
    network = Small()
    optim = build_optim("generator", network, cfg())
    train(optim, network, range(2))
    other = build_optim("generator", network, {**cfg(), "param_groups": {"tall": {"orthogonalise": False}}})
    other.load_state_dict(optim.state_dict(), restart_at=2)
    train(other, network, range(2, 4))
    assert set(other.optimizer.state[network.tall.weight]) == {"exp_avg", "exp_avg_sq", "step"}
    assert float(other.optimizer.state[network.tall.weight]["step"]) == 2
    assert float(other.optimizer.state[network.tall.bias]["step"]) == 4


def test_singular_values_come_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised([torch.randn(40, 12), torch.randn(40, 12)]).float())
    assert values.shape == (2, 12) and values.min() > 0.5 and values.max() < 1.3


def test_without_a_network_shapes_tell_the_matrices() -> None:
    parameters = [nn.Parameter(torch.ones(size)) for size in [(4, 3, 3, 3), (4,), (4, 1, 3, 3), (1, 4, 1, 1), (5, 4)]]
    optimizer = Muon(parameters)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 3]
    assert optimizer.step(lambda: math.pi) == math.pi


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"momentum": -1.0}, "momentum is at least 0"),
        ({"momentum": 1.0}, "momentum is a share in"),
        ({"ns_steps": 0}, "ns_steps is at least 1"),
        ({"betas": [0.9, 1.0]}, "two shares in"),
        ({"adjust_lr_fn": "rms"}, "adjust_lr_fn is 'match_rms_adamw' or 'original', got 'rms'"),
        ({"orthogonalise": "no"}, "orthogonalise is True, False or None, got 'no'"),
    ],
)
def test_impossible_values_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_optim("generator", Small(), cfg(**options))
    with pytest.raises(ConfigError, match=words):
        build_optim("generator", Small(), {**cfg(), "param_groups": {"tall": options}})
