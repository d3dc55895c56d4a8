"""Expressions of a config file, evaluated over their syntax tree by an allow-list, without Python's own `eval`.

Here: literals, names, displays, operators, f-strings. `comprehensions.py` and `calls.py` build on it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from srtoolbox.config.budget import DEPTH, Budget, Refused
from srtoolbox.config.containers import put_all, taken
from srtoolbox.config.formatting import formatted, text
from srtoolbox.config.functions import FUNCTIONS
from srtoolbox.config.operators import arithmetic
from srtoolbox.config.values import ConfigDict, Origin
from srtoolbox.errors import ConfigError
from srtoolbox.registry import did_you_mean

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
_UNARY = {ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_, ast.Invert: operator.invert}
_COMPARE = {
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
_FAULTS = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)


class Values:
    """Evaluates expressions of one file, but for comprehensions and calls.

    Args:
        file: the name shown in messages.
        budget: what the whole config may cost.
        names: bindings of the file, read and (by statements) written.
        outer: bindings behind them that are not part of the file: `_base_`, `data_root`.

    Raises:
        ConfigError: from every evaluation that is refused or fails, with file and line.
    """

    def __init__(
        self, file: str, budget: Budget, names: ConfigDict | None = None, outer: Mapping[str, Any] | None = None
    ) -> None:
        self.file = file
        self.budget = budget
        self.names = ConfigDict() if names is None else names
        self.outer = dict(outer or {})
        self.scopes: list[dict[str, Any]] = []  # loop variables of comprehensions, innermost last
        self.used: set[str] = set()
        self.depth = 0

    def origin(self, node: ast.AST) -> Origin:
        """Where a node stands."""
        return Origin(self.file, node.lineno)

    def guarded(self, node: ast.AST, action: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - any config value
        """`action(node)`, with every failure turned into a ConfigError that names file and line."""
        self.depth += 1
        try:
            self.budget.spend(1)
            if self.depth > DEPTH:
                raise Refused(f"nested deeper than {DEPTH} levels")
            return action(node)
        except Refused as refusal:
            raise ConfigError(f"{self.origin(node)}: {refusal}") from None
        except _FAULTS as error:
            message = error.args[0] if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            raise ConfigError(f"{self.origin(node)}: {message}") from None
        finally:
            self.depth -= 1

    def evaluate(self, node: ast.expr) -> Any:  # noqa: ANN401
        """The value of an expression."""
        return self.guarded(node, self._evaluate)

    def _evaluate(self, node: ast.expr) -> Any:  # noqa: ANN401
        handler = getattr(self, f"_{type(node).__name__}", None)
        if handler is None:
            raise Refused(f"{_CALLED.get(type(node), type(node).__name__)} is not allowed: a config is data")
        return handler(node)

    def _Constant(self, node: ast.Constant) -> Any:  # noqa: ANN401, N802
        if node.value is Ellipsis:
            raise Refused("`...` is not a config value")
        return self.budget.made(node.value)

    def _Name(self, node: ast.Name) -> Any:  # noqa: ANN401, N802
        name = node.id
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        self.used.add(name)
        if name in self.names:
            return dict.__getitem__(self.names, name)
        if name in self.outer:
            return self.outer[name]
        if name in FUNCTIONS:
            raise Refused(f"the function {name!r} can only be called, not used as a value")
        known = {*self.names, *self.outer, *FUNCTIONS}
        raise Refused(f"name {name!r} is not defined in this file or allowed in a config.{did_you_mean(name, known)}")

    def _Attribute(self, node: ast.Attribute) -> Any:  # noqa: ANN401, N802
        value = self.evaluate(node.value)
        check_attribute(value, node.attr)
        if value is self.outer.get("_base_"):
            self.used.add(node.attr)
        return value[node.attr]

    def _Subscript(self, node: ast.Subscript) -> Any:  # noqa: ANN401, N802
        value, index = self.evaluate(node.value), self.evaluate(node.slice)
        if not isinstance(value, dict | list | tuple | str | range):
            raise Refused(f"a {type(value).__name__} cannot be subscripted")
        if value is self.outer.get("_base_"):
            self.used.add(index)
        picked = value[self.budget.key(index) if isinstance(value, dict) else index]
        return self.budget.made(picked) if isinstance(node.slice, ast.Slice) else picked

    def _Slice(self, node: ast.Slice) -> slice:  # noqa: N802
        return slice(*(None if part is None else self.evaluate(part) for part in (node.lower, node.upper, node.step)))

    def _List(self, node: ast.List) -> list:  # noqa: N802
        return self.budget.made(list(self.items(node.elts)))

    def _Tuple(self, node: ast.Tuple) -> tuple:  # noqa: N802
        return self.budget.made(tuple(self.items(node.elts)))

    def _Set(self, node: ast.Set) -> set:  # noqa: N802
        return self.budget.made({self.budget.key(item) for item in self.items(node.elts)})

    def items(self, nodes: list[ast.expr]) -> Iterator[Any]:
        """The values of a display or of arguments, `*parts` spread out."""
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from taken(self.evaluate(node.value), self.budget)
            else:
                yield self.evaluate(node)

    def _Dict(self, node: ast.Dict) -> ConfigDict:  # noqa: N802
        made = ConfigDict(origin=self.origin(node))
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                put_all(made, self.mapping(value), self.budget, self.origin(value))
            else:
                made.put(self.budget.key(self.evaluate(key)), self.evaluate(value), self.origin(key))
        return self.budget.made(made)

    def mapping(self, node: ast.expr) -> ConfigDict:
        """The dict behind a `**`."""
        value = self.evaluate(node)
        if not isinstance(value, ConfigDict):
            raise Refused(f"`**` needs a dict, this is a {type(value).__name__}")
        return value

    def _BinOp(self, node: ast.BinOp) -> Any:  # noqa: ANN401, N802
        symbol = BINARY.get(type(node.op))
        if symbol is None:
            raise Refused("the operator @ is not allowed")
        return arithmetic(symbol, self.evaluate(node.left), self.evaluate(node.right), self.budget)

    def _UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: ANN401, N802
        return self.budget.made(_UNARY[type(node.op)](self.evaluate(node.operand)))

    def _BoolOp(self, node: ast.BoolOp) -> Any:  # noqa: ANN401, N802
        stop_at = isinstance(node.op, ast.Or)
        for part in node.values:
            value = self.evaluate(part)
            if bool(value) is stop_at:
                break
        return value

    def _Compare(self, node: ast.Compare) -> bool:  # noqa: N802
        left = self.evaluate(node.left)
        for op, part in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(part)
            self.budget.measure(left)
            self.budget.measure(right)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _IfExp(self, node: ast.IfExp) -> Any:  # noqa: ANN401, N802
        return self.evaluate(node.body if self.evaluate(node.test) else node.orelse)

    def _JoinedStr(self, node: ast.JoinedStr) -> str:  # noqa: N802
        return self.budget.made("".join([self.evaluate(part) for part in node.values]))

    def _FormattedValue(self, node: ast.FormattedValue) -> str:  # noqa: N802
        value = self.evaluate(node.value)
        if node.conversion != -1:
            value = text(value, self.budget, chr(node.conversion))
        return formatted(value, self.evaluate(node.format_spec) if node.format_spec else "", self.budget)


def _contains(holder: Any, value: Any) -> bool:  # noqa: ANN401
    if isinstance(holder, range) and not isinstance(value, int):  # Python would walk the whole range
        raise Refused(f"`in` a range needs an int, this is a {type(value).__name__}")
    return value in holder


def check_attribute(value: Any, name: str) -> None:  # noqa: ANN401
    """Refuse an attribute of anything but a dict, and every dunder."""
    if name.startswith("__"):
        raise Refused(f"the attribute {name!r} is refused")
    if not isinstance(value, ConfigDict):
        raise Refused(f"a {type(value).__name__} has no attribute {name!r} for configs")


_CALLED = {
    ast.Lambda: "`lambda`",
    ast.Await: "`await`",
    ast.Yield: "`yield`",
    ast.YieldFrom: "`yield`",
    ast.NamedExpr: "`:=`",
    ast.Starred: "`*` here",
}
