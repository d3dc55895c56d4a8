"""A config as Python text that loads to the same config."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any

from srtoolbox.config.evaluator.functions import FUNCTIONS
from srtoolbox.errors import ConfigError

_WIDTH = 100


def dump(config: Mapping[str, Any]) -> str:
    """`key = value` lines in the config's order; names that shadow a function come last.

    Raises:
        ConfigError: a top-level key cannot be written as a Python name.
    """
    for key in config:
        if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key) or key == "_base_":
            raise ConfigError(f"the top-level key {key!r} cannot be written as a Python name; rename it")
    ordered = sorted(config, key=lambda key: key in FUNCTIONS)
    return "".join(f"{key} = {_written(config[key], '')}\n" for key in ordered)


def _written(value: Any, indent: str) -> str:  # noqa: ANN401 - any config value
    if isinstance(value, Mapping | list | tuple):
        line = _joined(value, "", one_line=True)
        if len(indent) + len(line) <= _WIDTH:
            return line
        return _joined(value, indent + "    ", one_line=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, set):
        return "set(" + (_written(sorted(value, key=repr), indent) if value else "") + ")"
    if isinstance(value, str):
        return repr(value).replace("{{", r"{\x7b")  # a literal `{{` must not be taken for a template
    return repr(value)


def _joined(value: Any, indent: str, one_line: bool) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        as_call = all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value)
        left, right = ("dict(", ")") if as_call else ("{", "}")
        parts = [f"{key if as_call else _written(key, '')}{'=' if as_call else ': '}" for key in value]
        parts = [part + _written(item, indent) for part, item in zip(parts, value.values(), strict=True)]
    else:
        left, right = "[]" if isinstance(value, list) else "()"
        parts = [_written(item, indent) for item in value]
    if one_line:
        comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
        return left + ", ".join(parts) + comma + right
    return left + "".join(f"\n{indent}{part}," for part in parts) + "\n" + indent[:-4] + right
