"""The moving average is the one of the formula, over weights and BatchNorm statistics, and evaluation uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from srtoolbox.engine.hooks.ema import EMAHook
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.load import load_network
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


class Mixed(nn.Module):
    """Every kind of thing that a network holds besides plain weights; `forward` changes the buffers as some do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.second.bias.requires_grad_(False)
        self.step = nn.Parameter(torch.tensor(0), requires_grad=False)
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("count", torch.tensor(0, dtype=torch.int16))
        self.register_buffer("rotation", torch.ones(3, dtype=torch.complex64), persistent=False)
        self.register_buffer("coarse", torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer("empty", torch.empty(0))
        self.register_buffer("late", None)
        self.register_buffer("growing", torch.ones(1))
        self.alias = nn.Module()
        self.alias.register_buffer("mean", torch.ones(2))
        self.register_buffer("mean", self.alias.mean)

    def advance(self) -> None:
        with torch.no_grad():
            self.first.weight += 1
            self.mean += 1
            self.rotation *= 1j
            self.coarse += 1
            self.step += 1
        self.order = self.order.roll(1)
        self.mask = ~self.mask
        self.count += 1
        self.late = torch.full((2,), float(self.count))
        self.growing = torch.full((1 + int(self.count),), 7.0)

    def read(self) -> torch.Tensor:
        return torch.arange(3.0)[self.order] * self.mask


def test_what_is_no_quantity_is_copied_and_the_rest_averaged_once() -> None:
    network = Mixed()
    runner = SimpleNamespace(model=SimpleNamespace(), networks={"generator": network})
    hook = EMAHook(decay=0.75)
    hook.set_up(runner)
    average = runner.networks["generator_ema"]
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    rotation = network.rotation.clone()
    bias = network.second.bias.clone()
    for _ in range(3):
        network.advance()
        hook.after_iter(runner)
        rotation = 0.75 * rotation + 0.25 * network.rotation
        for name in ("first.weight", "coarse", "mean"):
            expected[name] = 0.75 * expected[name] + 0.25 * network.state_dict()[name]
        for name in ("order", "mask", "count", "growing", "step"):
            assert torch.equal(average.state_dict()[name], network.state_dict()[name]), name
        assert torch.equal(average.read(), network.read())
    for name in ("first.weight", "coarse", "mean"):
        torch.testing.assert_close(average.state_dict()[name], expected[name], msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(average.rotation, rotation)
    torch.testing.assert_close(average.late, torch.tensor([0.75 * (0.75 + 0.5) + 0.75] * 2))
    assert torch.equal(average.second.bias, bias)
    assert average.second.weight is average.first.weight
    assert average.mean is average.alias.mean
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert network.order is not average.order


class Normed(nn.Module):
    """A convolution and its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.register_buffer("window", torch.ones(2))


def replace_weight(network: Normed) -> None:
    network.conv.weight = nn.Parameter(network.conv.weight + 1)


def replace_module(network: Normed) -> None:
    network.norm = nn.BatchNorm2d(2)
    network.norm.running_mean += 1


def add_buffer(network: Normed) -> None:
    network.norm.register_buffer("late", torch.full((2,), 3.0))


def resize_in_place(network: Normed) -> None:
    network.window.resize_(5).fill_(2)


def assign_data(network: Normed) -> None:
    network.conv.weight.data = network.conv.weight.data * 2


@pytest.mark.parametrize("change", [replace_weight, replace_module, add_buffer, resize_in_place, assign_data])
def test_the_average_follows_a_tensor_that_is_replaced(change: Callable[[Normed], None]) -> None:
    runs = [SimpleNamespace(model=SimpleNamespace(), networks={"generator": Normed()}) for _ in range(2)]
    runs[1].networks["generator"].load_state_dict(runs[0].networks["generator"].state_dict())
    hooks = [EMAHook(decay=0.5), EMAHook(decay=0.5)]
    for run_, hook in zip(runs, hooks, strict=True):
        hook.set_up(run_)
        hook.after_iter(run_)
        torch.manual_seed(0)
        change(run_.networks["generator"])
    hooks[1]._pairs = None  # looks at all tensors anew
    for run_, hook in zip(runs, hooks, strict=True):
        hook.after_iter(run_)
    found, expected = (run_.networks["generator_ema"].state_dict() for run_ in runs)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def test_an_average_that_gets_other_tensors_is_followed() -> None:
    runner = SimpleNamespace(model=SimpleNamespace(), networks={"generator": Normed()})
    hook = EMAHook(decay=0.5)
    hook.set_up(runner)
    hook.after_iter(runner)
    zeros = {name: torch.zeros_like(value) for name, value in hook.average.state_dict().items()}
    hook.average.load_state_dict(zeros, assign=True)
    hook.after_iter(runner)
    assert torch.equal(hook.average.conv.weight, runner.networks["generator"].conv.weight * 0.5)


def test_networks_that_stay_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = SimpleNamespace(model=SimpleNamespace(), networks={"generator": Normed()})
    hook = EMAHook(decay=0.5)
    hook.set_up(runner)
    hook.after_iter(runner)
    monkeypatch.setattr(nn.Module, "modules", None)
    runner.networks["generator"].norm.running_mean += 1
    for _ in range(3):
        hook.after_iter(runner)
    assert hook.average.norm.running_mean.tolist() == [0.875, 0.875]


def test_a_run_keeps_the_indices_of_its_average(tiny_config: Path, tmp_path: Path, register: Callable) -> None:
    class Shuffled(nn.Module):
        """Sub-pixel upscaling by an index of its own, which a step turns by one and a `state_dict` holds."""

        def __init__(self) -> None:
            super().__init__()
            self.scale, self.colour, self.in_channels, self.size_multiple, self.receptive_field = 3, "y", 1, 1, 1
            self.body = nn.Conv2d(1, 9, 3, padding=1)
            self.register_buffer("order", torch.arange(9, dtype=torch.int16))

        def forward(self, lq: torch.Tensor) -> torch.Tensor:
            if self.training and torch.is_grad_enabled():
                self.order = self.order.roll(1)
            return nn.functional.pixel_shuffle(self.body(lq)[:, self.order.long()], 3)

        def get_extra_state(self) -> dict[str, str]:
            return {"made": "here"}

        def set_extra_state(self, state: dict[str, str]) -> None:
            assert state == {"made": "here"}

    register(NETWORKS, Shuffled)
    run(tiny_config, tmp_path / "run", "model.generator={'type': 'Shuffled', '_delete_': True}", "max_iters=4")
    saved = load(tmp_path / "run", "iter_000004")["networks"]
    assert torch.equal(saved["generator_ema"]["order"], torch.arange(9, dtype=torch.int16).roll(4))
