"""The functions and methods that a config may call: pure, bounded, each listed here."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

from srtoolbox.config.evaluator.budget import (
    WIDTH,
    Budget,
    Refused,
    iterate,
    listed,
    put,
    put_all,
    update,
)
from srtoolbox.config.evaluator.operators import arithmetic, format_call, text
from srtoolbox.config.values import ConfigDict, Origin, Value, plain, wrap
from srtoolbox.text import counted

TYPES = {kind.__name__: kind for kind in (int, float, str, bool, list, tuple, dict, set)}


def call_function(name: str, args: list, kwargs: dict, budget: Budget, origin: Origin) -> Value:
    """Call the allowed built-in `name`."""
    if name == "dict":
        if len(args) > 1:
            raise Refused("dict takes one mapping at most")
        return _dict(args, kwargs, budget, origin)
    function = FUNCTIONS[name]
    try:
        inspect.signature(function).bind(budget, *args, **kwargs)
    except TypeError as error:
        raise Refused(f"{name}(): {error}") from None
    return budget.pay(function(budget, *args, **kwargs))


def _dict(sources: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> ConfigDict:
    """Return what mappings, pairs and keywords give; ConfigDicts bring their origins along."""
    result = ConfigDict.at(origin)
    for source in [*sources, kwargs]:
        put_all(result, source, budget, origin)
    return result


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    def call(budget: Budget, *args: Value, default: Value = ...) -> Value:
        items = listed(args[0], budget) if len(args) == 1 else list(args)
        budget.measure(items)
        if not items and default is not ...:
            return default
        return pick(items)

    return call


def _round(budget: Budget, number: float, ndigits: int | None = None) -> float:
    if ndigits is not None and abs(ndigits) > 400:
        raise Refused("round takes at most 400 digits")
    return round(number, ndigits)


def _sum(budget: Budget, items: Value, start: Value = 0) -> Value:
    total = start
    for item in iterate(items, budget):
        total = arithmetic(operator.add, total, item, budget)
    return total


def _sorted(budget: Budget, items: Value, reverse: bool = False) -> list[Any]:
    items = listed(items, budget)
    budget.measure(items)
    return sorted(items, reverse=reverse)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range": lambda budget, *bounds: range(*bounds),
    "len": lambda budget, value: len(value),
    "min": _extreme(min),
    "max": _extreme(max),
    "round": _round,
    "sum": _sum,
    "sorted": _sorted,
    "zip": lambda budget, *items, strict=False: list(zip(*(listed(item, budget) for item in items), strict=strict)),
    "set": lambda budget, items=(): {budget.key(item) for item in iterate(items, budget)},
    "dict": dict,
    "int": lambda budget, *args, **kwargs: int(*args, **kwargs),
    "float": lambda budget, *args: float(*args),
    "bool": lambda budget, *args: bool(*args),
    "str": lambda budget, value="": text(value, budget),
    "repr": lambda budget, value: text(value, budget, "r"),
    "abs": lambda budget, value: abs(value),
    "list": lambda budget, items=(): listed(items, budget),
    "tuple": lambda budget, items=(): tuple(listed(items, budget)),
    "enumerate": lambda budget, items, start=0: list(enumerate(listed(items, budget), start)),
    "reversed": lambda budget, items: listed(items, budget)[::-1],
    "any": lambda budget, items: any(listed(items, budget)),
    "all": lambda budget, items: all(listed(items, budget)),
    "pow": lambda budget, base, exponent: arithmetic(operator.pow, base, exponent, budget),
    "divmod": lambda budget, a, b: divmod(a, b),
}
# fmt: off
_ALLOWED: dict[type, set[str]] = {
    str: {
        "lower", "upper", "title", "capitalize", "swapcase", "strip", "lstrip", "rstrip", "startswith",
        "endswith", "split", "rsplit", "splitlines", "partition", "rpartition", "count", "find", "rfind",
        "index", "rindex", "removeprefix", "removesuffix", "isdigit", "isalpha", "isalnum", "islower",
        "isupper", "format", "join", "replace", "zfill", "ljust", "rjust", "center",
    },
    list: {
        "append", "extend", "insert", "index", "count", "remove", "reverse", "clear", "copy", "pop", "sort",
    },
    tuple: {"index", "count"},
    set: {
        "update", "union", "intersection", "difference", "symmetric_difference", "issubset",
        "issuperset", "copy", "add", "discard", "remove",
    },
}
# fmt: on


def call_method(value: Value, name: str, args: list, kwargs: dict, budget: Budget, origin: Origin) -> Value:
    """Call `value.<name>(*args, **kwargs)` if that method is allowed for the value's type."""
    if isinstance(value, ConfigDict) and name in _DICT_METHODS:
        if name in ("get", "pop", "setdefault"):
            _need(args, 1, name)
            budget.key(args[0])
        return _DICT_METHODS[name](value, args, kwargs, budget, origin)
    for kind, method in _METHODS.items():
        if isinstance(value, kind):
            if name not in _ALLOWED[kind]:
                raise Refused(f"the {kind.__name__} method {name!r} is not allowed in a config")
            budget.measure(args)
            return budget.pay(method(value, name, args, kwargs, budget))
    kind_name = type(value).__name__.replace("ConfigDict", "dict")
    raise Refused(f"a {kind_name} has no method {name!r} for configs")


def _need(args: list, count: int, name: str) -> None:
    if len(args) < count:
        raise Refused(f"the method {name!r} needs {counted(count, 'argument')}, got {len(args)}")


def _str_method(value: str, name: str, args: list, kwargs: dict, budget: Budget) -> Value:
    budget.length(len(value), "string")
    patterns = [arg for arg in args if isinstance(arg, str)]  # to search for, to strip
    budget.spend(sum(len(value) * len(pattern) // 1000 for pattern in patterns))
    if name == "format":
        return format_call(value, args, kwargs, budget)
    if name == "join":
        _need(args, 1, name)
        items = listed(args[0], budget)
        length = sum(len(item) for item in items if isinstance(item, str))
        budget.length(length + len(value) * len(items), "string")
        return value.join(items)
    if name == "replace":
        _need(args, 2, name)
        budget.length(len(value) + value.count(args[0]) * len(args[1]), "string")
        return value.replace(*args)
    if name in ("zfill", "ljust", "rjust", "center"):
        _need(args, 1, name)
        if isinstance(args[0], int) and args[0] > WIDTH:
            raise Refused(f"a width of {args[0]} is refused (at most {WIDTH})")
        return getattr(value, name)(*args)
    return getattr(value, name)(*args, **kwargs)


def _list_method(value: list | tuple, name: str, args: list, kwargs: dict, budget: Budget) -> Value:
    if name == "extend":
        _need(args, 1, name)
        args = [listed(args[0], budget), *args[1:]]
    elif name == "sort" and isinstance(value, list):
        value[:] = _sorted(budget, value, **kwargs)
        return None
    if name in ("index", "count", "remove"):
        budget.measure(value)
    if name not in ("append", "extend"):
        budget.spend(len(value) // 16)
    return getattr(value, name)(*args, **kwargs)


def _set_method(value: set, name: str, args: list, kwargs: dict, budget: Budget) -> Value:
    if name in ("add", "discard", "remove"):
        return getattr(value, name)(budget.key(*args))
    return getattr(value, name)(*(FUNCTIONS["set"](budget, other) for other in args))


def _update(target: ConfigDict, args: list, kwargs: dict, budget: Budget, origin: Origin) -> None:
    update(target, _dict(args, kwargs, budget, origin), budget, origin)


def _pop(target: ConfigDict, args: list, kwargs: dict, budget: Budget, origin: Origin) -> Value:
    key, *default = args
    if default or target._inherited:
        return dict.pop(target, key, *(default or [kwargs.get("default")]))
    return dict.pop(target, key) if key in target else target[key]


def _setdefault(target: ConfigDict, args: list, kwargs: dict, budget: Budget, origin: Origin) -> Value:
    key, *default = args
    if key not in target:
        put(target, key, default[0] if default else None, origin, budget)
    return target[key]


def _to_dict(target: ConfigDict, args: list, kwargs: dict, budget: Budget, origin: Origin) -> ConfigDict:
    budget.measure(target)
    return wrap(plain(target))


_METHODS: dict[type, Callable[..., Value]]
_METHODS = {str: _str_method, list: _list_method, tuple: _list_method, set: _set_method}
_DICT_METHODS: dict[str, Callable[..., Value]] = {
    "get": lambda target, args, kwargs, budget, origin: dict.get(target, *args, **kwargs),
    "keys": lambda target, args, kwargs, budget, origin: budget.pay(list(target.keys())),
    "values": lambda target, args, kwargs, budget, origin: budget.pay(list(target.values())),
    "items": lambda target, args, kwargs, budget, origin: budget.pay(list(target.items())),
    "copy": lambda target, args, kwargs, budget, origin: budget.pay(target.copy()),
    "clear": lambda target, args, kwargs, budget, origin: target.clear(),
    "update": _update,
    "pop": _pop,
    "setdefault": _setdefault,
    "to_dict": _to_dict,
}
DICT_METHODS = frozenset(_DICT_METHODS)
