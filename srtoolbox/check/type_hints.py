"""Type hints as a schema: a plain value is refused where it obviously does not fit."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

import torch

from srtoolbox.registry import parameters_of

_SCALARS = (bool, int, float, str)
_PLURALS = {int: "whole numbers", float: "numbers", str: "strings"}
_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a string", type(None): "None"}


def hints_of(entry: Callable[..., object]) -> dict[str, Any]:
    """Return argument name -> type hint of a constructor, without those that cannot be resolved."""
    function = entry.__init__ if inspect.isclass(entry) else entry
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        hints = {key: p.annotation for key, p in parameters_of(function).items() if p.annotation is not p.empty}
        return {key: hint for key, hint in hints.items() if not isinstance(hint, str | typing.ForwardRef)}


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - any hint
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
    if hint in _SCALARS:
        return _scalar_fits(value, hint)
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


def _scalar_fits(value: object, hint: type) -> bool:
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float) if hint is float else isinstance(value, hint)


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


def described(hint: Any) -> str:  # noqa: ANN401
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
