"""`key.sub=value` overrides from the command line.

An override of a name that a file binds by a plain top-level assignment acts at that assignment, so that what the file
computes from it follows; every override is merged over the finished config as well.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from srtoolbox.config.budget import Budget
from srtoolbox.config.expressions import Expressions
from srtoolbox.config.merge import DELETE, merge, without_delete
from srtoolbox.config.values import ConfigDict, Origin
from srtoolbox.errors import ConfigError
from srtoolbox.registry import did_you_mean

COMMAND_LINE = Origin("command line")
NAMED_MAPS = ("hooks", "losses", "metrics", "datasets")
_WORDS = {"true": True, "false": False, "none": None}


class Override(NamedTuple):
    """One `path=value`; `text` is what was typed."""

    path: tuple[str, ...]
    value: Any
    text: str

    @property
    def removes(self) -> bool:
        """Whether this takes an entry out of a named map (`hooks.ema=None`)."""
        return self.value is None and len(self.path) > 1 and self.path[-2] in NAMED_MAPS


def parse_override(text: str) -> Override:
    """Read `a.b.0.c=value`: a Python literal (`dict(...)` too), true/false/none in any case, or else a string.

    Raises:
        ConfigError: no `=`, or an empty part in the key.
    """
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"command line: {text!r} is not of the form key.sub=value")
    return Override(path, _value(value.strip()), text)


def _value(text: str) -> Any:  # noqa: ANN401 - any config value
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        node = ast.parse(text, mode="eval").body
        value = _literal(node)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ConfigError):
        return text
    return _at_command_line(value)


def _literal(node: ast.expr) -> Any:  # noqa: ANN401
    """Literals, and `dict(...)` of literals; anything else raises ValueError, which makes the text a string."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and not (isinstance(part.func, ast.Name) and part.func.id == "dict"):
            raise ValueError("a call")
        if not isinstance(part, _LITERAL_NODES) or (isinstance(part, ast.Name) and part.id != "dict"):
            raise ValueError("not a literal")
    return Expressions("command line", Budget()).evaluate(node)


_LITERAL_NODES = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call, ast.keyword, ast.Name),
    *(ast.UnaryOp, ast.USub, ast.UAdd, ast.Load),
)


def _at_command_line(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, ConfigDict):
        made = ConfigDict(origin=COMMAND_LINE)
        for key, item in value.items():
            made.put(key, _at_command_line(item), COMMAND_LINE)
        return made
    if isinstance(value, list | tuple):
        return type(value)([_at_command_line(item) for item in value])
    return value


class Overrides:
    """All overrides of one config."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.all = [parse_override(text) for text in texts]
        self.applied: set[str] = set()

    def outer(self, name: str, default: str) -> str:
        """The value of a pre-bound name."""
        return next((item.value for item in reversed(self.all) if item.path == (name,)), default)

    def at_assignment(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """`value` as it is bound to `name`, after the overrides that find their key in it."""
        for item in self.all:
            if item.path[0] != name:
                continue
            if len(item.path) == 1:
                value = _combined(value, item)
            elif _has(value, item.path[1:]):
                value = copy.deepcopy(value)  # other names may hold the same dict or list
                self._set(value, item, item.path[1:])
            else:
                continue
            self.applied.add(item.text)
        return value

    def at_end(self, config: ConfigDict, prebound: Sequence[str] = ()) -> None:
        """Apply all to the finished config. An override of a pre-bound name that no file assigns makes no key."""
        for item in self.all:
            if len(item.path) == 1 and item.path[0] in prebound and item.path[0] not in config:
                continue
            self._set(config, item, item.path)

    def _set(self, root: Any, item: Override, path: tuple[str, ...]) -> None:  # noqa: ANN401
        holder, done = root, list(item.path[: len(item.path) - len(path)])
        for part in path[:-1]:
            holder = _child(holder, part, item, done)
            done.append(part)
        last = path[-1]
        if isinstance(holder, list):
            index = _index(holder, last, item, done)
            holder[index] = _combined(holder[index], item)
        elif not isinstance(holder, ConfigDict):
            raise _no_holder(holder, last, item, done)
        elif item.removes:
            self._remove(holder, item, _key(holder, last))
        else:
            key = _key(holder, last)
            new = _combined(dict.__getitem__(holder, key), item) if key in holder else without_delete(item.value)
            holder.put(key, new, COMMAND_LINE)

    def _remove(self, holder: ConfigDict, item: Override, key: str) -> None:
        if key in holder:
            del holder[key]
        elif item.text not in self.applied:
            parent = ".".join(item.path[:-1])
            hint = did_you_mean(key, map(str, holder), else_list=True)
            raise ConfigError(f"command line: {item.text!r}: {parent} has no {key!r} to remove.{hint}")


def _combined(old: Any, item: Override) -> Any:  # noqa: ANN401
    """The override's value over `old`: dicts merge, unless `_delete_` says otherwise."""
    if isinstance(item.value, ConfigDict) and isinstance(old, ConfigDict) and not item.value.get(DELETE):
        return merge(old, item.value, ".".join(item.path))
    return without_delete(item.value)


def _key(holder: ConfigDict, part: str) -> Any:  # noqa: ANN401
    """`part` as a key of `holder`, which may have integer keys."""
    return int(part) if part not in holder and part.isdecimal() and int(part) in holder else part


def _child(holder: Any, part: str, item: Override, done: list[str]) -> Any:  # noqa: ANN401
    if isinstance(holder, list):
        return holder[_index(holder, part, item, done)]
    if not isinstance(holder, ConfigDict):
        raise _no_holder(holder, part, item, done)
    key = _key(holder, part)
    if key not in holder:
        holder.put(key, ConfigDict(origin=COMMAND_LINE), COMMAND_LINE)
    return holder[key]


def _no_holder(holder: Any, part: str, item: Override, done: list[str]) -> ConfigError:  # noqa: ANN401
    told = "a tuple, which is given as a whole" if isinstance(holder, tuple) else f"{holder!r}, which has no {part!r}"
    return ConfigError(f"command line: {item.text!r}: {'.'.join(done)} is {told}")


def _index(holder: list, part: str, item: Override, done: list[str]) -> int:
    if not part.isdecimal() or int(part) >= len(holder):
        where = ".".join(done)
        raise ConfigError(
            f"command line: {item.text!r}: {where} is a list of {len(holder)} items, it has no item {part!r}"
        )
    return int(part)


def _has(value: Any, path: tuple[str, ...]) -> bool:  # noqa: ANN401
    for part in path:
        if isinstance(value, list):
            if not part.isdecimal() or int(part) >= len(value):
                return False
            value = value[int(part)]
        elif isinstance(value, ConfigDict) and _key(value, part) in value:
            value = value[_key(value, part)]
        else:
            return False
    return True
