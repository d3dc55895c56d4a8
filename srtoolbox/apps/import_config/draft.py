"""The config that is made, and its text as a person would write it."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from srtoolbox.apps.import_config.record import WIDTH, wrapped
from srtoolbox.config.values import Value

INDENT = "    "


class Expression(str):
    """Text that stands in the config as it is: a name of a variable, `2 * rate`."""


class Draft:
    """A config of ours in the making.

    Attributes:
        values: the top-level names in the order of the file.
        comments: {key: sentences} that stand above the key.
        remarks: sentences for the head of the file.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.comments: dict[str, list[str]] = {}
        self.remarks: list[str] = []

    def set(self, path: str, value: Value) -> None:
        """Set the key 'a.b.c'; dicts on the way are made."""
        *parents, last = path.split(".")
        node = self.values
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value

    def get(self, path: str) -> Value:
        """Return the value of the key 'a.b.c', None where there is none."""
        node: Any = self.values
        for name in path.split("."):
            if not isinstance(node, Mapping) or name not in node:
                return None
            node = node[name]
        return node

    def comment(self, path: str, sentence: str) -> None:
        """Let a sentence stand above a key, or above what holds it; at the head where nothing does."""
        parts = path.split(".")
        while parts and self.get(".".join(parts)) is None:
            parts.pop()
        sentences = self.comments.setdefault(".".join(parts), []) if parts else self.remarks
        if sentence not in sentences:
            sentences.append(sentence)

    def text(self, title: str) -> str:
        """Return the config's text, with `title` as its docstring."""
        blocks = [f'"""{title}"""\n', *_comment("\n".join(self.remarks), "")]
        for name, value in self.values.items():
            blocks += _comment("\n".join(self.comments.get(name, [])), "")
            blocks.append(f"{name} = {self._written(value, name, '', len(name) + 3)}")
        return "\n".join(blocks) + "\n"

    def _written(self, value: Value, path: str, indent: str, before: int) -> str:
        """Return the text of a value that begins `before` characters behind `indent`."""
        if not isinstance(value, Mapping) and not (isinstance(value, list | tuple) and any(map(_is_deep, value))):
            return plain_text(value)
        has_comment = any(key.startswith(path + ".") for key in self.comments)
        line = plain_text(value)
        if not has_comment and len(indent) + before + len(line) + 1 <= WIDTH:
            return line
        inner = indent + INDENT
        lines: list[str] = []
        if isinstance(value, Mapping):
            is_call = all(map(_is_name, value))
            left, right = ("dict(", ")") if is_call else ("{", "}")
            keys = {key: f"{key}=" if is_call else f"{key!r}: " for key in value}
            for key, item in value.items():
                lines += _comment("\n".join(self.comments.get(f"{path}.{key}", [])), inner)
                text = self._written(item, f"{path}.{key}", inner, len(keys[key]))
                lines.append(f"{inner}{keys[key]}{text},")
        else:
            left, right = "[]" if isinstance(value, list) else "()"
            lines = [f"{inner}{self._written(item, f'{path}.{n}', inner, 0)}," for n, item in enumerate(value)]
        return "\n".join([left, *lines, f"{indent}{right}"])


def plain_text(value: Value) -> str:
    """Return a value in one line, with 400_000 for large numbers and 1e-4 for small ones."""
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, Mapping):
        if all(map(_is_name, value)):
            return "dict(" + ", ".join(f"{key}={plain_text(item)}" for key, item in value.items()) + ")"
        return "{" + ", ".join(f"{key!r}: {plain_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(plain_text, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        if len(value) > 4 and all(item == value[0] for item in value) and not _is_deep(value[0]):
            return f"[{plain_text(value[0])}] * {len(value)}"
        return "[" + ", ".join(map(plain_text, value)) + "]"
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return _float_text(value)
    return repr(str(value)).replace("{{", r"{\x7b")  # a literal `{{` is no template


def _float_text(value: float) -> str:
    if not 0 < abs(value) < 1e-2:
        return repr(value) if value == value and abs(value) != float("inf") else f"float('{value}')"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    mantissa = f"{digits[0]}" + (f".{''.join(map(str, digits[1:]))}" if digits[1:] else "")
    return f"{'-' * sign}{mantissa}e{exponent + len(digits) - 1}"


def _is_deep(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _comment(sentences: str, indent: str) -> Iterator[str]:
    """Yield the lines of a comment, wrapped."""
    for sentence in sentences.splitlines():
        yield wrapped(sentence, f"{indent}# ")
