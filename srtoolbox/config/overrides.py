"""`key.sub=value` and `key.sub+=[...]` overrides from the command line.

An override of a name that a file binds by a plain top-level assignment acts at that assignment, so
that what the file computes from it follows; all are merged over the finished config as well. The items
that `+=` appended are recognised by their origin, so that they are not appended once more.
"""

from __future__ import annotations

import ast
import copy
import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from srtoolbox.config.evaluator.budget import Budget
from srtoolbox.config.evaluator.expressions import Expressions
from srtoolbox.config.values import DELETE, ConfigDict, Origin, Value, merge, without_delete
from srtoolbox.errors import ConfigError
from srtoolbox.text import did_you_mean

COMMAND_LINE = Origin("command line")
NAMED_MAPS = ("hooks", "losses", "metrics", "datasets")
DEFAULT_HOOKS = {
    "scheduler": "SchedulerHook",
    "checkpoint": "CheckpointHook",
    "evaluate": "EvaluateHook",
    "logger": "LoggerHook",
}
"""Hooks that a run has unless its config says None under their name."""
PLUGINS = "custom_imports"
_BRACKETS = re.compile(r"""\[\s*(['"]?)([\w-]+)\1\s*\]""")
_WORDS = {"true": True, "false": False, "none": None}


class Override(NamedTuple):
    """One `path=value`, or `path+=value`; `text` is the whole as typed."""

    path: tuple[str, ...]
    value: Any
    text: str
    appends: bool = False

    @property
    def is_plugins(self) -> bool:
        """True if this adds plugin files, which lie beside the config, not beside its base."""
        return self.appends and self.path == (PLUGINS,)

    @property
    def removes(self) -> bool:
        """True if this takes an entry out of a named map (`hooks.ema=None`)."""
        if self.value is not None or len(self.path) < 2 or self.path[-2] not in NAMED_MAPS:
            return False
        return self.path not in {("hooks", name) for name in DEFAULT_HOOKS}


def parse_override(text: str) -> Override:
    """Read `a.b.0.c=value`: a Python literal or `dict(...)`, true/false/none, or else a string.

    `a.b[0].c=value` is the same, and `a.b+=[value]` appends to a list.

    Raises:
        ConfigError: no `=`, an empty part in the key, or something else than a list to append.
    """
    key, equals, value = text.partition("=")
    appends = key.endswith("+")
    path = tuple(_BRACKETS.sub(r".\2", key.removesuffix("+").strip()).split("."))
    if not equals or not all(path) or any("[" in part or "]" in part for part in path):
        forms = "key.sub=value, key[0].sub=value or key+=[value]"
        raise ConfigError(f"command line: {text!r} is not of the form {forms}")
    item = Override(path, _value(value.strip()), text, appends)
    if appends and not isinstance(item.value, list | tuple):
        example = f"{'.'.join(path)}+=[{value.strip()}]"
        raise ConfigError(f"command line: {text!r}: += appends the items of a list: {example}")
    return item


def _value(text: str) -> Value:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes
            node = ast.parse(text, mode="eval").body
        value = _literal(node)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ConfigError):
        return text
    return _with_origin(value, Origin(*COMMAND_LINE))


def _literal(node: ast.expr) -> Value:
    """Return a literal, also in `dict(...)`; a ValueError makes anything else a string."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and not (isinstance(part.func, ast.Name) and part.func.id == "dict"):
            raise ValueError("a call")
        is_other_name = isinstance(part, ast.Name) and part.id != "dict"
        if is_other_name or not isinstance(part, _LITERAL_NODES):
            raise ValueError("not a literal")
    return Expressions("command line", Budget()).evaluate(node)


_LITERAL_NODES = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call, ast.keyword, ast.Name),
    *(ast.UnaryOp, ast.USub, ast.UAdd, ast.Load),
)


def _with_origin(value: Value, origin: Origin) -> Value:
    """Return `value`, all dicts in it from `origin`, an object of this override: see `_is_same`."""
    if isinstance(value, ConfigDict):
        node = ConfigDict.at(origin)
        for key, item in value.items():
            node.put(key, _with_origin(item, origin), origin)
        return node
    if isinstance(value, list | tuple):
        return type(value)([_with_origin(item, origin) for item in value])
    return value


class Overrides:
    """All overrides of one config."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.all = [parse_override(text) for text in texts]
        self.applied: set[int] = set()  # places in `all`

    def outer(self, name: str, default: str) -> str:
        """Return the value of a pre-bound name."""
        values = [item.value for item in self.all if item.path == (name,) and not item.appends]
        return values[-1] if values else default

    def at_assignment(self, name: str, value: Value) -> Value:
        """Return `value`, bound to `name`, after the overrides that find their key in it."""
        about_name = [item.path[0] == name and not item.is_plugins for item in self.all]
        numbers = [number for number, is_about in enumerate(about_name) if is_about]
        if not numbers:
            return value
        holder = ConfigDict()
        holder.put(name, copy.deepcopy(value), None)  # other names may hold the same dict or list
        self._take_back(holder, numbers)
        for number in numbers:
            if len(self.all[number].path) == 1 or _has(holder, self.all[number].path):
                self._set(holder, number)
                self.applied.add(number)
        return dict.__getitem__(holder, name)

    def at_end(self, config: ConfigDict, prebound: Sequence[str] = ()) -> None:
        """Apply all to the finished config; a pre-bound name that no file assigns stays no key."""
        self._take_back(config, range(len(self.all)))
        for number, item in enumerate(self.all):
            if len(item.path) == 1 and item.path[0] in prebound and item.path[0] not in config:
                continue
            self._set(config, number)

    def _take_back(self, root: ConfigDict, numbers: Sequence[int]) -> None:
        """Take out the items that these appended at an assignment: they go to the end, once."""
        for number in reversed(numbers):
            item = self.all[number]
            if not item.appends or number not in self.applied or not _has(root, item.path):
                continue
            holder: Any = root
            for part in item.path[:-1]:
                holder = _child(holder, part, item, [])
            if isinstance(holder, list):
                index = int(item.path[-1])
                holder[index] = _without(holder[index], item.value)
            else:
                key = _key(holder, item.path[-1])
                dict.__setitem__(holder, key, _without(holder[key], item.value))  # its origin stays

    def _set(self, root: ConfigDict, number: int) -> None:
        item = self.all[number]
        holder: Any = root
        done: list[str] = []
        home = root, ""
        for part in item.path[:-1]:
            if isinstance(holder, ConfigDict):
                home = holder, part
            holder = _child(holder, part, item, done)
            done.append(part)
        last = item.path[-1]
        if isinstance(holder, list):
            index = _index(holder, last, item, done)
            holder[index] = _combined(holder[index], item)
            if not isinstance(holder[index], ConfigDict):  # whose origin is that of the list
                outer, key = home[0], _key(*home)
                outer.put(key, outer[key], COMMAND_LINE)
        elif not isinstance(holder, ConfigDict):
            raise _no_holder(holder, last, item, done)
        elif item.removes:
            self._remove(holder, number, _key(holder, last))
        else:
            key = _key(holder, last)
            old = holder.get(key)
            value = without_delete(item.value) if old is None else _combined(old, item)
            holder.put(key, value, COMMAND_LINE)

    def _remove(self, holder: ConfigDict, number: int, key: str) -> None:
        item = self.all[number]
        if key in holder:
            del holder[key]
        elif number not in self.applied:
            parent = ".".join(item.path[:-1])
            hint = did_you_mean(key, map(str, holder), else_list=True)
            raise ConfigError(f"command line: {item.text!r}: {parent} has no {key!r} to remove.{hint}")


def _combined(old: Value, item: Override) -> Value:
    """Return the value over `old`: `+=` extends lists, dicts merge without `_delete_`."""
    path = ".".join(item.path)
    if item.appends and isinstance(old, list | tuple):
        return type(old)([*old, *without_delete(item.value)])
    if item.appends:
        is_map = isinstance(old, ConfigDict)
        kind = f"a map, in which each entry has a name: {path}.NAME=..." if is_map else repr(old)
        raise ConfigError(f"command line: {item.text!r}: += appends to a list, but {path} is {kind}")
    if isinstance(item.value, ConfigDict) and isinstance(old, ConfigDict) and not item.value.get(DELETE):
        return merge(old, item.value, path)
    return without_delete(item.value)


def _without(value: Value, items: Sequence[Any]) -> Value:
    """Return a list without the last run of these items: the very dicts, and equal values."""
    if not isinstance(value, list | tuple):
        return value
    count = len(items)
    for start in range(len(value) - count, -1, -1):
        if all(map(_is_same, value[start : start + count], items)):
            return type(value)([*value[:start], *value[start + count :]])
    return value


def _is_same(value: object, item: object) -> bool:
    if isinstance(value, ConfigDict) and isinstance(item, ConfigDict):
        return value._origin is item._origin
    return value == item


def _key(holder: ConfigDict, part: str) -> Value:
    """Return `part` as a key of `holder`, which may have integer keys."""
    is_integer = part not in holder and part.isdecimal() and int(part) in holder
    return int(part) if is_integer else part


def _child(holder: Value, part: str, item: Override, done: list[str]) -> Value:
    if isinstance(holder, list):
        return holder[_index(holder, part, item, done)]
    if not isinstance(holder, ConfigDict):
        raise _no_holder(holder, part, item, done)
    key = _key(holder, part)
    if key not in holder:
        holder.put(key, ConfigDict.at(COMMAND_LINE), COMMAND_LINE)
    return holder[key]


def _no_holder(holder: object, part: str, item: Override, done: list[str]) -> ConfigError:
    kind = f"{holder!r}, which has no {part!r}"
    if isinstance(holder, tuple):
        kind = "a tuple, which is given as a whole"
    return ConfigError(f"command line: {item.text!r}: {'.'.join(done)} is {kind}")


def _index(holder: list, part: str, item: Override, done: list[str]) -> int:
    if not _is_index(holder, part):
        kind = f"a list of {len(holder)} items, it has no item {part!r}"
        raise ConfigError(f"command line: {item.text!r}: {'.'.join(done)} is {kind}")
    return int(part)


def _is_index(holder: list, part: str) -> bool:
    return part.removeprefix("-").isdecimal() and -len(holder) <= int(part) < len(holder)


def _has(value: object, path: tuple[str, ...]) -> bool:
    for part in path:
        if isinstance(value, list):
            if not _is_index(value, part):
                return False
            value = value[int(part)]
        elif isinstance(value, ConfigDict) and _key(value, part) in value:
            value = value[_key(value, part)]
        else:
            return False
    return True
