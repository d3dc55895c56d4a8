"""The values of a config: dicts that are read by key or attribute and keep the origin of each key.

Merging goes dict by dict, anything else replaces; `_delete_=True` replaces a dict and never stays.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeAlias

from addict import Dict

from srtoolbox.errors import ConfigError
from srtoolbox.text import did_you_mean

DELETE = "_delete_"
Value: TypeAlias = Any
"""Any value of a config: numbers, strings, None, lists, tuples, sets and ConfigDicts of these."""


class Origin(NamedTuple):
    """The place of a key: a file (or "command line") and a line, None where there is none."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ConfigDict(Dict):
    """A dict with attribute access (`cfg.model.generator`) and the origin of each of its keys.

    An `addict.Dict` as MMEngine's is: missing keys and attributes raise, with the nearest key;
    `update`, `|` and `|=` merge dict by dict, `pop` needs no default. An attribute that is called
    as a method is (`cfg.freeze`) is the method: `cfg['freeze']` reads and sets such a key. Dicts
    put in, also inside lists, become ConfigDicts. `_inherited` marks what a config file reached
    through `_base_`: only there does the file's own code meet these methods, elsewhere those of a
    dict.
    """

    _inherited: bool
    _origin: Origin | None
    _origins: dict[Any, Origin | None]

    def __init__(self, *sources: Value, **values: object) -> None:
        super().__init__()
        self.__dict__.update(_inherited=False, _origin=None, _origins={})
        for source in (*sources, values):
            for key, value in dict(source or {}).items():
                self[key] = value
            if isinstance(source, ConfigDict):
                self._origins.update(source._origins)

    @classmethod
    def at(cls, origin: Origin | None) -> ConfigDict:
        """Return an empty dict that was written at a place."""
        node = cls()
        node.__dict__["_origin"] = origin
        return node

    def put(self, key: object, value: object, origin: Origin | None) -> None:
        """Set a key as it is and note its origin."""
        dict.__setitem__(self, key, value)
        self._origins[key] = origin

    def origin_of(self, key: object) -> Origin | None:
        """Return the origin of `key`, or else of this dict."""
        return self._origins.get(key) or self._origin

    def __setitem__(self, key: Value, value: object) -> None:
        super().__setitem__(key, wrap(value))
        self._origins.pop(key, None)

    def __delitem__(self, key: Value) -> None:
        if key not in self:
            self.__missing__(key)
        super().__delitem__(key)
        self._origins.pop(key, None)

    def __missing__(self, key: object) -> NoReturn:
        raise KeyError(self._advice(key))

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__") or name not in self:
            raise AttributeError(self._advice(name))
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(type(self), name) or name in vars(self):
            example = f"cfg[{name!r}] = ..."
            fault = "is a name of the class itself"
            raise AttributeError(f"{name!r} {fault}; set such a key by {example}")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(self._advice(name))
        del self[name]

    def _advice(self, key: object) -> str:
        return f"no key {key!r}.{did_you_mean(key, map(str, self), else_list=True)}"

    def update(self, *sources: Value, **values: object) -> None:
        """Set keys; dicts over dicts are merged into them. Origins come along."""
        for source in (*sources, values):
            for key, value in dict(source).items():
                old = self.get(key)
                if isinstance(old, ConfigDict) and isinstance(value, Mapping):
                    old.update(value)
                else:
                    self[key] = value
                if isinstance(source, ConfigDict):
                    self._origins[key] = source.origin_of(key)

    def pop(self, key: Value, default: Value = None) -> Value:
        """Take a key out and return its value, or `default`."""
        self._origins.pop(key, None)
        return super().pop(key, default)

    def setdefault(self, key: Value, default: Value = None) -> Value:
        """Return the value of `key`, which is set to `default` first if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __or__(self, other: Value) -> Value:
        return _union(self, other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Value) -> Value:
        return _union(other, self) if isinstance(other, Mapping) else NotImplemented

    def __add__(self, other: object) -> Value:
        return NotImplemented  # as of a plain dict, also of an empty one

    def to_dict(self) -> dict[Any, Any]:
        """Return a deep copy in plain dicts, lists and tuples."""
        return plain(self)

    def copy(self) -> ConfigDict:
        """Return a shallow copy that keeps the origins."""
        other = _rebuild(self, self._origin, self._origins)
        other.__dict__["_inherited"] = self._inherited
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
    node = ConfigDict.at(origin)
    dict.update(node, values)
    node._origins.update(origins)
    return node


def _union(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> ConfigDict:
    union = ConfigDict(copy.deepcopy(first))
    if isinstance(first, ConfigDict):
        union.__dict__["_origin"] = first._origin
    union.update(copy.deepcopy(second))
    return union


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
    copied = _copy_items(value, inherited)
    if isinstance(copied, ConfigDict):
        copied.__dict__["_inherited"] = True
    return copied


def merge(base: ConfigDict, child: ConfigDict, path: str = "") -> ConfigDict:
    """Return `child` over `base`, as a new ConfigDict; a key keeps the origin that set it last.

    Args:
        base: what `child` changes; None in it is replaced by a dict as by anything else.
        child: with `_delete_=True` in dicts that replace those of the base.
        path: of both in the config, for messages.

    Raises:
        ConfigError: a dict of the child stands over something else in the base.
    """
    merged = base.copy()
    for key, value in child.items():
        if key == DELETE:
            continue
        old, key_path = base.get(key), f"{path}.{key}" if path else str(key)
        is_dict = isinstance(old, dict)
        if old is None or not isinstance(value, ConfigDict) or value.get(DELETE):
            value = without_delete(value)
        elif is_dict:
            value = merge(old, value, key_path)
        else:
            target = f"the {type(old).__name__} set at {base.origin_of(key)}"
            fault = f"a dict cannot be merged into {target}"
            advice = f"Put {DELETE}=True into the dict to replace it."
            raise ConfigError(f"{child.origin_of(key)}: {key_path}: {fault}. {advice}")
        merged.put(key, value, child.origin_of(key))
    return merged


def without_delete(value: Value) -> Value:
    """Return a copy of `value` in which no dict holds `_delete_`."""
    copied = _copy_items(value, without_delete)
    if isinstance(copied, ConfigDict):
        dict.pop(copied, DELETE, None)
    return copied


def _copy_items(value: Value, change: Callable[[Value], Value]) -> Value:
    """Return a copy of a dict or list whose items are `change(item)`; another value as it is."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        for key, item in value.items():
            dict.__setitem__(node, key, change(item))
        return node
    if isinstance(value, list | tuple):
        return type(value)([change(item) for item in value])
    return value
