"""Optimizers, parameter groups, what is frozen, and schedules: built over one parameter, and tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from srtoolbox.check.faults import Report, joined, reason
from srtoolbox.check.networks import Built
from srtoolbox.check.wiring import constructed
from srtoolbox.interfaces import PAGE
from srtoolbox.optim.parameter_names import chooser, entry_fault
from srtoolbox.registry import OPTIMIZERS, SCHEDULERS, argument_faults, did_you_mean

_STEPS = 3  # of a schedule: within them a floor lifts a rate of 0


def check_optim(report: Report, config: Mapping[str, Any], networks: Mapping[str, Built | None]) -> None:
    """Each network has its optimizer and each optimizer its network; parameter groups and schedules fit."""
    optim = config.get("optim") or {}
    networks = {path.removeprefix("model."): built for path, built in networks.items() if path.startswith("model.")}
    model = config.get("model")
    unknown_model = not networks and not report.clean("model")
    if not isinstance(optim, Mapping) or not isinstance(model, Mapping) or unknown_model:
        return
    for name, cfg in optim.items():
        if name not in networks:
            hint = did_you_mean(name, networks, else_list=True)
            report.add(f"optim.{name}", f"the model has no network {name!r}.{hint}")
        elif isinstance(cfg, Mapping):
            _check_one_optim(report, f"optim.{name}", cfg, networks.get(name))
    for name, network in networks.items():
        trained = name in ("generator", "discriminator") and network and network.trainable and "max_iters" in config
        if trained and optim.get(name) is None:
            report.add("optim", f"optim.{name} is missing, and model.{name} has parameters to train")
    scheduled = [name for name, cfg in optim.items() if isinstance(cfg, Mapping) and cfg.get("scheduler")]
    if scheduled and not _has_hook(config, "SchedulerHook"):
        report.add(
            f"optim.{scheduled[0]}",
            "nothing steps this schedule: hooks needs scheduler=dict(type='SchedulerHook')",
            at="scheduler",
        )


def _has_hook(config: Mapping[str, Any], name: str) -> bool:
    hooks = config.get("hooks")
    named = hooks.values() if isinstance(hooks, Mapping) else ()
    return any(isinstance(hook, Mapping) and hook.get("type") == name for hook in named)


def _check_one_optim(report: Report, path: str, cfg: Mapping[str, Any], network: Built | None) -> None:
    if not report.clean(path) or not isinstance(cfg.get("optimizer"), Mapping):
        return
    _check_groups(report, path, cfg, network)
    if network is not None:
        _check_frozen(report, path, cfg.get("frozen"), network)
    if report.clean(path):
        _check_schedules(report, path, cfg)


def _check_groups(report: Report, path: str, cfg: Mapping[str, Any], network: Built | None) -> None:
    entry = OPTIMIZERS.get(cfg["optimizer"]["type"])
    for prefix, settings in (cfg.get("param_groups") or {}).items():
        where = joined(f"{path}.param_groups", prefix)
        if not isinstance(settings, Mapping):
            report.add(where, f"a dict of the optimizer's options is needed, such as dict(lr=1e-5), got {settings!r}")
            continue
        name = cfg["optimizer"]["type"]
        for key, message in argument_faults(entry, name, settings, injected=OPTIMIZERS.injected):
            if key is not None:
                report.add(where, message, at=key)
        if network is not None and (fault := entry_fault(prefix, network.parameters)):
            report.add(where, fault)


def _check_frozen(report: Report, path: str, frozen: list[str] | str | None, network: Built) -> None:
    entries = [frozen] if isinstance(frozen, str) else frozen or ()
    for entry in entries:
        if fault := entry_fault(entry, network.parameters):
            report.add(path, f"frozen: {fault}", at="frozen")
    choosers = [chooser(entry, network.parameters) for entry in entries]
    if not network.parameters:
        report.add(path, "there is nothing to train: this network has no parameters")
    elif not network.trainable:
        report.add(path, "there is nothing to train: this network's class has frozen all its parameters")
    elif all(any(fits(name) for fits in choosers) for name in network.trainable):
        report.add(path, "frozen: leaves no parameter to train", at="frozen")


def _check_schedules(report: Report, path: str, cfg: Mapping[str, Any]) -> None:
    """Build optimizer and schedules over one parameter: torch itself refuses impossible values."""
    optimizer_cfg, schedules = cfg["optimizer"], cfg.get("scheduler") or []
    milestones = cfg.get("milestones") or []
    listed = isinstance(schedules, list | tuple)
    if len(milestones) != (max(len(schedules) - 1, 0) if listed else 0):
        needed = f"{len(schedules)} schedules need {max(len(schedules) - 1, 0)} milestones" if listed else "no list"
        report.add(path, f"milestones say when the next of several schedules begins: {needed}", at="milestones")
    if _tried_optimizer(report, f"{path}.optimizer", optimizer_cfg) is None:
        return
    rates = {"": optimizer_cfg.get("lr"), **{k: v.get("lr") for k, v in (cfg.get("param_groups") or {}).items()}}
    still = [group for group, rate in rates.items() if rate == 0 and not isinstance(rate, bool)]
    for index, schedule in enumerate(schedules if listed else [schedules]):
        where = f"{path}.scheduler.{index}" if listed else f"{path}.scheduler"
        optimizer = _tried_optimizer(report, f"{path}.optimizer", optimizer_cfg)
        built = constructed(report, where, lambda s=schedule, o=optimizer: SCHEDULERS.build(s, optimizer=o), schedule)
        if built is not None and not isinstance(built, LRScheduler):
            message = f"{type(built).__name__} is no torch.optim.lr_scheduler.LRScheduler; see {PAGE}"
            report.add(where, message, at="type")
        elif built is not None and still:
            _check_floor(report, path, where, cfg, schedule, still)


def _tried_optimizer(report: Report, path: str, cfg: Mapping[str, Any]) -> torch.optim.Optimizer | None:
    """An optimizer over one parameter that has made a step (a schedule built after it warns of nothing)."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = constructed(report, path, lambda: OPTIMIZERS.build(cfg, params=[parameter]), cfg)
    if optimizer is None:
        return None
    if not isinstance(optimizer, torch.optim.Optimizer):
        report.add(path, f"{type(optimizer).__name__} is no torch.optim.Optimizer; see {PAGE}", at="type")
        return None
    try:
        optimizer.step()
    except Exception as error:  # whatever the step of somebody's optimizer meets
        report.add(path, f"its step fails for a parameter without a gradient: {reason(error)}")
        return None
    return optimizer


def _check_floor(
    report: Report, path: str, where: str, cfg: Mapping[str, Any], schedule: Mapping[str, Any], still: list[str]
) -> None:
    """Warn where a schedule raises a rate that is 0, which somebody may have taken for a way to freeze."""
    group = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.0}
    optimizer = OPTIMIZERS.build(cfg["optimizer"], params=[group])
    scheduler = SCHEDULERS.build(schedule, optimizer=optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    try:
        for _ in range(_STEPS):
            optimizer.step()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
    except Exception as error:  # whatever the step of somebody's schedule meets
        report.add(where, f"its step fails: {reason(error)}")
        return
    if any(rates):
        for name in still:
            entry = f"param_groups.{name}" if name else "optimizer"
            meant = f" To leave these parameters as they are: frozen=[{name!r}]" if name else ""
            report.warn(f"{path}.{entry}", f"lr is 0, and {schedule['type']} raises it above.{meant}", at="lr")
