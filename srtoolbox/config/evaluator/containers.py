"""Looping over, and putting into, the containers of a config, with every step paid for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from srtoolbox.config.evaluator.budget import Budget, Refused
from srtoolbox.config.values import ConfigDict, Origin, inherited


def iterate(value: Any, budget: Budget) -> Iterator[Any]:  # noqa: ANN401 - any config value
    """The items of an iterable value, one step each."""
    if not isinstance(value, dict | list | tuple | set | str | range):
        raise Refused(f"cannot loop over a {type(value).__name__}")
    for item in value:
        budget.spend(1)
        yield item


def taken(value: Any, budget: Budget) -> list[Any]:  # noqa: ANN401
    """All items of an iterable value as a list."""
    if isinstance(value, range):
        budget.length(len(value), "list")
    return list(iterate(value, budget))


def put_all(target: ConfigDict, source: Any, budget: Budget, origin: Origin) -> None:  # noqa: ANN401
    """Put the items of a dict, or of an iterable of pairs, into `target`."""
    budget.made(source)
    if isinstance(source, dict):
        for key, value in source.items():
            known = source.origin_of(key) if isinstance(source, ConfigDict) else None
            target.put(key, value, known or origin)
        return
    for key, value in taken(source, budget):
        target.put(budget.key(key), value, origin)


def put(target: ConfigDict, key: Any, value: Any, origin: Origin, budget: Budget) -> None:  # noqa: ANN401
    """`target[key] = value`; what goes into an inherited dict is copied, as MMEngine's dict class does."""
    if target._inherited and not (isinstance(value, ConfigDict) and value._inherited):
        budget.measure(value)
        value = inherited(value)
    target.put(budget.key(key), value, origin)
