"""String formatting for configs: f-strings, `%` and `str.format`, with bounded widths and no attribute access."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from srtoolbox.config.evaluator.budget import WIDTH, Budget, Refused

_NUMBER = re.compile(r"\d+")


def text(value: Any, budget: Budget, conversion: str | None = None) -> str:  # noqa: ANN401 - any config value
    """`str(value)`, or `repr`/`ascii` by conversion 'r'/'a'."""
    budget.measure(value)
    made = {"r": repr, "a": ascii}.get(conversion or "s", str)(value)
    return budget.made(made)


def formatted(value: Any, spec: str, budget: Budget) -> str:  # noqa: ANN401
    """`format(value, spec)` with a bounded width and precision."""
    if not spec:
        return text(value, budget)
    _check_widths(spec)
    if not isinstance(value, str | int | float):
        raise Refused(f"a {type(value).__name__} takes no format {spec!r}")
    return budget.made(format(value, spec))


def percent(template: str, values: Any, budget: Budget) -> str:  # noqa: ANN401
    """`template % values` with bounded widths."""
    if "%" in template and re.search(r"%[^a-zA-Z%]*\*", template):
        raise Refused("'*' as a width in a % format is refused")
    _check_widths(template if "%" in template else "")
    budget.measure(values)
    budget.length(len(template), "string")
    arguments = values if isinstance(values, tuple | Mapping) else (values,)
    largest = max(map(_size, arguments.values() if isinstance(arguments, Mapping) else arguments), default=0)
    budget.length(len(template) + template.count("%") * (largest + WIDTH), "string")
    return budget.made(template % values)


def format_call(template: str, args: Sequence[Any], kwargs: Mapping[str, Any], budget: Budget) -> str:
    """`template.format(*args, **kwargs)`; fields may be subscripted, never dotted."""
    return budget.made(_SafeFormatter(budget).vformat(template, args, kwargs))


class _SafeFormatter(string.Formatter):
    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.made_so_far = 0

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        if "." in field_name:
            raise Refused(f"attribute access in a format is refused: {{{field_name}}}")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401
        made = formatted(value, format_spec, self.budget)
        self.made_so_far += len(made)
        self.budget.length(self.made_so_far, "string")
        return made

    def convert_field(self, value: Any, conversion: str | None) -> Any:  # noqa: ANN401
        return value if conversion is None else text(value, self.budget, conversion)


def _check_widths(spec: str) -> None:
    for number in _NUMBER.findall(spec):
        if len(number) > 4 or int(number) > WIDTH:
            raise Refused(f"a format width of {number[:20]} is refused (at most {WIDTH})")


def _size(value: Any) -> int:  # noqa: ANN401
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) + 4 for key, item in value.items())
    if isinstance(value, list | tuple | set):
        return sum(_size(item) + 2 for item in value)
    return 40 if not isinstance(value, int) else 8 + value.bit_length() // 3
