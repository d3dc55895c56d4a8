"""check(config) of what learns and how: optimizers and schedules of one's own, rates of 0, networks of hooks."""

from __future__ import annotations

import importlib.util
import logging
import re

import pytest
import torch
from torch import nn

from srtoolbox.engine.hooks import Hook
from srtoolbox.engine.hooks.ema import EMAHook
from srtoolbox.interfaces import missing_members
from srtoolbox.registry import HOOKS, NETWORKS, OPTIMIZERS, SCHEDULERS
from tests.check.test_check import GOOD, faults

__all__ = ["faults"]  # a fixture


def test_the_average_of_a_network_may_be_named(faults):
    hooks = "ema=dict(type='EMAHook'), e=dict(type='EvaluateHook', network='generator_ema'), checkpoint=dict("
    assert faults(GOOD.replace("checkpoint=dict(", hooks)) == []


class SlowEMAHook(EMAHook):
    """An average of one's own."""

    def __init__(self, network: str = "generator") -> None:
        super().__init__(decay=0.9999, network=network)


def test_an_average_may_be_kept_by_a_subclass(faults, register):
    register(HOOKS, SlowEMAHook)
    hooks = "ema=dict(type='SlowEMAHook'), e=dict(type='EvaluateHook', network='generator_ema'), checkpoint=dict("
    asking = "losses=dict(ldl=dict(type='LDLLoss'), "
    assert faults(GOOD.replace("checkpoint=dict(", hooks).replace("losses=dict(", asking)) == []


def test_a_hook_must_offer_every_point_at_which_the_runner_calls_it():
    points = [name for name, value in vars(Hook).items() if not name.startswith("_") and callable(value)]
    optional = ["when_written"]
    assert [name for name in points if name not in missing_members("hook", object())] == optional


COSINE = "dict(type='CosineAnnealingLR', T_max=20, eta_min=1e-6)"


@pytest.mark.parametrize(
    ("schedule", "rate", "raised"),
    [
        (COSINE, "0.0", "CosineAnnealingLR"),
        (f"[dict(type='LinearLR'), {COSINE}], milestones=[5]", "0", "CosineAnnealingLR"),
        ("dict(type='OneCycleLR', max_lr=1e-3, total_steps=30)", "0.0", "OneCycleLR"),
        ("dict(type='CosineAnnealingLR', T_max=20)", "0.0", None),
        ("dict(type='MultiStepLR', milestones=[10])", "0.0", None),
        (COSINE, "1e-9", None),
    ],
)
def test_a_rate_of_0_that_a_schedule_raises_is_warned_of(faults, caplog, monkeypatch, schedule, rate, raised):
    monkeypatch.setattr(logging.getLogger("srtoolbox"), "propagate", True)
    text = GOOD.replace("dict(type='MultiStepLR', milestones=[10], gamma=0.5)", schedule)
    assert faults(text.replace("dict(lr=1e-4)", f"dict(lr={rate})")) == []
    said = list(dict.fromkeys(record.getMessage() for record in caplog.records))  # maybe by several handlers
    if raised is None:
        assert said == []
    else:
        (line,) = said
        assert f"config.py:11: optim.generator.param_groups.conv3: lr is 0, and {raised} raises it above." in line
        assert line.endswith("To leave these parameters as they are: frozen=['conv3']")


class OwnOptimizer(torch.optim.SGD):
    """One of somebody's."""

    def __init__(self, params, lr: float = 0.1) -> None:
        super().__init__(params, lr)


class Forgetful(OwnOptimizer):
    """Takes it that all have gradients."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(group["lr"] * parameter.grad)


class NoOptimizer:
    """Has not heard of the base class."""

    def __init__(self, params, lr: float = 0.1) -> None:
        pass


@pytest.mark.parametrize(
    ("cls", "fault"),
    [
        (OwnOptimizer, None),
        (Forgetful, r"9: optim\.generator\.optimizer: its step fails for a parameter without a gradient: .*TypeError"),
        (NoOptimizer, r"9: optim\.generator\.optimizer: NoOptimizer is no torch\.optim\.Optimizer; see docs/add"),
    ],
)
def test_an_optimizer_of_ones_own_is_tried(faults, register, cls, fault):
    register(OPTIMIZERS, cls)
    found = faults(GOOD.replace("'Adam'", repr(cls.__name__)))
    assert found == [] if fault is None else re.match(fault, found[0])


def test_a_schedule_of_ones_own_is_one(faults, register):
    class NoSchedule:
        def __init__(self, optimizer, rate: float = 1.0) -> None:
            pass

    def halving(optimizer, every: int):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda iteration: 0.5 ** (iteration // every))

    register(SCHEDULERS, NoSchedule)
    register(SCHEDULERS, halving)
    old = "dict(type='MultiStepLR', milestones=[10], gamma=0.5)"
    assert faults(GOOD.replace(old, "dict(type='halving', every=5)")) == []
    (fault,) = faults(GOOD.replace(old, "dict(type='NoSchedule')"))
    assert fault.startswith("10: optim.generator.scheduler: NoSchedule is no torch.optim.lr_scheduler.LRScheduler")


def test_a_schedule_whose_step_fails_is_a_fault(faults, register):
    class Failing(torch.optim.lr_scheduler.LRScheduler):
        def __init__(self, optimizer) -> None:
            super().__init__(optimizer)

        def get_lr(self):
            return [1 / (1 - self.last_epoch) for _ in self.base_lrs]

    register(SCHEDULERS, Failing)
    text = GOOD.replace("dict(type='MultiStepLR', milestones=[10], gamma=0.5)", "dict(type='Failing')")
    (fault,) = faults(text.replace("dict(lr=1e-4)", "dict(lr=0)"))
    assert re.match(r"10: optim\.generator\.scheduler: its step fails: .*py:\d+: ZeroDivisionError", fault)


def test_a_network_without_parameters_is_nothing_to_train(faults, register):
    class Nearest(nn.Upsample):
        in_channels, colour, size_multiple, receptive_field, scale = 3, "rgb", 1, 1, 3

        def __init__(self) -> None:
            super().__init__(scale_factor=3)

    register(NETWORKS, Nearest)
    network = "dict(type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4])"
    found = faults(GOOD.replace(network, "dict(type='Nearest')").replace("param_groups={'conv3': dict(lr=1e-4)},", ""))
    assert found == ["8: optim.generator: there is nothing to train: this network has no parameters"]


def test_a_test_builds_no_optimizer(faults):
    """Torch's import its compiler when they are built; names are checked all the same."""
    sets = "data['test'] = dict(datasets=dict(a=dict(type='GTOnlyDataset', gt='x', scale=3)))\n"
    wrong = GOOD.replace("lr=1e-3", "lr=-1.0")
    assert wrong != GOOD and any("optim.generator.optimizer" in fault for fault in faults(wrong))
    assert faults(wrong + sets, mode="test") == []


SCHEDULE = "dict(type='MultiStepLR', milestones=[10], gamma=0.5)"


def with_optimizer(kind, **options):
    return re.sub(
        r"type='Adam', lr=1e-3", f"type={kind!r}, " + ", ".join(f"{k}={v!r}" for k, v in options.items()), GOOD
    )


def test_a_schedule_beside_an_optimizer_that_needs_none_is_a_fault(faults):
    pytest.importorskip("pytorch_optimizer")
    free = with_optimizer("ScheduleFreeAdamW", lr=1e-3)
    [fault] = faults(free)
    assert "ScheduleFreeAdamW averages weights instead of lowering the rate, and its own warmup_steps warm up" in fault
    assert "scheduler=None, milestones=None" in fault and fault.partition(":")[0].isdigit()
    assert faults(free, "optim.generator.scheduler=None") == []
    named = "e=dict(type='EvaluateHook', network='generator_ema'), checkpoint=dict("
    assert faults(free.replace("checkpoint=dict(", named), "optim.generator.scheduler=None") == []


@pytest.mark.parametrize("kind", ["Adan", "Prodigy", "SOAP", "ScheduleFreeSGD"])
def test_without_its_library_an_optimizer_is_a_fault_that_says_what_to_install(faults, monkeypatch, kind):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if "optim" in name else find(name, *rest))
    [fault] = faults(with_optimizer(kind, lr=1.0), "optim.generator.scheduler=None")
    assert "pip install 'srtoolbox[optimizers]'" in fault
    [fault] = faults(with_optimizer(kind, lr=1.0, weigth_decay=0.1), "optim.generator.scheduler=None")
    assert "Did you mean 'weight_decay'?" in fault


def test_what_an_optimizer_refuses_of_a_group_stands_at_its_line(faults):
    pytest.importorskip("pytorch_optimizer")
    [fault] = faults(with_optimizer("Prodigy", lr=1.0))
    assert "11: optim.generator.param_groups.conv3: " in fault and "no group has an lr of its own" in fault
