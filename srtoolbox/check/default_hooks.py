"""Hooks of a run that its config does not name: the schedule, saving, evaluating, logging."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from srtoolbox.check.faults import Report
from srtoolbox.config.overrides import DEFAULT_HOOKS
from srtoolbox.registry import HOOKS


def complete_hooks(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the hooks of a run by name: the default ones that its config does not name, then its own.

    A default hook is added where no hook of its class or of a subclass is named, under whatever
    name, and its own name is free: None there takes the hook out, another hook takes its place.
    """
    own = config.get("hooks", {})
    if own is None:
        return {}
    own = own if isinstance(own, Mapping) else {}
    entries = {name: cfg for name, cfg in own.items() if cfg is not None}
    classes = [_class_of(cfg) for cfg in entries.values()]
    added = {
        name: {"type": kind}
        for name, kind in DEFAULT_HOOKS.items()
        if name not in own and not any(_is_hook(entry, kind) for entry in classes)
    }
    return {**added, **entries}


def _class_of(cfg: object) -> object:
    kind = cfg.get("type") if isinstance(cfg, Mapping) else None
    return HOOKS.get(kind) if isinstance(kind, str) and kind in HOOKS else None


def _is_hook(entry: object, kind: str) -> bool:
    base: object = HOOKS.get(kind)
    return inspect.isclass(entry) and inspect.isclass(base) and issubclass(entry, base)


def has_hook(config: Mapping[str, Any], kind: str) -> bool:
    """True if a run has a hook of a class or a subclass of it."""
    return any(_is_hook(_class_of(cfg), kind) for cfg in complete_hooks(config).values())


def check_saving(report: Report) -> None:
    """Warn of a training of which nothing would be saved."""
    classes = [_class_of(cfg) for cfg in complete_hooks(report.config).values()]
    if not any(getattr(getattr(entry, "phase", None), "name", None) == "SAVE" for entry in classes):
        fault = "nothing of this run will be saved: hooks has no CheckpointHook"
        report.warn("hooks", fault, key="checkpoint")
