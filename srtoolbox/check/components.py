"""Components: every dict with a `type`, at any depth, is compared with the class of that name.

Hooks that a config does not name, and those it names without a `type`, are the default ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from srtoolbox.check.faults import Report, joined
from srtoolbox.check.schema import Part, Place, advice, described, fits, hints_of
from srtoolbox.config.overrides import DEFAULT_HOOKS
from srtoolbox.errors import ConfigError, Fault, RegistryError, SrtoolboxError
from srtoolbox.interfaces import is_preparation, missing_members
from srtoolbox.optim.optional_classes import averages_weights
from srtoolbox.registry import HOOKS, argument_faults, registries
from srtoolbox.text import did_you_mean

PARTS = {
    "model": Part("model"),
    "generator": Part("network"),
    "discriminator": Part("network"),
    "network": Part("network"),
    "losses": Part("loss", many=True),
    "loss": Part("loss"),
    "gan_loss": Part("loss"),
    "dataset": Part("dataset"),
    "datasets": Part("dataset", many=True, listed=True),
    "transforms": Part("transform", many=True, listed=True),
    "degradations": Part("transform", many=True, listed=True),
    "preprocess": Part("transform"),
    "metrics": Part("metric", many=True),
    "hooks": Part("hook", many=True),
    "optimizer": Part("optimizer"),
    "scheduler": Part("scheduler", listed=True),
}
"""Argument name -> the registry of the components it takes, and whether it takes several."""
PARTS_OF = {
    "transform": {"steps": Part("transform", many=True, listed=True), "sharpen": Part("transform")},
    "dataset": {"pipeline": Part("transform")},
}
"""Kind of component -> arguments that take components in such alone.

Elsewhere they may be anything.
"""


class Component(NamedTuple):
    """A dict of the config that describes a component, and the component's class."""

    path: str
    kind: str
    cfg: Mapping[str, Any]
    entry: Callable[..., Any]


def check_part(report: Report, place: Place, namesake: str = "") -> Iterator[Component]:
    """Check a place of components; yield those whose class is registered, outer before inner.

    `namesake` is the hint for an entry without `type`, whose name may be misspelt.
    """
    path, value, part = place
    if part.listed and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from check_part(report, Place(joined(path, index), item, Part(part.kind)))
    elif not part.many:
        if isinstance(value, Mapping):
            yield from _check_component(report, path, value, part.kind, namesake)
        else:
            report.add(path, f"a {part.kind} is written as dict(type='...', ...), got {value!r}")
    elif not isinstance(value, Mapping) or isinstance(value.get("type"), str):
        example = f"{path.rsplit('.', 1)[-1]}=dict(some_name=dict(type='...', ...))"
        report.add(path, f"several can stand here, each with a name: {example}")
    else:
        yield from _check_named_map(report, path, value, part)


def _check_named_map(report: Report, path: str, entries: Mapping[str, Any], part: Part) -> Iterator[Component]:
    typed = {str(key) for key, cfg in entries.items() if isinstance(cfg, Mapping) and "type" in cfg}
    if path == "hooks":
        typed |= set(DEFAULT_HOOKS)
        complete = complete_hooks(report.config)
        entries = {name: complete.get(name, item) for name, item in entries.items()}
    for name, item in entries.items():
        if item is not None:
            place = Place(joined(path, name), item, Part(part.kind))
            yield from check_part(report, place, did_you_mean(name, typed - {name}))
        elif path != "hooks":  # there it takes a default hook out
            fault = "None is no entry; in a file, `del _base_.x.y` takes one out of a base"
            report.add(joined(path, name), fault)


def _check_component(
    report: Report, path: str, cfg: Mapping[str, Any], kind: str, namesake: str = ""
) -> Iterator[Component]:
    registry, form = registries()[kind], f"a {kind} is written as dict(type='...', ...)"
    if "type" not in cfg:
        wrong = next((key for key in cfg if did_you_mean(key, ["type"])), None)
        hint = f".{namesake or ' Known: ' + ', '.join(registry)}"
        hint = hint if wrong is None else f", got {wrong!r}. Did you mean 'type'?"
        report.add(path, f"{form}; `type` is missing{hint}", key=wrong or "type")
        return
    if not isinstance(cfg["type"], str):
        report.add(path, f"{form}; got type={cfg['type']!r}", key="type")
        return
    try:
        entry = registry.get(cfg["type"])
    except RegistryError as error:
        report.add(path, str(error), key="type")
        return
    arguments = [key for key in cfg if key != "type"]
    for fault in argument_faults(entry, cfg["type"], arguments, injected=registry.injected):
        report.add(path, fault.message, key=fault.key)
    for key, hint in hints_of(entry).items():
        if key in arguments and not fits(cfg[key], hint):
            got = f"got {cfg[key]!r}{advice(cfg[key], hint)}"
            report.add(joined(path, key), f"{cfg['type']} takes {described(hint)} for {key!r}, {got}")
    yield Component(path, kind, cfg, entry)
    for key, value in cfg.items():
        own = PARTS_OF.get(kind, {}).get(key)
        if own is not None and (isinstance(value, Mapping) or (own.listed and _has_dicts(value))):
            yield from check_part(report, Place(joined(path, key), value, own))
        else:
            yield from _check_inner(report, joined(path, key), key, value)


def _has_dicts(value: object) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)


def _check_inner(report: Report, path: str, key: str, value: object) -> Iterator[Component]:
    """Check components in an argument: by its name, or any dict whose `type` some registry has."""
    if key in PARTS and isinstance(value, Mapping | list | tuple):
        yield from check_part(report, Place(path, value, PARTS[key]))
    elif isinstance(value, Mapping):
        name = value.get("type")
        names_of = registries().items()
        kind = next((kind for kind, names in names_of if isinstance(name, str) and name in names), None)
        if kind is not None:
            yield from _check_component(report, path, value, kind)
        else:
            for inner, item in value.items():
                yield from _check_inner(report, joined(path, inner), str(inner), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _check_inner(report, joined(path, index), "", item)


def check_component(report: Report, component: Component, context: Mapping[str, Any]) -> None:
    """Report what a component's class finds wrong with its wiring, and what the class lacks."""
    _ask(report, component, context)
    path, kind, cfg, entry = component
    size, scale = cfg.get("gt_size"), cfg.get("scale")
    is_unchecked = kind == "dataset" and not hasattr(entry, "check")
    if is_unchecked and isinstance(size, int) and isinstance(scale, int) and scale > 0 and size % scale:
        report.add(path, f"gt_size {size} is not a multiple of scale {scale}", key="gt_size")
    # losses and datasets read files, models are their networks and losses: their class is looked at
    instance: object = entry if kind in ("loss", "dataset", "model") and inspect.isclass(entry) else None
    if kind in ("hook", "metric", "transform") and report.is_clean(path):
        try:
            instance = entry(**{key: value for key, value in cfg.items() if key != "type"})
        except Exception as error:
            report.add_failure(path, error)
    # a `preprocess` works on batches of the device, not on samples: it only has to be callable
    if instance is None or path.endswith(".preprocess") or is_preparation(entry):
        return
    if fault := missing_members(kind, instance):
        report.add(path, fault, key="type")


def _ask(report: Report, component: Component, context: Mapping[str, Any]) -> None:
    """Report what the class's own `check` finds.

    A fault names its key. A plain sentence, as plugins may return, stands at the component's line.
    """
    check = getattr(component.entry, "check", None)
    if check is None:
        return
    try:
        answers = check(component.cfg, context)
    except ConfigError as error:
        answers = error.faults
    except SrtoolboxError as error:
        answers = [str(error)]
    except Exception:
        if not report.faulty_paths:
            raise
        return  # it stumbled over a fault that is in the report
    for answer in answers:
        fault = answer if isinstance(answer, Fault) else Fault(None, str(answer))
        if fault.key is None or report.is_clean(joined(component.path, fault.key)):
            report.add(component.path, fault.message, key=fault.key)


def complete_hooks(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the hooks of a run by name: the default ones, then those of its config.

    A default hook is added where no hook of its class or of a subclass is named, under whatever
    name, and its own name is free, or has arguments without a `type`: those are its own. None there
    takes the hook out, another hook takes its place.
    """
    own = config.get("hooks", {})
    if own is None:
        return {}
    own = own if isinstance(own, Mapping) else {}
    entries = {name: cfg for name, cfg in own.items() if cfg is not None}
    defaults = {}
    for name, kind in DEFAULT_HOOKS.items():
        arguments = own.get(name, {})
        is_free = isinstance(arguments, Mapping) and "type" not in arguments
        if is_free and not any(HOOKS.is_kind(cfg, kind) for cfg in entries.values()):
            defaults[name] = {"type": kind, **arguments}
            entries.pop(name, None)
    return {**defaults, **_hooks_of_averages(config, entries.values()), **entries}


def _hooks_of_averages(config: Mapping[str, Any], own: Iterable[object]) -> dict[str, Mapping[str, Any]]:
    """Return an EMA hook for each network that its optimizer averages and that has none."""
    averages = [cfg for cfg in own if isinstance(cfg, Mapping) and HOOKS.is_kind(cfg, "EMAHook")]
    have = {cfg.get("network", "generator") for cfg in averages}
    names = [name for name in averaged_by_optimizers(config) if name not in have]
    return {f"{name}_average": {"type": "EMAHook", "decay": 0.0, "network": name} for name in names}


def averaged_by_optimizers(config: Mapping[str, Any]) -> list[str]:
    """Return the names of networks whose optimizers are schedule-free."""
    optim = config.get("optim")
    cfgs = optim.items() if isinstance(optim, Mapping) else ()
    return [name for name, cfg in cfgs if isinstance(cfg, Mapping) and averages_weights(cfg.get("optimizer"))]


def has_hook(config: Mapping[str, Any], kind: str) -> bool:
    """True if a run has a hook of a class or a subclass of it."""
    return any(HOOKS.is_kind(cfg, kind) for cfg in complete_hooks(config).values())


def check_saving(report: Report) -> None:
    """Warn of a training of which nothing would be saved."""
    classes = map(HOOKS.class_of, complete_hooks(report.config).values())
    if not any(getattr(getattr(entry, "phase", None), "name", None) == "SAVE" for entry in classes):
        fault = "nothing of this run will be saved: hooks has no CheckpointHook"
        report.warn("hooks", fault, key="checkpoint")
