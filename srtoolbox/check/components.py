"""Components: every dict with a `type` is compared with the class of that name, and so are the components inside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from srtoolbox.check.faults import Report, joined
from srtoolbox.check.schema import Found, Part
from srtoolbox.check.type_hints import advice, described, fits, hints_of
from srtoolbox.errors import RegistryError, SrtoolboxError
from srtoolbox.registry import Registry, argument_faults, did_you_mean, registries

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
    "preprocess": Part("transform"),
    "metrics": Part("metric", many=True),
    "hooks": Part("hook", many=True),
    "optimizer": Part("optimizer"),
    "scheduler": Part("scheduler", listed=True),
}
"""Which registry a component's argument belongs to, by the argument's name, and whether it holds several."""


class Component(NamedTuple):
    """A component found in the config, and its class."""

    path: str
    kind: str
    cfg: Mapping[str, Any]
    entry: Callable[..., Any]


def check_part(report: Report, found: Found, namesake: str = "") -> Iterator[Component]:
    """Check a place where components are wanted; yields those whose class is known, outer before inner.

    `namesake` is told where `type` is missing: a misspelt entry of a named map, which has inherited nothing.
    """
    path, value, part = found
    one_expected = f"a {part.kind} is written as dict(type='...', ...)"
    if part.listed and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from check_part(report, Found(joined(path, index), item, Part(part.kind)))
    elif not part.many:
        if isinstance(value, Mapping):
            yield from _check_component(report, path, value, part.kind, namesake)
        else:
            report.add(path, f"{one_expected}, got {value!r}")
    elif not isinstance(value, Mapping) or isinstance(value.get("type"), str):
        name = path.rsplit(".", 1)[-1]
        report.add(path, f"several can stand here, each with a name: {name}=dict(some_name=dict(type='...', ...))")
    else:
        typed = [str(name) for name, item in value.items() if isinstance(item, Mapping) and "type" in item]
        for name, item in value.items():
            if item is None:
                report.add(joined(path, name), "None is no entry; in a file, `del _base_.x.y` takes one out of a base")
            else:
                yield from check_part(
                    report, Found(joined(path, name), item, Part(part.kind)), did_you_mean(name, typed)
                )


def _check_component(
    report: Report, path: str, cfg: Mapping[str, Any], kind: str, namesake: str = ""
) -> Iterator[Component]:
    registry = registries()[kind]
    if not isinstance(cfg.get("type"), str):
        missing = f"`type` is missing.{namesake or ' Known: ' + ', '.join(registry)}"
        given = f"got type={cfg['type']!r}" if "type" in cfg else missing
        report.add(path, f"a {kind} is written as dict(type='...', ...); {given}", at="type")
        return
    try:
        entry = registry.get(cfg["type"])
    except RegistryError as error:
        report.add(path, str(error), at="type")
        return
    component = Component(path, kind, cfg, entry)
    _check_arguments(report, component, registry)
    yield component
    for key, value in cfg.items():
        yield from _check_inner(report, joined(path, key), key, value)


def _check_arguments(report: Report, component: Component, registry: Registry) -> None:
    path, _, cfg, entry = component
    arguments = [key for key in cfg if key != "type"]
    for key, message in argument_faults(entry, cfg["type"], arguments, injected=registry.injected):
        report.add(path, message, at=key)
    for key, hint in hints_of(entry).items():
        if key in arguments and not fits(cfg[key], hint):
            told = f"{described(hint)} for {key!r}, got {cfg[key]!r}{advice(cfg[key], hint)}"
            report.add(joined(path, key), f"{cfg['type']} takes {told}")


def _check_inner(report: Report, path: str, key: str, value: Any) -> Iterator[Component]:  # noqa: ANN401
    """Components in an argument: by its name, or any dict whose `type` some registry knows."""
    if key in PARTS and isinstance(value, Mapping | list | tuple):
        yield from check_part(report, Found(path, value, PARTS[key]))
    elif isinstance(value, Mapping):
        kind = kind_of(value.get("type"))
        if kind is not None:
            yield from _check_component(report, path, value, kind)
        else:
            for inner, item in value.items():
                yield from _check_inner(report, joined(path, inner), str(inner), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _check_inner(report, joined(path, index), "", item)


def kind_of(name: Any) -> str | None:  # noqa: ANN401
    """The kind of component that is called `name`, if any is."""
    if not isinstance(name, str):
        return None
    return next((kind for kind, registry in registries().items() if name in registry), None)


def check_wiring_of(report: Report, component: Component, context: Mapping[str, Any]) -> None:
    """Ask the component's class, where it has a `check`, about its wiring; a message led by a key is placed there."""
    own_check = getattr(component.entry, "check", None)
    if own_check is None:
        return
    try:
        messages = own_check(component.cfg, context)
    except SrtoolboxError as error:
        messages = [str(error)]
    except Exception:
        if not report.faulty:
            raise
        return  # it stumbled over a fault that is in the report
    for message in messages:
        word = re.match(r"\w[\w.]*\w|\w", message)
        key = word.group(0) if word and word.group(0).split(".")[0] in component.cfg else None
        if key is None or report.clean(joined(component.path, key)):
            report.add(component.path, message, at=key)
