"""Configs as TOML: read by tomllib, each key with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

from srtoolbox.config.evaluator.budget import Budget, Refused
from srtoolbox.config.values import ConfigDict, Origin, Value
from srtoolbox.errors import ConfigError

_TABLE = re.compile(r"\s*\[(\[)?\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PLACE = re.compile(r"line (\d+)")
_FLAT = re.compile(r"""("{3}|'{3})(?:\\.|.)*?\1|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*""", re.DOTALL)
"""Strings and comments: their brackets nest nothing."""
_DEEPEST = 32  # brackets within brackets on the way; tomllib calls itself for each

Path = tuple[str | int, ...]


def read_toml(text: str, file: str, budget: Budget) -> Value:
    """Return what a TOML text holds; each key knows its line, dates are refused.

    Raises:
        ConfigError: the text is not TOML, is nested too deep or costs too much.
    """
    _check_nesting(text, file)
    try:
        values = tomllib.loads(text)
        budget.measure(values)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = place.group(1) if place else "1"
        raise ConfigError(f"{file}:{line}: not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{file}:1: nested too deep to be read") from None
    except Refused as refusal:
        raise ConfigError(f"{file}:1: {refusal}") from None
    return _with_origins(values, dict(_lines(text)), (), Origin(file, 1), budget)


def _check_nesting(text: str, file: str) -> None:
    depth = 0
    bare = _FLAT.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(bare.split("\n"), 1):
        for character in line:
            depth += (character in "[{") - (character in "]}")
            depth = max(depth, 0)
            if depth > _DEEPEST:
                raise ConfigError(f"{file}:{number}: nested deeper than {_DEEPEST} levels")


def _lines(text: str) -> Iterator[tuple[Path, int]]:
    """Yield the path of each table and key that begins a line, and the line."""
    table: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _path(header.group(2))
            if header.group(1):
                counts[table] = counts.get(table, -1) + 1
                yield table, number
                table = (*table, counts[table])
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_path(key.group(1))), number


def _path(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _with_origins(value: object, lines: Mapping[Path, int], path: Path, origin: Origin, budget: Budget) -> Value:
    if isinstance(value, dict):
        node = ConfigDict.at(origin)
        for key, item in value.items():
            place = (*path, key)
            own = Origin(origin.file, lines.get(place, origin.line))
            node.put(key, _with_origins(item, lines, place, own, budget), own)
        return node
    if isinstance(value, list):
        return [_with_origins(item, lines, (*path, number), origin, budget) for number, item in enumerate(value)]
    if not isinstance(value, bool | int | float | str):
        raise ConfigError(f"{origin}: a {type(value).__name__} is not a config value; quote it to make it a string")
    try:
        return budget.pay(value)
    except Refused as refusal:
        raise ConfigError(f"{origin}: {refusal}") from None
