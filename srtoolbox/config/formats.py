"""Configs as text: JSON and YAML read as data, Python written, MMEngine's `{{ ... }}` in all."""

from __future__ import annotations

import ast
import json
import keyword
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from srtoolbox import system
from srtoolbox.config.evaluator.budget import DEPTH, FILE_BYTES, Budget, Refused
from srtoolbox.config.evaluator.calls import FUNCTIONS
from srtoolbox.config.values import ConfigDict, Origin, Value
from srtoolbox.errors import ConfigError

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?')
_ENVIRONMENT = re.compile(r"""\{\{['"]?\s*\$(\w+)\s*:\s*([^\s{}]*?)\s*['"]?\}\}""")
_BASE_VALUE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
_MERGE = "tag:yaml.org,2002:merge"


def read_json(text: str, file: str, budget: Budget) -> Value:
    """Return what a JSON text holds; each key knows its line.

    Raises:
        ConfigError: the text is not JSON or is nested too deep.
    """
    _check_nesting(text, file)
    try:
        budget.measure(json.loads(text))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{file}:1: not valid JSON: {error}") from None
    except Refused as refusal:
        raise ConfigError(f"{file}:1: {refusal}") from None
    pairs = json.loads(text, object_pairs_hook=_Pairs)
    return _with_origins(pairs, _key_origins(text, file), file)


class _Pairs(list):
    """A JSON object as (key, value) in the order of the text, also of a repeated key."""


def _key_origins(text: str, file: str) -> Iterator[Origin]:
    """Yield the place of each key of a valid JSON text: a string before a colon."""
    line, position = 1, 0
    for match in _JSON_STRING.finditer(text):
        if match.group(1):
            line += text.count("\n", position, match.start())
            position = match.start()
            yield Origin(file, line)


def _with_origins(value: Value, origins: Iterator[Origin], file: str) -> Value:
    """Return pairs as ConfigDicts; in the order of the text each key takes the next origin."""
    if isinstance(value, _Pairs):
        node = ConfigDict.at(Origin(file))
        for key, item in value:
            origin = next(origins)
            node.put(key, _with_origins(item, origins, file), origin)
        return node
    if isinstance(value, list):
        return [_with_origins(item, origins, file) for item in value]
    return value


def _check_nesting(text: str, file: str) -> None:
    """Refuse deeply nested brackets, also in strings, before a parser meets them."""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        for character in line:
            depth += (character in "[{") - (character in "]}")
            if depth > DEPTH:
                raise ConfigError(f"{file}:{number}: nested deeper than {DEPTH} levels")


def read_yaml(text: str, file: str, budget: Budget) -> Value:
    """Return what a YAML text holds, by PyYAML's safe loader; every use of an alias is paid for.

    Raises:
        ConfigError: the text is no YAML, has tags that make objects or is nested too deep.
    """
    _check_nesting(text, file)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        empty = ConfigDict.at(Origin(file))
        return empty if node is None else _YamlReader(loader, file, budget).convert(node)
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


class _YamlReader:
    """Turns the nodes of a YAML file into values."""

    def __init__(self, loader: yaml.SafeLoader, file: str, budget: Budget) -> None:
        self.loader, self.file, self.budget, self.depth = loader, file, budget, 0

    def convert(self, node: yaml.Node) -> Value:
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

    def _converted(self, node: yaml.Node, origin: Origin) -> Value:
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, origin)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.convert(item) for item in node.value]
        value = self.loader.construct_object(node, deep=True)
        if value is not None and not isinstance(value, bool | int | float | str):
            raise Refused(f"a {type(value).__name__} is not a config value; quote it to make it a string")
        return self.budget.pay(value)

    def _mapping(self, node: yaml.MappingNode, origin: Origin) -> ConfigDict:
        mapping = ConfigDict.at(origin)
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                self._merge(mapping, value_node)
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.convert(key_node)
            if isinstance(key, dict | list):
                raise Refused("a key must be a scalar")
            key_origin = Origin(self.file, key_node.start_mark.line + 1)
            mapping.put(self.budget.key(key), self.convert(value_node), key_origin)
        return mapping

    def _merge(self, mapping: ConfigDict, node: yaml.Node) -> None:
        """Put the mappings behind a `<<` in; the first of several wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for part in reversed(parts):
            merged = self.convert(part)
            if not isinstance(merged, ConfigDict):
                raise Refused("`<<` needs a mapping")
            for key in merged:
                mapping.put(key, merged[key], merged.origin_of(key))


def substituted(text: str, path: str) -> str:
    """Replace `{{ fileDirname }}` and its kin, and `{{$VARIABLE:default}}`, in a file's text.

    Raises:
        Refused: an environment variable is not set and has no default, or the text grows too long.
    """
    folder, name = os.path.split(os.path.abspath(path))
    stem, suffix = os.path.splitext(name)
    values = {
        "fileDirname": folder,
        "fileBasename": name,
        "fileBasenameNoExtension": stem,
        "fileExtname": suffix,
    }
    pattern = r"\{\{\s*(" + "|".join(values) + r")\s*\}\}"
    text = re.sub(pattern, lambda match: values[match.group(1)].replace("\\", "/"), text)
    text = _ENVIRONMENT.sub(_environment_value, text)
    if len(text) > 2 * FILE_BYTES:
        raise Refused(f"its templates make more than {2 * FILE_BYTES // 1024} KiB of it")
    return text


def _environment_value(match: re.Match) -> str:
    variable, default = match.groups()
    value = os.environ.get(variable, default)
    if not value:
        advice = f"set it, or write {{{{${variable}:default}}}}"
        raise Refused(f"the environment variable {variable} is not set; {advice}")
    # in quotes, the \t of C:\train would be a tab
    return value.replace("\\", "/") if system.IS_WINDOWS else value


def with_words(text: str, quote: str = "") -> tuple[str, dict[str, str]]:
    """Replace each `{{ _base_.a.b }}` by a unique word; return the text and word -> 'a.b'."""
    words: dict[str, str] = {}

    def word_of(match: re.Match) -> str:
        word = f"_base_value_{len(words)}_of_this_file_"
        words[word] = match.group(1)
        return quote + word + quote

    return _BASE_VALUE.sub(word_of, text), words


class BaseValues(ast.NodeTransformer):
    """Puts `_base_.a.b` in the place of its word, in a Python file."""

    def __init__(self, words: Mapping[str, str], path: str) -> None:
        self.words, self.path = words, path

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.words:
            return node
        value = ast.parse(f"_base_.{self.words[node.id]}", mode="eval").body
        for part in ast.walk(value):
            ast.copy_location(part, node)
        return value

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, str) and any(word in node.value for word in self.words):
            fault = "a {{ _base_.x }} template cannot stand inside a string"
            raise ConfigError(f"{self.path}:{node.lineno}: {fault}; write f'{{_base_.x}}' instead")
        return node


def with_base_values(value: Value, words: Mapping[str, str], base: ConfigDict, origin: Origin) -> Value:
    """Return `value` with each word of a `{{ _base_.a.b }}` replaced by what the base has there."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        for key, item in value.items():
            key_origin = value.origin_of(key) or origin
            dict.__setitem__(node, key, with_base_values(item, words, base, key_origin))
        return node
    if isinstance(value, list):
        return [with_base_values(item, words, base, origin) for item in value]
    if not isinstance(value, str) or value not in words:
        return value
    node = base
    for part in words[value].split("."):
        if not isinstance(node, ConfigDict) or part not in node:
            raise ConfigError(f"{origin}: the bases have no {words[value]!r}")
        node = node[part]
    return node


def dump(values: Mapping[str, Any]) -> str:
    """Return the text of `Config.dump`."""
    for key in values:
        if not _is_name(key) or key == "_base_":
            fault = "cannot be written as a Python name; rename it"
            raise ConfigError(f"the top-level key {key!r} {fault}")
    ordered = sorted(values, key=lambda key: key in FUNCTIONS)
    return "".join(f"{key} = {_text_of(values[key], '')}\n" for key in ordered)


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _text_of(value: object, indent: str) -> str:
    if isinstance(value, Mapping | list | tuple):
        line = _joined(value, "", one_line=True)
        is_short = len(indent) + len(line) <= 100
        return line if is_short else _joined(value, indent + "    ", one_line=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, set):
        return "set(" + (_text_of(sorted(value, key=repr), indent) if value else "") + ")"
    if isinstance(value, str):
        return repr(value).replace("{{", r"{\x7b")  # a literal `{{` is no template
    return repr(value)


def _joined(value: Mapping | list | tuple, indent: str, one_line: bool) -> str:
    if isinstance(value, Mapping):
        is_call = all(map(_is_name, value))
        left, right, equals = ("dict(", ")", "=") if is_call else ("{", "}", ": ")
        keys = value if is_call else [_text_of(key, "") for key in value]
        pairs = zip(keys, value.values(), strict=True)
        parts = [f"{key}{equals}{_text_of(item, indent)}" for key, item in pairs]
    else:
        left, right = "[]" if isinstance(value, list) else "()"
        parts = [_text_of(item, indent) for item in value]
    if one_line:
        comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
        return left + ", ".join(parts) + comma + right
    return left + "".join(f"\n{indent}{part}," for part in parts) + "\n" + indent[:-4] + right
