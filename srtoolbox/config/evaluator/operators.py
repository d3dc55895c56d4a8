"""The operators of configs, and text from values: huge results are refused beforehand."""

from __future__ import annotations

import ast
import operator
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from srtoolbox.config.evaluator.budget import BITS, WIDTH, Budget, Refused, update
from srtoolbox.config.values import ConfigDict, Value, inherited

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: _contains(b, a),
    ast.NotIn: lambda a, b: not _contains(b, a),
}


def arithmetic(operate: Callable[[Any, Any], Any], a: Value, b: Value, budget: Budget) -> Value:
    """Return `operate(a, b)`, of BINARY, unless the result would be huge."""
    if operate is operator.mod and isinstance(a, str):
        return _percent(a, b, budget)
    if operate is operator.mul:
        _check_product(a, b, budget)
    elif operate is operator.pow and isinstance(a, int) and isinstance(b, int):
        if abs(b) > 1 and a.bit_length() * abs(b) > BITS:
            raise Refused(f"{_short(a)} ** {_short(b)} is too large (at most {BITS} bits)")
    elif operate is operator.lshift and isinstance(a, int) and isinstance(b, int):
        if a.bit_length() + b > BITS:
            raise Refused(f"a shift to more than {BITS} bits is refused")
    elif isinstance(a, set | dict):  # the work goes by the operands, the result may be small
        budget.pay(a), budget.pay(b)
    if operate is operator.or_ and isinstance(a, ConfigDict) and isinstance(b, ConfigDict):
        is_inherited = a._inherited or b._inherited
        if is_inherited:
            budget.measure(a)
        union = inherited(a) if is_inherited else a.copy()
        update(union, b, budget, b._origin or a._origin)
        return union
    return budget.pay(operate(a, b))


def _check_product(a: Value, b: Value, budget: Budget) -> None:
    for part, count in ((a, b), (b, a)):
        if isinstance(part, str | list | tuple) and isinstance(count, int):
            kind = "string" if isinstance(part, str) else type(part).__name__
            budget.length(len(part) * max(count, 0), kind)


def _short(number: int) -> str:
    return str(number) if number.bit_length() < 64 else f"(a number of {number.bit_length()} bits)"


def _contains(holder: Value, value: object) -> bool:
    if isinstance(holder, range) and not isinstance(value, int):  # a walk over the range
        raise Refused(f"`in` a range needs an int, this is a {type(value).__name__}")
    return value in holder


def text(value: object, budget: Budget, conversion: str | None = None) -> str:
    """Return `str(value)`, or `repr`/`ascii` by conversion 'r'/'a'."""
    budget.measure(value)
    return budget.pay({"r": repr, "a": ascii}.get(conversion or "s", str)(value))


def formatted(value: object, spec: str, budget: Budget) -> str:
    """Return `format(value, spec)` with a bounded width and precision."""
    if not spec:
        return text(value, budget)
    _check_widths(spec)
    if not isinstance(value, str | int | float):
        raise Refused(f"a {type(value).__name__} takes no format {spec!r}")
    return budget.pay(format(value, spec))


def _percent(template: str, values: object, budget: Budget) -> str:
    """Return `template % values` with bounded widths."""
    if "%" in template and re.search(r"%[^a-zA-Z%]*\*", template):
        raise Refused("'*' as a width in a % format is refused")
    _check_widths(template if "%" in template else "")
    budget.measure(values)
    budget.length(len(template), "string")
    items = values if isinstance(values, tuple) else (values,)
    if isinstance(values, Mapping):
        items = tuple(values.values())
    largest = max(map(_size, items), default=0)
    budget.length(len(template) + template.count("%") * (largest + WIDTH), "string")
    return budget.pay(template % values)


def format_call(template: str, args: Sequence, kwargs: Mapping, budget: Budget) -> str:
    """Return `template.format(*args, **kwargs)`; fields may be subscripted, never dotted."""
    return budget.pay(_SafeFormatter(budget).vformat(template, args, kwargs))


class _SafeFormatter(string.Formatter):
    """Formats without attribute access, and pays for the text."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.length = 0

    def get_field(self, field_name: str, args: Sequence, kwargs: Mapping) -> tuple[Any, Any]:
        if "." in field_name:
            raise Refused(f"attribute access in a format is refused: {{{field_name}}}")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: object, format_spec: str) -> str:
        part = formatted(value, format_spec, self.budget)
        self.length += len(part)
        self.budget.length(self.length, "string")
        return part

    def convert_field(self, value: Value, conversion: str | None) -> Value:
        return value if conversion is None else text(value, self.budget, conversion)


def _check_widths(spec: str) -> None:
    for number in re.findall(r"\d+", spec):
        if len(number) > 4 or int(number) > WIDTH:
            raise Refused(f"a format width of {number[:20]} is refused (at most {WIDTH})")


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) + 4 for key, item in value.items())
    if isinstance(value, list | tuple | set):
        return sum(_size(item) + 2 for item in value)
    return 8 + value.bit_length() // 3 if isinstance(value, int) else 40
