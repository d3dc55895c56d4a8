"""The values of a config: dicts that are read by key or attribute and remember where each key was written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from srtoolbox.registry import did_you_mean


class Origin(NamedTuple):
    """Where a key was written: a file (or "command line") and a line, None where the format tells no lines."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ConfigDict(dict):
    """A dict with attribute access (`cfg.model.generator`) and the origin of each of its keys.

    A missing attribute raises AttributeError and a missing key KeyError, both with the nearest known key. Dicts put
    in, also inside lists, become ConfigDicts. `_inherited` marks what a config file reached through `_base_`: there
    MMEngine's own dict class acts, whose `update` is recursive and whose `pop` needs no default.
    """

    __slots__ = ("_inherited", "_origin", "_origins")

    def __init__(self, values: Mapping[Any, Any] | None = None, origin: Origin | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "_inherited", False)
        object.__setattr__(self, "_origin", origin)
        object.__setattr__(self, "_origins", {})
        for key, value in (values or {}).items():
            self[key] = value
        if isinstance(values, ConfigDict):
            self._origins.update(values._origins)

    def put(self, key: Any, value: Any, origin: Origin | None) -> None:  # noqa: ANN401 - any config value
        """Set a key as it is and note where that was written."""
        super().__setitem__(key, value)
        self._origins[key] = origin

    def origin_of(self, key: Any) -> Origin | None:  # noqa: ANN401 - any key
        """Where `key` was written, or else where this dict was."""
        return self._origins.get(key) or self._origin

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401
        super().__setitem__(key, wrap(value))
        self._origins.pop(key, None)

    def __missing__(self, key: Any) -> Any:  # noqa: ANN401
        raise KeyError(f"no key {key!r}.{did_you_mean(key, map(str, self), else_list=True)}")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__") or name not in self:
            raise AttributeError(f"no key {name!r}.{did_you_mean(name, map(str, self), else_list=True)}")
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def copy(self) -> ConfigDict:
        """A shallow copy that keeps the origins."""
        other = ConfigDict(origin=self._origin)
        object.__setattr__(other, "_inherited", self._inherited)
        dict.update(other, self)
        other._origins.update(self._origins)
        return other

    __copy__ = copy

    def __deepcopy__(self, memo: dict) -> ConfigDict:
        other = self.copy()
        memo[id(self)] = other
        for key, value in self.items():
            dict.__setitem__(other, key, copy.deepcopy(value, memo))
        return other

    def __reduce__(self) -> tuple:
        return _rebuild, (dict(self), self._origin, self._origins)


def _rebuild(values: dict, origin: Origin | None, origins: dict) -> ConfigDict:
    node = ConfigDict(values, origin)
    node._origins.update(origins)
    return node


def wrap(value: Any) -> Any:  # noqa: ANN401
    """`value` with every plain dict in it as a ConfigDict."""
    if isinstance(value, ConfigDict):
        return value
    if isinstance(value, Mapping):
        return ConfigDict(value)
    if isinstance(value, list | tuple):
        return type(value)([wrap(item) for item in value]) if type(value) in (list, tuple) else value
    return value


def plain(value: Any) -> Any:  # noqa: ANN401
    """A deep copy of `value` in plain dicts, lists and tuples."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([plain(item) for item in value]) if type(value) in (list, tuple) else value
    return copy.copy(value) if isinstance(value, set) else value


def inherited(value: Any) -> Any:  # noqa: ANN401
    """A deep copy of a finished config value whose dicts are marked as reached through `_base_`."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        object.__setattr__(node, "_inherited", True)
        for key, item in value.items():
            dict.__setitem__(node, key, inherited(item))
        return node
    if isinstance(value, list | tuple):
        return type(value)([inherited(item) for item in value])
    return value
