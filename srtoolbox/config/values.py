"""The values of a config: dicts that are read by key or attribute and remember where each key was written.

Merging goes dict by dict, anything else replaces; `_delete_=True` replaces a dict and never stays in the result.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from srtoolbox.errors import ConfigError
from srtoolbox.text import did_you_mean

DELETE = "_delete_"
Value: TypeAlias = Any
"""Whatever a config may hold: numbers, strings, None, lists, tuples, sets and ConfigDicts of these."""


class Origin(NamedTuple):
    """The place of a key: a file (or "command line") and a line, None where the format has none."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ConfigDict(dict):
    """A dict with attribute access (`cfg.model.generator`) and the origin of each of its keys.

    A missing attribute raises AttributeError and a missing key KeyError, both with the nearest key.
    Dicts put in, also inside lists, become ConfigDicts. `_inherited` marks what a config file
    reached through `_base_`: there MMEngine's own dict class acts, whose `update` is recursive and
    whose `pop` needs no default.
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

    def put(self, key: object, value: object, origin: Origin | None) -> None:
        """Set a key as it is and note its origin."""
        super().__setitem__(key, value)
        self._origins[key] = origin

    def origin_of(self, key: object) -> Origin | None:
        """Return the origin of `key`, or else of this dict."""
        return self._origins.get(key) or self._origin

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, wrap(value))
        self._origins.pop(key, None)

    def __missing__(self, key: object) -> Value:
        raise KeyError(f"no key {key!r}.{did_you_mean(str(key), map(str, self), else_list=True)}")

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__") or name not in self:
            hint = did_you_mean(name, map(str, self), else_list=True)
            raise AttributeError(f"no key {name!r}.{hint}")
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def copy(self) -> ConfigDict:
        """Return a shallow copy that keeps the origins."""
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


def wrap(value: Value) -> Value:
    """Return `value` with every plain dict in it as a ConfigDict."""
    if isinstance(value, ConfigDict):
        return value
    if isinstance(value, Mapping):
        return ConfigDict(value)
    if type(value) in (list, tuple):
        return type(value)([wrap(item) for item in value])
    return value


def plain(value: Value) -> Value:
    """Return a deep copy of `value` in plain dicts, lists and tuples."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)([plain(item) for item in value])
    return copy.copy(value) if isinstance(value, set) else value


def inherited(value: Value) -> Value:
    """Return a deep copy of a finished value whose dicts are marked as reached through `_base_`."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        object.__setattr__(node, "_inherited", True)
        for key, item in value.items():
            dict.__setitem__(node, key, inherited(item))
        return node
    if isinstance(value, list | tuple):
        return type(value)([inherited(item) for item in value])
    return value


def merge(base: ConfigDict, child: ConfigDict, path: str = "") -> ConfigDict:
    """Return `child` over `base`, as a new ConfigDict; a key keeps the origin that set it last.

    Raises:
        ConfigError: a dict of the child stands over something else in the base.
    """
    merged = base.copy()
    for key, value in child.items():
        if key == DELETE:
            continue
        key_path = f"{path}.{key}" if path else str(key)
        if isinstance(value, ConfigDict) and key in base and not value.get(DELETE, False):
            if not isinstance(base[key], dict):
                raise ConfigError(
                    f"{child.origin_of(key)}: {key_path}: a dict cannot be merged into the "
                    f"{type(base[key]).__name__} set at {base.origin_of(key)}. "
                    f"Put {DELETE}=True into the dict to replace it."
                )
            value = merge(base[key], value, key_path)
        else:
            value = without_delete(value)
        merged.put(key, value, child.origin_of(key))
    return merged


def without_delete(value: Value) -> Value:
    """Return a copy of `value` in which no dict holds `_delete_`."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        dict.pop(node, DELETE, None)
        for key, item in node.items():
            dict.__setitem__(node, key, without_delete(item))
        return node
    if isinstance(value, list | tuple):
        return type(value)([without_delete(item) for item in value])
    return value
