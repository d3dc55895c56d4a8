"""The built-in functions a config may call: pure, bounded, each named here. Anything else is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from srtoolbox.config.evaluator.budget import Budget, Refused
from srtoolbox.config.evaluator.containers import iterate, put_all, taken
from srtoolbox.config.evaluator.formatting import text
from srtoolbox.config.evaluator.operators import arithmetic
from srtoolbox.config.values import ConfigDict, Origin

TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple, "dict": dict, "set": set}


def call_function(name: str, args: list[Any], kwargs: dict[str, Any], budget: Budget, origin: Origin) -> Any:  # noqa: ANN401
    """Call the allowed built-in `name`."""
    if name == "dict":
        return _dict(args, kwargs, budget, origin)
    function = FUNCTIONS[name]
    try:
        inspect.signature(function).bind(budget, *args, **kwargs)
    except TypeError as error:
        raise Refused(f"{name}(): {error}") from None
    return budget.made(function(budget, *args, **kwargs))


def _dict(args: list[Any], kwargs: dict[str, Any], budget: Budget, origin: Origin) -> ConfigDict:
    """`dict(mapping_or_pairs, **kwargs)`; `kwargs` that came from ConfigDicts bring their origins along."""
    made = ConfigDict(origin=origin)
    if len(args) > 1:
        raise Refused("dict takes one mapping at most")
    for source in args:
        put_all(made, source, budget, origin)
    put_all(made, kwargs, budget, origin)
    return made


def _range(budget: Budget, *bounds: int) -> range:
    return range(*bounds)


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    def call(budget: Budget, *args: Any, default: Any = ...) -> Any:  # noqa: ANN401
        items = taken(args[0], budget) if len(args) == 1 else list(args)
        budget.measure(items)
        if not items and default is not ...:
            return default
        return pick(items)

    return call


def _round(budget: Budget, number: float, ndigits: int | None = None) -> float:
    if ndigits is not None and abs(ndigits) > 400:
        raise Refused("round takes at most 400 digits")
    return round(number, ndigits)


def _sum(budget: Budget, items: Any, start: Any = 0) -> Any:  # noqa: ANN401
    total = start
    for item in iterate(items, budget):
        total = arithmetic("+", total, item, budget)
    return total


def sorted_list(budget: Budget, items: Any, reverse: bool = False) -> list[Any]:  # noqa: ANN401
    items = taken(items, budget)
    budget.measure(items)
    return sorted(items, reverse=reverse)


def _zip(budget: Budget, *items: Any, strict: bool = False) -> list[tuple]:  # noqa: ANN401
    return list(zip(*(taken(item, budget) for item in items), strict=strict))


def make_set(budget: Budget, items: Any = ()) -> set:  # noqa: ANN401
    return {budget.key(item) for item in iterate(items, budget)}


def _len(budget: Budget, value: Any) -> int:  # noqa: ANN401
    return len(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range": _range,
    "len": _len,
    "min": _extreme(min),
    "max": _extreme(max),
    "round": _round,
    "sum": _sum,
    "sorted": sorted_list,
    "zip": _zip,
    "set": make_set,
    "dict": dict,
    "int": lambda budget, *args, **kwargs: int(*args, **kwargs),
    "float": lambda budget, *args: float(*args),
    "bool": lambda budget, *args: bool(*args),
    "str": lambda budget, value="": text(value, budget),
    "repr": lambda budget, value: text(value, budget, "r"),
    "abs": lambda budget, value: abs(value),
    "list": lambda budget, items=(): taken(items, budget),
    "tuple": lambda budget, items=(): tuple(taken(items, budget)),
    "enumerate": lambda budget, items, start=0: list(enumerate(taken(items, budget), start)),
    "reversed": lambda budget, items: taken(items, budget)[::-1],
    "any": lambda budget, items: any(taken(items, budget)),
    "all": lambda budget, items: all(taken(items, budget)),
    "pow": lambda budget, base, exponent: arithmetic("**", base, exponent, budget),
    "divmod": lambda budget, a, b: divmod(a, b),
}
