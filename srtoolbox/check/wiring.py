"""How the parts of a config fit together: scales, crops, optimizers and networks, schedules and hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from srtoolbox.check.components import Component
from srtoolbox.check.networks import Built
from srtoolbox.check.offers import class_to_ask, missing_offers
from srtoolbox.check.report import Report, joined, named_key, reason
from srtoolbox.registry import OPTIMIZERS, SCHEDULERS, argument_faults, did_you_mean

_BUILT_TO_CHECK = (
    "hook",
    "metric",
    "transform",
)  # light ones; losses and datasets read files, models are their networks and losses


def check_scales(report: Report, components: Sequence[Component], networks: Mapping[str, Built | None]) -> None:
    """Data and generator must have one scale, and so must the top-level `scale` if there is one."""
    generator = next((component for component in components if component.path == "model.generator"), None)
    if generator is None:
        return
    built = networks["model.generator"]
    wanted = built.scale if built else generator.cfg.get("scale")
    if not isinstance(wanted, int | float):
        return
    top = report.config.get("scale")
    if isinstance(top, int | float) and top != wanted:
        report.add("model.generator", f"upscales x{wanted}, but the config's scale is {top}", at="scale")
    for component in components:
        scale = component.cfg.get("scale")
        told = scale == top  # then the network is the odd one out, and that is in the report
        if component.kind == "dataset" and isinstance(scale, int | float) and scale != wanted and not told:
            report.add(component.path, f"scale is {scale}, but model.generator upscales x{wanted}", at="scale")


def check_colours(report: Report, networks: Mapping[str, Built | None]) -> None:
    """The discriminator judges what the generator makes."""
    generator, discriminator = (networks.get(f"model.{name}") for name in ("generator", "discriminator"))
    known = generator and discriminator and generator.colour and discriminator.colour  # else that is in the report
    if known and generator.colour != discriminator.colour:
        report.add(
            "model.discriminator",
            f"it sees {discriminator.colour!r} pictures, but model.generator makes {generator.colour!r}",
            at="colour",
        )


def check_crop(report: Report, component: Component) -> None:
    """`gt_size` is a multiple of `scale`, for a dataset that does not see to it itself."""
    size, scale = component.cfg.get("gt_size"), component.cfg.get("scale")
    if component.kind != "dataset" or hasattr(component.entry, "check"):
        return
    if isinstance(size, int) and isinstance(scale, int) and scale > 0 and size % scale:
        report.add(component.path, f"gt_size {size} is not a multiple of scale {scale}", at="gt_size")


def check_construction(report: Report, component: Component) -> None:
    """Construct a light component, whose constructor may refuse its values; it must offer what its kind is used for."""
    built = class_to_ask(component.kind, component.entry)
    if component.kind in _BUILT_TO_CHECK and report.clean(component.path):
        arguments = {key: value for key, value in component.cfg.items() if key != "type"}
        built = _constructed(report, component.path, lambda: component.entry(**arguments), component.cfg)
    # a `preprocess` works on batches of the device, not on samples: calling it is all that is asked
    fault = built is not None and not component.path.endswith(".preprocess") and missing_offers(component.kind, built)
    if fault:
        report.add(component.path, fault, at="type")


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
        trained = name in ("generator", "discriminator") and network and network.parameters and "max_iters" in config
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
    groups = cfg.get("param_groups") or {}
    optimizer = cfg.get("optimizer")
    if not report.clean(path) or not isinstance(optimizer, Mapping):
        return
    entry = OPTIMIZERS.get(optimizer["type"])
    for prefix, settings in groups.items():
        where = joined(f"{path}.param_groups", prefix)
        if not isinstance(settings, Mapping):
            report.add(where, f"a dict of the optimizer's options is needed, such as dict(lr=1e-5), got {settings!r}")
            continue
        for key, message in argument_faults(entry, optimizer["type"], settings, injected=OPTIMIZERS.injected):
            if key is not None:
                report.add(where, message, at=key)
        if network is not None and not any(_begins(name, prefix) for name in network.parameters):
            known = {name.split(".")[0] for name in network.parameters}
            hint = did_you_mean(prefix, {*known, *network.parameters}) or f" There are {', '.join(sorted(known))}."
            report.add(where, f"no parameter's name begins with {prefix!r}.{hint}")
    if report.clean(path):
        _check_schedule(report, path, cfg)


def _begins(parameter: str, prefix: str) -> bool:
    return parameter == prefix or parameter.startswith(prefix.rstrip(".") + ".")


def _check_schedule(report: Report, path: str, cfg: Mapping[str, Any]) -> None:
    """Build optimizer and schedules over one parameter: torch itself refuses impossible values."""
    optimizer_cfg, schedules = cfg["optimizer"], cfg.get("scheduler") or []
    milestones = cfg.get("milestones") or []
    listed = isinstance(schedules, list | tuple)
    if len(milestones) != (max(len(schedules) - 1, 0) if listed else 0):
        needed = f"{len(schedules)} schedules need {max(len(schedules) - 1, 0)} milestones" if listed else "no list"
        report.add(path, f"milestones say when the next of several schedules begins: {needed}", at="milestones")
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = _constructed(
        report, f"{path}.optimizer", lambda: OPTIMIZERS.build(optimizer_cfg, params=[parameter]), optimizer_cfg
    )
    if optimizer is None:
        return
    optimizer.step()  # a schedule built after it warns of nothing
    for index, schedule in enumerate(schedules if listed else [schedules]):
        where = f"{path}.scheduler.{index}" if listed else f"{path}.scheduler"
        _constructed(report, where, lambda schedule=schedule: SCHEDULERS.build(schedule, optimizer=optimizer), schedule)


def _constructed(report: Report, path: str, build: Callable[[], Any], cfg: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what it builds
    try:
        return build()
    except Exception as error:
        told = reason(error)
        report.add(path, f"cannot be built: {told}", at=named_key(told, cfg))
        return None
