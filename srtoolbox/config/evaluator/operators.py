"""The operators of configs; what would be huge is refused before it is computed."""

from __future__ import annotations

import ast
import operator
from typing import Any

from srtoolbox.config.evaluator.budget import BITS, Budget, Refused
from srtoolbox.config.evaluator.containers import put_all
from srtoolbox.config.evaluator.formatting import percent

BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}
UNARY = {ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_, ast.Invert: operator.invert}
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
_PLAIN_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "/": operator.truediv,
    "//": operator.floordiv,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    ">>": operator.rshift,
}


def arithmetic(symbol: str, a: Any, b: Any, budget: Budget) -> Any:  # noqa: ANN401
    """`a <symbol> b`, refused before it is computed where the result would be huge."""
    if symbol == "*":
        return budget.made(_product(a, b, budget))
    if symbol == "**":
        return budget.made(_power(a, b))
    if symbol == "<<":
        if isinstance(b, int) and isinstance(a, int) and a.bit_length() + b > BITS:
            raise Refused(f"a shift to more than {BITS} bits is refused")
        return budget.made(a << b)
    if symbol == "%":
        return percent(a, b, budget) if isinstance(a, str) else budget.made(a % b)
    if isinstance(a, set | dict):  # the work goes by the operands, the result may be small
        budget.made(a), budget.made(b)
    if symbol == "|" and isinstance(a, dict) and isinstance(b, dict):
        made = a.copy()
        put_all(made, b, budget, made._origin)
        return made
    return budget.made(_PLAIN_OPERATORS[symbol](a, b))


def _product(a: Any, b: Any, budget: Budget) -> Any:  # noqa: ANN401
    if isinstance(a, int) and isinstance(b, str | list | tuple):
        a, b = b, a
    if isinstance(a, str | list | tuple) and isinstance(b, int):
        budget.length(len(a) * max(b, 0), "string" if isinstance(a, str) else type(a).__name__)
    return a * b


def _power(a: Any, b: Any) -> Any:  # noqa: ANN401
    if isinstance(a, int) and isinstance(b, int) and abs(b) > 1 and a.bit_length() * abs(b) > BITS:
        raise Refused(f"{_short(a)} ** {_short(b)} is too large (at most {BITS} bits)")
    return a**b


def _short(number: int) -> str:
    return str(number) if number.bit_length() < 64 else f"(a number of {number.bit_length()} bits)"


def _contains(holder: Any, value: Any) -> bool:  # noqa: ANN401
    if isinstance(holder, range) and not isinstance(value, int):  # Python would walk the whole range
        raise Refused(f"`in` a range needs an int, this is a {type(value).__name__}")
    return value in holder
