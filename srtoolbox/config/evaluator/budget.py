"""The budget of a config: work, memory and depth, so that a hostile file is refused at once.

Every step of the evaluator is paid for here, also those over and into containers; a real config of
a thousand lines costs a few per cent of the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from srtoolbox.config.values import ConfigDict, Origin, Value, inherited

STEPS = 200_000  # evaluated nodes, loop turns, items of made containers, 16ths of characters
LENGTH = 100_000  # characters of a string, items of a container
BITS = 4096  # size of an integer
DEPTH = 100  # nesting of expressions and of values
FILES = 100  # files read for one config
FILE_BYTES = 128 * 1024  # size of one file
YAML_BYTES = 64 * 1024  # PyYAML reads about 100 KB/s
WIDTH = 1000  # width or precision in a format
KEY_BITS = 60  # larger integers can be chosen to collide in a hash table


class Refused(Exception):  # noqa: N818 - a ConfigError is made of it
    """A thing that a config may not do; the message has no place yet."""


class Budget:
    """The budget of one config with all its bases."""

    def __init__(self) -> None:
        self.left = STEPS
        self.files = 0

    def spend(self, steps: int) -> None:
        """Pay for `steps` units of work."""
        self.left -= steps
        if self.left < 0:
            raise Refused(f"the config does too much work (more than {STEPS:,} steps): write the values out")

    def open_file(self) -> None:
        """Pay for one more file."""
        self.files += 1
        if self.files > FILES:
            raise Refused(f"more than {FILES} files are read for one config")

    def length(self, count: int, what: str) -> None:
        """Pay for a string or container of `count` characters or items, before it is made."""
        if count > LENGTH:
            raise Refused(f"a {what} of length {count:,} is refused (at most {LENGTH:,})")
        self.spend(max(0, count) // 16 if what == "string" else max(0, count))

    def pay(self, value: Value) -> Value:
        """Pay for the result of an operation; return it."""
        if isinstance(value, bool | float) or value is None:
            return value
        if isinstance(value, int):
            if value.bit_length() > BITS:
                raise Refused(f"an integer of {value.bit_length():,} bits is refused (at most {BITS})")
        elif isinstance(value, str):
            self.length(len(value), "string")
        elif isinstance(value, list | tuple | dict | set):
            self.length(len(value), type(value).__name__.lower().replace("config", ""))
        elif isinstance(value, complex | bytes):
            raise Refused(f"a value of type {type(value).__name__} is refused")
        return value

    def key(self, value: Value) -> Value:
        """Check a value that is to be hashed; return it."""
        if isinstance(value, int) and value.bit_length() > KEY_BITS:
            raise Refused(f"an integer of more than {KEY_BITS} bits is refused as a key")
        if isinstance(value, tuple):
            self.measure(value)
            for item in value:
                self.key(item)
        return value

    def measure(self, value: object) -> None:
        """Pay for a walk over everything in `value`, shared parts as often as they occur."""
        if isinstance(value, int | float) or value is None:
            return
        stack: list[tuple[object, int]] = [(value, 0)]
        while stack:
            item, depth = stack.pop()
            if isinstance(item, str):
                self.spend(len(item) // 16)
            elif isinstance(item, dict | list | tuple | set | frozenset):
                if depth >= DEPTH:
                    raise Refused(f"a value is nested deeper than {DEPTH} levels, or contains itself")
                self.spend(1 + len(item))
                children = item.values() if isinstance(item, dict) else item
                stack.extend((child, depth + 1) for child in children)


def iterate(value: object, budget: Budget) -> Iterator[Any]:
    """Yield the items of an iterable value, one step each."""
    if not isinstance(value, dict | list | tuple | set | str | range):
        raise Refused(f"cannot loop over a {type(value).__name__}")
    for item in value:
        budget.spend(1)
        yield item


def listed(value: object, budget: Budget) -> list[Any]:
    """Return all items of an iterable value."""
    if isinstance(value, range):
        budget.length(len(value), "list")
    return list(iterate(value, budget))


def put_all(target: ConfigDict, source: object, budget: Budget, origin: Origin) -> None:
    """Put the items of a dict, or of an iterable of pairs, into `target`."""
    budget.pay(source)
    if isinstance(source, dict):
        for key, value in source.items():
            own = source.origin_of(key) if isinstance(source, ConfigDict) else None
            target.put(key, value, own or origin)
        return
    for key, value in listed(source, budget):
        target.put(budget.key(key), value, origin)


def put(target: ConfigDict, key: object, value: Value, origin: Origin | None, budget: Budget) -> None:
    """Set `target[key]`; what goes into an inherited dict is copied, as by MMEngine's class."""
    if target._inherited and not (isinstance(value, ConfigDict) and value._inherited):
        budget.measure(value)
        value = inherited(value)
    target.put(budget.key(key), value, origin)


def update(target: ConfigDict, source: ConfigDict, budget: Budget, origin: Origin | None = None) -> None:
    """Put the items of `source` into `target`; in an inherited one, dicts merge, as in MMEngine."""
    for key, value in source.items():
        old = target.get(key)
        if target._inherited and isinstance(old, ConfigDict) and isinstance(value, ConfigDict):
            budget.spend(1)
            update(old, value, budget, origin)
        else:
            put(target, key, value, source.origin_of(key) or origin, budget)
