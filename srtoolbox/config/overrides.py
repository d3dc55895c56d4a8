"""`key.sub=value` and `key.sub+=[...]` overrides from the command line.

An override of a name that a file binds by a plain top-level assignment acts at that assignment, so
that what the file computes from it follows; all are merged over the finished config as well. Hooks
are taken out only there. Items that `+=` appended are known by their origin, and not appended
again.
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
_LITERAL_NODES = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call, ast.keyword, ast.Name),
    *(ast.UnaryOp, ast.USub, ast.UAdd, ast.Load),
)


class Override(NamedTuple):
    """One `path=value`, or `path+=value`; `text` is the whole as typed."""

    path: tuple[str, ...]
    value: Any
    text: str
    appends: bool = False

    @property
    def removes(self) -> bool:
        """True if this takes an entry out of a named map (`hooks.ema=None`)."""
        if self.value is not None or len(self.path) < 2 or self.path[-2] not in NAMED_MAPS:
            return False
        return self.path not in {("hooks", name) for name in DEFAULT_HOOKS}

    @property
    def removes_hook(self) -> bool:
        """True if this takes out a hook, also a default one, of which None stays."""
        return self.value is None and len(self.path) == 2 and self.path[0] == "hooks"

    def error(self, message: str) -> ConfigError:
        """Return an error about this override."""
        return ConfigError(f"command line: {self.text!r}: {message}")


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
        raise item.error(f"+= appends the items of a list: {'.'.join(path)}+=[{value.strip()}]")
    return item


def _value(text: str) -> Value:
    """Return a literal, also with `dict(...)`; anything else is a string."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes
            node = ast.parse(text, mode="eval").body
        for part in ast.walk(node):
            function = part.func if isinstance(part, ast.Call) else ast.Name("dict")
            is_other_name = isinstance(part, ast.Name) and part.id != "dict"
            is_literal = isinstance(part, _LITERAL_NODES) and isinstance(function, ast.Name)
            if is_other_name or not is_literal:
                return text
        value = Expressions("command line", Budget()).evaluate(node)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ConfigError):
        return text
    return _with_origin(value, Origin(*COMMAND_LINE))


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
        numbers = [number for number, item in enumerate(self.all) if item.path[0] == name]
        # files to append lie beside the config, not its base: they wait for the end
        if name == PLUGINS:
            numbers = [number for number in numbers if not self.all[number].appends]
        if not numbers:
            return value
        holder = ConfigDict()
        holder.put(name, copy.deepcopy(value), None)  # other names may hold the same dict or list
        self._take_back(holder, numbers)
        for number in numbers:
            item = self.all[number]
            if len(item.path) == 1 or _has(holder, item.path):
                if not item.removes_hook:  # files may read it: it goes at the end
                    self._set(holder, number)
                self.applied.add(number)
        return dict.__getitem__(holder, name)

    def at_end(self, config: ConfigDict, prebound: Sequence[str] = ()) -> None:
        """Apply all to the finished config; a pre-bound name that no file assigns stays no key."""
        self._take_back(config, range(len(self.all)))
        for number, item in enumerate(self.all):
            if not (len(item.path) == 1 and item.path[0] in prebound and item.path[0] not in config):
                self._set(config, number)

    def _take_back(self, root: ConfigDict, numbers: Sequence[int]) -> None:
        """Take out the items that these appended at an assignment: they go to the end, once."""
        for number in reversed(numbers):
            item = self.all[number]
            if item.appends and number in self.applied and _has(root, item.path):
                holder, key = _steps_to(root, item)[-1]
                value = _without(holder[key], item.value)
                if isinstance(holder, list):
                    holder[key] = value
                else:
                    dict.__setitem__(holder, key, value)  # its origin stays

    def _set(self, root: ConfigDict, number: int) -> None:
        item = self.all[number]
        steps = _steps_to(root, item)
        holder, key = steps[-1]
        if isinstance(holder, list):
            holder[key] = _combined(holder[key], item)
            if not isinstance(holder[key], ConfigDict):  # whose origin is that of the list
                outer, name = [step for step in steps if isinstance(step[0], ConfigDict)][-1]
                outer.put(name, outer[name], COMMAND_LINE)
        elif not item.removes:
            holder.put(key, _combined(holder.get(key), item), COMMAND_LINE)
        elif key in holder:
            del holder[key]
        elif number not in self.applied:
            hint = did_you_mean(key, map(str, holder), else_list=True)
            raise item.error(f"{'.'.join(item.path[:-1])} has no {key!r} to remove.{hint}")


def _combined(old: Value, item: Override) -> Value:
    """Return the value over `old`: `+=` extends lists, dicts merge without `_delete_`."""
    path = ".".join(item.path)
    is_map = isinstance(old, ConfigDict)
    if item.appends and isinstance(old, list | tuple):
        return type(old)([*old, *without_delete(item.value)])
    if item.appends and old is not None:
        kind = f"a map, in which each entry has a name: {path}.NAME=..." if is_map else repr(old)
        raise item.error(f"+= appends to a list, but {path} is {kind}")
    if is_map and isinstance(item.value, ConfigDict) and not item.value.get(DELETE):
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


def _steps_to(root: ConfigDict, item: Override) -> list[tuple[Any, Any]]:
    """Return the dicts and lists on the way to an entry, with their keys.

    Missing dicts are made.
    """
    steps: list[tuple[Any, Any]] = []
    holder: Any = root
    for part in item.path:
        if steps:
            holder, key = steps[-1]
            if isinstance(holder, ConfigDict) and key not in holder:
                holder.put(key, ConfigDict.at(COMMAND_LINE), COMMAND_LINE)
            holder = holder[key]
        key = _key(holder, part)
        if key is None:
            kind = f"{holder!r}, which has no {part!r}"
            if isinstance(holder, list):
                kind = f"a list of {len(holder)} items, it has no item {part!r}"
            elif isinstance(holder, tuple):
                kind = "a tuple, which is given as a whole"
            raise item.error(f"{'.'.join(item.path[: len(steps)])} is {kind}")
        steps.append((holder, key))
    return steps


def _key(holder: Value, part: str) -> Value:
    """Return `part` as a key of a dict or an index of a list, maybe an integer; None: neither."""
    if isinstance(holder, list):
        is_index = part.removeprefix("-").isdecimal() and -len(holder) <= int(part) < len(holder)
        return int(part) if is_index else None
    if not isinstance(holder, ConfigDict):
        return None
    return int(part) if part not in holder and part.isdecimal() and int(part) in holder else part


def _has(value: Value, path: Sequence[str]) -> bool:
    for part in path:
        key = _key(value, part)
        if key is None or (isinstance(value, ConfigDict) and key not in value):
            return False
        value = value[key]
    return True
