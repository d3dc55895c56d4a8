"""The keys of a config that belong to no component: the top level, `data`, `optim`, `runtime`."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, Union

import torch

from srtoolbox.check.faults import Report, joined
from srtoolbox.registry import parameters_of
from srtoolbox.text import did_you_mean

_PLURALS = {int: "whole numbers", float: "numbers", str: "strings"}
_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a string", type(None): "None"}


class Value(NamedTuple):
    """A plain value.

    Args:
        hint: its type.
        least: the smallest number allowed.
        above: the number it must exceed.
        among: the only values allowed.
        form: what a string must match, as a pattern and in words.
    """

    hint: Any
    least: float | None = None
    above: float | None = None
    among: tuple = ()
    form: tuple[str, str] | None = None


class Part(NamedTuple):
    """A component of a kind, or (many) a named map or list of them."""

    kind: str
    many: bool = False
    listed: bool = False


class Section(NamedTuple):
    """A dict with these keys, of which a training needs the `required` ones.

    `others` is the value of every other key; None: there are no others.
    """

    keys: Mapping[str, Entry]
    required: tuple[str, ...] = ()
    others: Entry | None = None


Entry: TypeAlias = "Value | Part | Section"

_SETS = {"datasets": Part("dataset", many=True), "metrics": Part("metric", many=True)}
_OPTIM = Section(
    {
        "optimizer": Part("optimizer"),
        "scheduler": Part("scheduler", listed=True),
        "milestones": Value(list[int] | None),
        "clip": Value(float | None, above=0),
        "param_groups": Value(dict | None),
        "frozen": Value(list[str] | str | None),
    },
    required=("optimizer",),
)
_RUNTIME = Section(
    {
        "device": Value(str | None, form=(r"cpu|cuda(:\d+)?|auto|mps", "'cpu', 'cuda', 'cuda:N', 'mps' or 'auto'")),
        "amp": Value(str | None, among=("auto", "bf16", "fp16", None)),
        "channels_last": Value(bool | str, among=("auto", True, False)),
        "graph": Value(bool | str, among=("auto", True, False)),
        "compile": Value(bool | str, among=("auto", "blocks", True, False)),
        "resolved": Value(dict),  # by a run: what 'auto' became there
        "threads": Value(int | None, least=1),
        "deterministic": Value(bool),
        "dist_timeout": Value(float, above=0),
        "max_skipped": Value(int, least=1),
        "rollbacks": Value(int, least=0),
    }
)
TRAIN = Section(
    {
        "dataset": Part("dataset"),
        "batch_size": Value(int, least=1),
        "workers": Value(int, least=0),
        "on_device": Value(bool | str, among=("auto", True, False)),
        "pool": Value(int | None, least=1),
    },
    required=("dataset", "batch_size"),
)
TOP = Section(
    {
        "scale": Value(float, above=0),
        "model": Part("model"),
        "optim": Section({}, others=_OPTIM),
        "data": Section(
            {"train": TRAIN, "val": Section({**_SETS, "interval": Value(int, least=1)}), "test": Section(_SETS)},
            required=("train",),
        ),
        "max_iters": Value(int, least=1),
        "accumulate": Value(int, least=1),
        "hooks": Part("hook", many=True),
        "runtime": _RUNTIME,
        "seed": Value(int, least=0),
        "work_dir": Value(str | None),
        "load_from": Value(str | dict | None),
        "custom_imports": Value(list[str] | str | None),
    },
    required=("model", "optim", "data", "max_iters"),
)


class Place(NamedTuple):
    """A place where the schema has a component."""

    path: str
    value: Any
    part: Part


def check_section(report: Report, section: Section, values: object, path: str) -> list[Place]:
    """Check the keys and plain values of a section; return the places of components in it."""
    if not isinstance(values, Mapping):
        report.add(path, f"a dict is needed here, got {values!r}")
        return []
    places: list[Place] = []
    for key, value in values.items():
        entry, entry_path = section.keys.get(key, section.others), joined(path, key)
        if isinstance(entry, Value):
            _check_value(report, entry, value, entry_path)
        elif isinstance(entry, Section):
            if value is not None or entry.others:
                places += check_section(report, entry, value, entry_path)
        elif isinstance(entry, Part):
            places += [Place(entry_path, value, entry)] if value is not None else []
        elif path:
            hint = did_you_mean(key, section.keys) or f" It takes {', '.join(section.keys)}."
            report.add(entry_path, f"{path} takes no {key!r}.{hint}")
    for key in section.required if report.is_training else ():
        if values.get(key) is None:
            report.add(path, f"{joined(path, key)} is missing, and training needs it")
    return places


def _check_value(report: Report, entry: Value, value: Any, path: str) -> None:  # noqa: ANN401 - any config value
    if entry.among and value not in entry.among:
        allowed = ", ".join(map(repr, entry.among))
        hint = did_you_mean(value, [name for name in entry.among if isinstance(name, str)])
        report.add(path, f"one of {allowed} is needed, got {value!r}.{hint}")
    elif not fits(value, entry.hint):
        hint = advice(value, entry.hint)
        report.add(path, f"{described(entry.hint)} is needed, got {value!r}{hint}")
    elif value is None:
        return
    elif entry.form and not re.fullmatch(entry.form[0], value):
        report.add(path, f"{entry.form[1]} is needed, got {value!r}")
    elif entry.least is not None and value < entry.least:
        report.add(path, f"at least {entry.least} is needed, got {value!r}")
    elif entry.above is not None and value <= entry.above:
        report.add(path, f"more than {entry.above} is needed, got {value!r}")


def hints_of(entry: Callable[..., object]) -> dict[str, Any]:
    """Return argument name -> type hint of a constructor, without those that cannot be resolved."""
    function = entry.__init__ if inspect.isclass(entry) else entry
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        hints = {key: p.annotation for key, p in parameters_of(function).items() if p.annotation is not p.empty}
        return {key: hint for key, hint in hints.items() if not isinstance(hint, str | typing.ForwardRef)}


def fits(value: object, hint: object) -> bool:
    """True if `value` may be given for `hint`, and where that cannot be decided.

    A whole number is a number; True is not a number; a list is as good as a tuple.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in arguments)
    if origin is Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint in (bool, int, float, str):
        kinds = (int, float) if hint is float else hint
        return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    if hint is torch.Tensor:
        return False  # no config holds one
    kind = origin or hint
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, str | bytes):
        return isinstance(value, kind)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if issubclass(kind, Sequence):
        return isinstance(value, list | tuple) and _items_fit(value, arguments)
    return True


def _items_fit(values: Sequence[object], arguments: tuple[Any, ...]) -> bool:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = arguments[:1]
    elif len(arguments) > 1:  # tuple[int, int]
        return len(values) == len(arguments) and all(map(fits, values, arguments))
    return not arguments or all(fits(value, arguments[0]) for value in values)


def advice(value: object, hint: object) -> str:
    """Return '; write 400_000' and the like, where it is plain which value is meant."""
    if isinstance(value, float) and value.is_integer() and fits(int(value), hint):
        return f"; write {int(value):_}"
    if isinstance(value, str):
        for number, form in ((int, "{}"), (float, "{} (in YAML with a point: 1.0e-4)")):
            try:
                is_fitting = fits(number(value), hint)
            except ValueError:
                continue
            if is_fitting:
                return "; write " + form.format(value.strip())
    return ""


def described(hint: object) -> str:
    """Return a hint in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        parts = [described(part) for part in arguments if part is not torch.Tensor]
        return " or ".join(dict.fromkeys(parts))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if hint in _NAMES:
        return _NAMES[hint]
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a dict"
    if inspect.isclass(kind) and issubclass(kind, Sequence):
        items = [part for part in arguments if part is not Ellipsis]
        if len(items) == 1 and items[0] in _PLURALS:
            return f"a list of {_PLURALS[items[0]]}"
        return "a list" + (f" ({', '.join(map(described, items))})" if items else "")
    return getattr(hint, "__name__", str(hint))
