"""YAML and JSON configs: read as data, with the place of each key where the format tells it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from srtoolbox.config.evaluator.budget import DEPTH, Budget, Refused
from srtoolbox.config.values import ConfigDict, Origin
from srtoolbox.errors import ConfigError

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?')


def read_json(text: str, file: str, budget: Budget) -> ConfigDict:
    """A JSON object; each key knows its line.

    Raises:
        ConfigError: the text is not JSON, is nested too deep or not an object.
    """
    _check_nesting(text, file)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{file}:1: not valid JSON: {error}") from None
    try:
        budget.measure(value)
    except Refused as refusal:
        raise ConfigError(f"{file}:1: {refusal}") from None
    return _top(_with_origins(json.loads(text, object_pairs_hook=_Pairs), _key_origins(text, file), file), file)


class _Pairs(list):
    """A JSON object as it was written: (key, value) in the order of the text, a key given twice twice."""


def _key_origins(text: str, file: str) -> Iterator[Origin]:
    """Where each key of a valid JSON text stands: a string before a colon."""
    line, counted = 1, 0
    for match in _JSON_STRING.finditer(text):
        if match.group(1):
            line += text.count("\n", counted, match.start())
            counted = match.start()
            yield Origin(file, line)


def _with_origins(value: Any, origins: Iterator[Origin], file: str) -> Any:  # noqa: ANN401 - any JSON value
    """ConfigDicts out of pairs; walked in the order of the text, each key takes the next origin."""
    if isinstance(value, _Pairs):
        made = ConfigDict(origin=Origin(file))
        for key, item in value:
            origin = next(origins)
            made.put(key, _with_origins(item, origins, file), origin)
        return made
    return [_with_origins(item, origins, file) for item in value] if isinstance(value, list) else value


def _check_nesting(text: str, file: str) -> None:
    """Refuse brackets nested deeper than allowed before a parser meets them (brackets in strings are counted too)."""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        for character in line:
            depth += (character in "[{") - (character in "]}")
            if depth > DEPTH:
                raise ConfigError(f"{file}:{number}: nested deeper than {DEPTH} levels")


def read_yaml(text: str, file: str, budget: Budget) -> ConfigDict:
    """A YAML mapping, read by PyYAML's safe loader; aliases are paid for each time they are used.

    Raises:
        ConfigError: the text is not YAML, uses tags that make objects, is nested too deep or not a mapping.
    """
    _check_nesting(text, file)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        value = _YamlReader(loader, file, budget).convert(node) if node is not None else ConfigDict(origin=Origin(file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{file}:{loader.line + 1}: nested deeper than {DEPTH} levels") from None
    except ValueError as error:
        raise ConfigError(f"{file}:{loader.line + 1}: not valid YAML: {error}") from None
    return _top(value, file)


class _YamlReader:
    def __init__(self, loader: yaml.SafeLoader, file: str, budget: Budget) -> None:
        self.loader, self.file, self.budget = loader, file, budget
        self.depth = 0

    def convert(self, node: yaml.Node) -> Any:  # noqa: ANN401
        origin = Origin(self.file, node.start_mark.line + 1)
        self.depth += 1
        try:
            if self.depth > DEPTH:
                raise Refused(f"nested deeper than {DEPTH} levels")
            self.budget.spend(5)  # a YAML node takes that much longer than a step of the evaluator
            return self._converted(node, origin)
        except Refused as refusal:
            raise ConfigError(f"{origin}: {refusal}") from None
        finally:
            self.depth -= 1

    def _converted(self, node: yaml.Node, origin: Origin) -> Any:  # noqa: ANN401
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, origin)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.convert(item) for item in node.value]
        value = self.loader.construct_object(node, deep=True)
        if value is not None and not isinstance(value, bool | int | float | str):
            raise Refused(f"a {type(value).__name__} is not a config value; quote it to make it a string")
        return self.budget.made(value)

    def _mapping(self, node: yaml.MappingNode, origin: Origin) -> ConfigDict:
        made = ConfigDict(origin=origin)
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                parts = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for part in reversed(parts):  # the first of several wins
                    merged = self.convert(part)
                    if not isinstance(merged, ConfigDict):
                        raise Refused("`<<` needs a mapping")
                    for key in merged:
                        made.put(key, merged[key], merged.origin_of(key))
        for key_node, value_node in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                key = self.convert(key_node)
                if isinstance(key, dict | list):
                    raise Refused("a key must be a scalar")
                made.put(
                    self.budget.key(key), self.convert(value_node), Origin(self.file, key_node.start_mark.line + 1)
                )
        return made


def _top(value: Any, file: str) -> ConfigDict:  # noqa: ANN401
    if not isinstance(value, ConfigDict):
        raise ConfigError(f"{file}:1: a config is a mapping of keys, this is a {type(value).__name__}")
    return value
