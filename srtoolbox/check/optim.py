"""Optimizers, groups, frozen parameters and schedules: built over one parameter, and tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from srtoolbox.check.components import has_hook
from srtoolbox.check.faults import Report, joined, reason_of_failure
from srtoolbox.check.networks import BuiltNetwork, Networks
from srtoolbox.interfaces import PAGE
from srtoolbox.optim.optional_classes import averages_weights
from srtoolbox.optim.parameters import chooser, entry_fault
from srtoolbox.registry import OPTIMIZERS, SCHEDULERS, argument_faults
from srtoolbox.text import did_you_mean


def check_optim(report: Report, config: Mapping[str, Any], networks: Networks) -> None:
    """Check that networks and optimizers belong together, and that groups and schedules fit."""
    optim, model = config.get("optim") or {}, config.get("model")
    paths = [path for path in networks if path.startswith("model.")]
    own = {path.removeprefix("model."): networks[path] for path in paths}
    is_unknown_model = not own and not report.is_clean("model")
    if not isinstance(optim, Mapping) or not isinstance(model, Mapping) or is_unknown_model:
        return
    for name, cfg in optim.items():
        path, optimizer = f"optim.{name}", cfg.get("optimizer") if isinstance(cfg, Mapping) else None
        if name not in own:
            hint = did_you_mean(name, own, else_list=True)
            report.add(path, f"the model has no network {name!r}.{hint}")
        elif isinstance(optimizer, Mapping) and report.is_clean(path):
            _check_groups(report, path, cfg, own[name])
            _check_frozen(report, path, cfg.get("frozen") or (), own[name])
            _check_schedules(report, path, cfg)
    for name in ("generator", "discriminator") if "max_iters" in config else ():
        facts = own.get(name)
        if facts and facts.trainable and optim.get(name) is None:
            report.add("optim", f"optim.{name} is missing, and model.{name} has parameters to train")
    scheduled = [name for name, cfg in optim.items() if isinstance(cfg, Mapping) and cfg.get("scheduler")]
    if scheduled and not has_hook(config, "SchedulerHook"):
        message = "nothing steps this schedule: hooks needs scheduler=dict(type='SchedulerHook')"
        report.add(f"optim.{scheduled[0]}", message, key="scheduler")


def _check_groups(report: Report, path: str, cfg: Mapping[str, Any], network: BuiltNetwork | None) -> None:
    name = cfg["optimizer"]["type"]
    entry = OPTIMIZERS.get(name)
    for prefix, settings in (cfg.get("param_groups") or {}).items():
        group = joined(f"{path}.param_groups", prefix)
        if not isinstance(settings, Mapping):
            message = "a dict of the optimizer's options is needed, such as dict(lr=1e-5), got"
            report.add(group, f"{message} {settings!r}")
            continue
        for fault in argument_faults(entry, name, settings, injected=OPTIMIZERS.injected):
            if fault.key is not None:
                report.add(group, fault.message, key=fault.key)
        if network is not None and (unknown := entry_fault(prefix, network.parameters)):
            report.add(group, unknown)


def _check_frozen(report: Report, path: str, frozen: str | Sequence[str], network: BuiltNetwork | None) -> None:
    if network is None:
        return
    entries = [frozen] if isinstance(frozen, str) else frozen
    for entry in entries:
        if fault := entry_fault(entry, network.parameters):
            report.add(path, f"frozen: {fault}", key="frozen")
    choosers = [chooser(entry, network.parameters) for entry in entries]
    if not network.parameters:
        report.add(path, "there is nothing to train: this network has no parameters")
    elif not network.trainable:
        fault = "this network's class has frozen all its parameters"
        report.add(path, f"there is nothing to train: {fault}")
    elif all(any(fits(name) for fits in choosers) for name in network.trainable):
        report.add(path, "frozen: leaves no parameter to train", key="frozen")


def _check_schedules(report: Report, path: str, cfg: Mapping[str, Any]) -> None:
    """Build optimizer and schedules over one parameter: torch itself refuses impossible values.

    A test builds none, and does without: torch's optimizers import its compiler, a second of it.
    """
    if not report.is_training or not report.is_clean(path):
        return
    optimizer_cfg, schedules = cfg["optimizer"], cfg.get("scheduler") or []
    if schedules and averages_weights(optimizer_cfg):
        advice = "its own warmup_steps warm up. Take the schedule out: scheduler=None, milestones=None"
        message = f"{optimizer_cfg['type']} averages weights instead of lowering the rate, and {advice}"
        report.add(path, message, key="scheduler")
        return
    is_list = isinstance(schedules, list | tuple)
    count = max(len(schedules) - 1, 0) if is_list else 0
    if len(cfg.get("milestones") or []) != count:
        needed = f"{len(schedules)} schedules need {count} milestones" if is_list else "no list"
        message = f"milestones say when the next of several schedules begins: {needed}"
        report.add(path, message, key="milestones")
    own = cfg.get("param_groups") or {}
    if _tried_optimizer(report, f"{path}.optimizer", optimizer_cfg) is None:
        return
    for name, settings in own.items():
        _tried_optimizer(report, joined(f"{path}.param_groups", name), optimizer_cfg, settings)
    groups = {"": optimizer_cfg, **own}
    rates = {name: group.get("lr") for name, group in groups.items()}
    still = [name for name, rate in rates.items() if rate == 0 and not isinstance(rate, bool)]
    for index, schedule in enumerate(schedules if is_list else [schedules]):
        place = f"{path}.scheduler.{index}" if is_list else f"{path}.scheduler"
        optimizer = _tried_optimizer(report, f"{path}.optimizer", optimizer_cfg)
        try:
            scheduler: object = SCHEDULERS.build(schedule, optimizer=optimizer)
        except Exception as error:
            report.add_failure(place, error)
            continue
        if not isinstance(scheduler, LRScheduler):
            name = type(scheduler).__name__
            message = f"{name} is no torch.optim.lr_scheduler.LRScheduler; see {PAGE}"
            report.add(place, message, key="type")
        elif still:
            _check_floor(report, path, place, cfg["optimizer"], schedule, still)


def _tried_optimizer(
    report: Report, path: str, cfg: Mapping[str, Any], group: Mapping[str, Any] | None = None
) -> torch.optim.Optimizer | None:
    """Return an optimizer over one parameter, after a step, so that schedules warn of nothing.

    With the settings of a `group` over two, of which they hold for the second.
    """
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(1 if group is None else 2)]
    first, *others = ({"params": [parameter]} for parameter in parameters)
    try:
        given = parameters if group is None else [first, *({**other, **group} for other in others)]
        optimizer: object = OPTIMIZERS.build(cfg, params=given)
    except Exception as error:
        report.add_failure(path, error)
        return None
    if not isinstance(optimizer, torch.optim.Optimizer):
        message = f"{type(optimizer).__name__} is no torch.optim.Optimizer; see {PAGE}"
        report.add(path, message, key="type")
        return None
    try:
        optimizer.step()
    except Exception as error:  # whatever the step of somebody's optimizer meets
        reason = reason_of_failure(error)
        report.add(path, f"its step fails for a parameter without a gradient: {reason}")
        return None
    return optimizer


def _check_floor(
    report: Report, path: str, place: str, cfg: Mapping[str, Any], schedule: Mapping[str, Any], still: list[str]
) -> None:
    """Warn where a schedule raises a rate of 0, with which somebody may have meant to freeze."""
    optimizer = OPTIMIZERS.build(cfg, params=[{"params": [nn.Parameter(torch.zeros(1))], "lr": 0.0}])
    scheduler = SCHEDULERS.build(schedule, optimizer=optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    try:
        for _ in range(3):  # within these a floor lifts a rate of 0
            optimizer.step()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
    except Exception as error:  # whatever the step of somebody's schedule meets
        report.add(place, f"its step fails: {reason_of_failure(error)}")
        return
    for name in still if any(rates) else ():
        entry = f"{path}.param_groups.{name}" if name else f"{path}.optimizer"
        advice = f" To leave these parameters as they are: frozen=[{name!r}]" if name else ""
        report.warn(entry, f"lr is 0, and {schedule['type']} raises it above.{advice}", key="lr")
