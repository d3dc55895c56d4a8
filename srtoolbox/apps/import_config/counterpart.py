"""Counterparts: how a component of another project is written here, as data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from srtoolbox.apps.import_config.options import Options
from srtoolbox.config.values import Value
from srtoolbox.registry import parameters_of, registries

COLOURS = {3: "rgb", 1: "y"}
Name = str | tuple[str, Mapping[Any, Any] | Callable[[Any], Any]]
"""Our name of an argument, alone or with what turns their value into ours: a table or a function."""


class Near(NamedTuple):
    """An argument whose values are not all here.

    Args:
        name: ours.
        values: theirs -> ours.
        lost: what any other value means, which ours is left at its default for.
    """

    name: str
    values: Mapping[Any, Any]
    lost: str


@dataclass(frozen=True)
class Counterpart:
    """A component here and how theirs is put into it.

    Args:
        type: the class here.
        names: their argument -> ours.
        defaults: what theirs has for arguments that a file leaves out, by their names.
        always: arguments of ours that theirs has built in.
        fixed: their argument -> (the value ours computes with, what any other means).
        near: their argument -> an argument of ours that has some of its values.
        unused: their argument -> why none is needed here.
        different: what is different in any case, a sentence.
        standing_in: where ours is another thing and theirs is lost: what follows its name in a sentence.
    """

    type: str
    names: Mapping[str, Name] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    always: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    near: Mapping[str, Near] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    different: str = ""
    standing_in: str = ""

    def but(self, **defaults: Value) -> Counterpart:
        """Return the counterpart of a variant, which has other defaults, by their names."""
        return replace(self, defaults={**self.defaults, **defaults})


def translate(
    options: Options, counterpart: Counterpart, kind: str, target: str, owner: str, *, name: Literal["type"] = "type"
) -> dict[str, Any]:
    """Return our config of a component: `dict(type=..., ...)` with what is not a default here.

    Args:
        options: their mapping, `type` included.
        counterpart: how it is written here.
        kind: the registry's, 'network' or 'loss'.
        target: where ours stands, for the record.
        owner: how their component is called, for the record.
        name: the key of their class's name.

    Raises:
        ConfigError: a value has no counterpart, where another would be another component.
    """
    own = _defaults_of(kind, counterpart.type)
    result: dict[str, Any] = {"type": counterpart.type, **counterpart.always}
    theirs = str(options.take(name, ""))
    for argument in (*counterpart.names, *counterpart.fixed, *counterpart.near, *counterpart.unused):
        options.peek(argument)
    if counterpart.standing_in:
        options.lost(name, f"{theirs} {counterpart.standing_in}", target)
    elif counterpart.different:
        options.different(name, target, counterpart.different)
    else:
        options.mapped(name, f"{target}.type", repr(counterpart.type))
    for argument, default in counterpart.defaults.items():
        if argument not in options:
            _left_out(options, argument, default, counterpart, own, result)
    for argument in options:
        if argument != name:
            _argument(options, argument, counterpart, own, result, target)
    options.close(f"{owner} {theirs}".strip())
    return result


def _left_out(
    options: Options,
    argument: str,
    default: Value,
    counterpart: Counterpart,
    own: Mapping[str, Any],
    result: dict[str, Any],
) -> None:
    """Put what theirs has for an argument that the file leaves out into `result`, if ours has another value."""
    if argument in counterpart.fixed:
        value, meaning = counterpart.fixed[argument]
        if default != value:
            options.lost(argument, f"{default!r} where the file leaves it out: {meaning}")
        return
    ours, value = _ours(options, counterpart.names[argument], argument, default)
    if own.get(ours, inspect.Parameter.empty) != value:
        result[ours] = value


def _argument(
    options: Options,
    argument: str,
    counterpart: Counterpart,
    own: Mapping[str, Any],
    result: dict[str, Any],
    target: str,
) -> None:
    """Put one argument of theirs into `result`, and say what became of it."""
    if argument in counterpart.names:
        given = options.take(argument)
        if given is None:
            return
        ours, value = _ours(options, counterpart.names[argument], argument, given)
        is_default = own.get(ours, inspect.Parameter.empty) == value
        options.mapped(argument, f"{target}.{ours}", f"{value!r}" + (" (the default)" if is_default else ""))
        if is_default:
            result.pop(ours, None)
        else:
            result[ours] = value
    elif argument in counterpart.fixed:
        value, meaning = counterpart.fixed[argument]
        given = options.take(argument)
        if given is None:
            return
        if given == value:
            options.same(argument, "as it is here")
        else:
            options.lost(argument, meaning)
    elif argument in counterpart.near:
        ours, values, meaning = counterpart.near[argument]
        given = options.take(argument)
        if not isinstance(given, str) or given not in values:
            options.lost(argument, f"{given!r} has no counterpart: {meaning}", target)
        elif values[given] != own.get(ours):
            result[ours] = values[given]
            options.mapped(argument, f"{target}.{ours}", f"{values[given]!r}")
        else:
            options.mapped(argument, f"{target}.{ours}", f"{values[given]!r} (the default)")
    elif argument in counterpart.unused:
        options.same(argument, counterpart.unused[argument])


def _ours(options: Options, name: Name, argument: str, value: Value) -> tuple[str, Value]:
    """Return our name and value of an argument of theirs."""
    if isinstance(name, str):
        return name, value
    ours, turn = name
    if callable(turn):
        try:
            return ours, turn(value)
        except (TypeError, ValueError, AttributeError):
            raise options.fault(argument, f"{value!r} is of a kind that has no meaning here") from None
    try:
        return ours, turn[value]
    except (KeyError, TypeError):
        known = ", ".join(map(repr, turn))
        raise options.fault(argument, f"{value!r} has no counterpart here; {known} have") from None


def _defaults_of(kind: str, name: str) -> dict[str, Any]:
    parameters = parameters_of(registries()[kind].get(name))
    return {key: _plain(parameter.default) for key, parameter in parameters.items()}


def _plain(value: Value) -> Value:
    """Return a default as a file would have it: lists for tuples."""
    return list(value) if isinstance(value, tuple) else value
