"""Expressions of a config file, evaluated over their syntax tree by an allow-list."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from srtoolbox.config.evaluator.budget import DEPTH, Budget, Refused, iterate, listed, put_all
from srtoolbox.config.evaluator.calls import DICT_METHODS, FUNCTIONS, TYPES, call_function, call_method
from srtoolbox.config.evaluator.operators import BINARY, COMPARE, UNARY, arithmetic, formatted, text
from srtoolbox.config.values import ConfigDict, Origin, Value
from srtoolbox.errors import ConfigError
from srtoolbox.text import did_you_mean

Node = TypeVar("Node", bound=ast.expr | ast.stmt)
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_FAULTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
_NAMES = {
    ast.Lambda: "`lambda`",
    ast.Await: "`await`",
    ast.Yield: "`yield`",
    ast.YieldFrom: "`yield`",
    ast.NamedExpr: "`:=`",
    ast.Starred: "`*` here",
}


class Expressions:
    """Evaluates the expressions of one file; generator expressions become lists.

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
        self.file, self.budget, self.depth = file, budget, 0
        self.names = ConfigDict() if names is None else names
        self.outer = dict(outer or {})
        self.scopes: list[dict[str, Any]] = []  # loop variables of comprehensions, innermost last
        self.used: set[str] = set()
        self.reached: tuple[ConfigDict, Any] = self.names, None  # the key read last, and its dict

    def origin(self, node: ast.expr | ast.stmt | ast.keyword) -> Origin:
        """Return the place of a node."""
        return Origin(self.file, node.lineno)

    def guarded(self, node: Node, action: Callable[[Node], Value]) -> Value:
        """Return `action(node)`; every failure becomes a ConfigError that names file and line."""
        self.depth += 1
        try:
            self.budget.spend(1)
            if self.depth > DEPTH:
                raise Refused(f"nested deeper than {DEPTH} levels")
            return action(node)
        except Refused as refusal:
            raise ConfigError(f"{self.origin(node)}: {refusal}") from None
        except _FAULTS as error:
            is_key = isinstance(error, KeyError)
            message = error.args[0] if is_key else f"{type(error).__name__}: {error}"
            raise ConfigError(f"{self.origin(node)}: {message}") from None
        finally:
            self.depth -= 1

    def evaluate(self, node: ast.expr) -> Value:
        """Return the value of an expression."""
        return self.guarded(node, self._evaluate)

    def _evaluate(self, node: ast.expr) -> Value:
        handler = getattr(self, f"_{type(node).__name__}", None)
        if handler is None:
            name = _NAMES.get(type(node), type(node).__name__)
            raise Refused(f"{name} is not allowed: a config is data")
        return handler(node)

    def _Constant(self, node: ast.Constant) -> Value:  # noqa: N802
        if node.value is Ellipsis:
            raise Refused("`...` is not a config value")
        return self.budget.pay(node.value)

    def _Name(self, node: ast.Name) -> Value:  # noqa: N802
        name = node.id
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        self.used.add(name)
        self.reached = self.names, name
        if name in self.names:
            return dict.__getitem__(self.names, name)
        if name in self.outer:
            return self.outer[name]
        if name in FUNCTIONS:
            raise Refused(f"the function {name!r} can only be called, not used as a value")
        hint = did_you_mean(name, {*self.names, *self.outer, *FUNCTIONS})
        raise Refused(f"name {name!r} is not defined in this file or allowed in a config.{hint}")

    def _Attribute(self, node: ast.Attribute) -> Value:  # noqa: N802
        value = self.evaluate(node.value)
        check_attribute(value, node.attr)
        if value is self.outer.get("_base_"):
            self.used.add(node.attr)
        self.reached = value, node.attr
        return value[node.attr]

    def _Subscript(self, node: ast.Subscript) -> Value:  # noqa: N802
        value, reached, index = self.evaluate(node.value), self.reached, self.evaluate(node.slice)
        self.reached = (value, index) if isinstance(value, ConfigDict) else reached
        if not isinstance(value, dict | list | tuple | str | range):
            raise Refused(f"a {type(value).__name__} cannot be subscripted")
        if value is self.outer.get("_base_"):
            self.used.add(index)
        item = value[self.budget.key(index) if isinstance(value, dict) else index]
        return self.budget.pay(item) if isinstance(node.slice, ast.Slice) else item

    def _Slice(self, node: ast.Slice) -> slice:  # noqa: N802
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else self.evaluate(part) for part in parts))

    def _List(self, node: ast.List) -> list:  # noqa: N802
        return self.budget.pay(list(self.items(node.elts)))

    def _Tuple(self, node: ast.Tuple) -> tuple:  # noqa: N802
        return self.budget.pay(tuple(self.items(node.elts)))

    def _Set(self, node: ast.Set) -> set:  # noqa: N802
        return self.budget.pay({self.budget.key(item) for item in self.items(node.elts)})

    def items(self, nodes: list[ast.expr]) -> Iterator[Any]:
        """Yield the values of a display or of arguments, `*parts` spread out."""
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from listed(self.evaluate(node.value), self.budget)
            else:
                yield self.evaluate(node)

    def _Dict(self, node: ast.Dict) -> ConfigDict:  # noqa: N802
        result = ConfigDict.at(self.origin(node))
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                put_all(result, self.mapping(value), self.budget, self.origin(value))
            else:
                name = self.budget.key(self.evaluate(key))
                result.put(name, self.evaluate(value), self.origin(key))
        return self.budget.pay(result)

    def mapping(self, node: ast.expr) -> ConfigDict:
        """Return the dict behind a `**`."""
        value = self.evaluate(node)
        if not isinstance(value, ConfigDict):
            raise Refused(f"`**` needs a dict, this is a {type(value).__name__}")
        return value

    def _BinOp(self, node: ast.BinOp) -> Value:  # noqa: N802
        operate = BINARY.get(type(node.op))
        if operate is None:
            raise Refused("the operator @ is not allowed")
        return arithmetic(operate, self.evaluate(node.left), self.evaluate(node.right), self.budget)

    def _UnaryOp(self, node: ast.UnaryOp) -> Value:  # noqa: N802
        return self.budget.pay(UNARY[type(node.op)](self.evaluate(node.operand)))

    def _BoolOp(self, node: ast.BoolOp) -> Value:  # noqa: N802
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
            if not COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _IfExp(self, node: ast.IfExp) -> Value:  # noqa: N802
        return self.evaluate(node.body if self.evaluate(node.test) else node.orelse)

    def _JoinedStr(self, node: ast.JoinedStr) -> str:  # noqa: N802
        return self.budget.pay("".join([self.evaluate(part) for part in node.values]))

    def _FormattedValue(self, node: ast.FormattedValue) -> str:  # noqa: N802
        value = self.evaluate(node.value)
        if node.conversion != -1:
            value = text(value, self.budget, chr(node.conversion))
        spec = self.evaluate(node.format_spec) if node.format_spec else ""
        return formatted(value, spec, self.budget)

    def _Call(self, node: ast.Call) -> Value:  # noqa: N802
        if isinstance(node.func, ast.Attribute):
            return self._method_call(node, node.func)
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name is None or name not in FUNCTIONS or name in self.names:
            if name == "isinstance":
                return self._isinstance(node)
            hint = did_you_mean(name, FUNCTIONS) if name else ""
            fault = f"calling {repr(name) if name else 'a value'} is not allowed"
            raise Refused(f"{fault}: a config is data and runs no code.{hint}")
        return call_function(name, *self._arguments(node), self.budget, self.origin(node))

    def _arguments(self, node: ast.Call) -> tuple[list[Any], ConfigDict]:
        args = list(self.items(node.args))
        kwargs = ConfigDict.at(self.origin(node))
        for keyword in node.keywords:
            if keyword.arg is None:
                put_all(kwargs, self.mapping(keyword.value), self.budget, self.origin(keyword))
            else:
                kwargs.put(keyword.arg, self.evaluate(keyword.value), self.origin(keyword))
        return args, kwargs

    def _method_call(self, node: ast.Call, method: ast.Attribute) -> Value:
        value, name = self.evaluate(method.value), method.attr
        if name.startswith("_"):
            raise Refused(f"the attribute {name!r} is refused")
        if isinstance(value, ConfigDict) and name not in DICT_METHODS:
            hint = did_you_mean(name, DICT_METHODS)
            raise Refused(f"a dict has no method {name!r} for configs.{hint}")
        args, kwargs = self._arguments(node)
        if value is self.outer.get("_base_"):
            self.used.update(arg for arg in args[:1] if isinstance(arg, str))
        return call_method(value, name, args, kwargs, self.budget, self.origin(node))

    def _isinstance(self, node: ast.Call) -> bool:
        if len(node.args) != 2 or node.keywords:
            raise Refused("isinstance takes a value and a type or a tuple of types")
        kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
        names = [kind.id if isinstance(kind, ast.Name) else "" for kind in kinds]
        if not set(names) <= set(TYPES):
            raise Refused(f"isinstance knows the types {', '.join(TYPES)}")
        return isinstance(self.evaluate(node.args[0]), tuple(TYPES[name] for name in names))

    def _ListComp(self, node: ast.ListComp | ast.GeneratorExp) -> list:  # noqa: N802
        return self._collected(node, lambda: self.evaluate(node.elt))

    _GeneratorExp = _ListComp

    def _SetComp(self, node: ast.SetComp) -> set:  # noqa: N802
        return set(self._collected(node, lambda: self.budget.key(self.evaluate(node.elt))))

    def _DictComp(self, node: ast.DictComp) -> ConfigDict:  # noqa: N802
        result = ConfigDict.at(self.origin(node))
        pairs = self._collected(node, lambda: (self.budget.key(self.evaluate(node.key)), self.evaluate(node.value)))
        for key, value in pairs:
            result.put(key, value, self.origin(node.key))
        return self.budget.pay(result)

    def _collected(self, node: Comprehension, action: Callable[[], Any]) -> list[Any]:
        self.scopes.append({})
        try:
            return self.budget.pay([action() for _ in self._turns(node.generators)])
        finally:
            self.scopes.pop()

    def _turns(self, generators: list[ast.comprehension]) -> Iterator[None]:
        """Bind the loop variables of a comprehension, turn by turn."""
        if not generators:
            yield
            return
        first, *rest = generators
        for item in iterate(self.evaluate(first.iter), self.budget):
            self._bind(first.target, item)
            if all(self.evaluate(condition) for condition in first.ifs):
                yield from self._turns(rest)

    def _bind(self, target: ast.expr, value: Value) -> None:
        """Bind a loop variable, or several, in the innermost scope."""
        if isinstance(target, ast.Name):
            self.scopes[-1][target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            for part, item in self.unpacked(target, value):
                self._bind(part, item)
        else:
            raise Refused("only names and tuples of names can be loop variables here")

    def unpacked(self, target: ast.Tuple | ast.List, value: Value) -> Iterator[tuple]:
        """Pair the parts of a tuple target with the items of a value; one part may be starred."""
        parts, items = target.elts, listed(value, self.budget)
        star = next((part for part in parts if isinstance(part, ast.Starred)), None)
        spare = len(items) - len(parts) + (star is not None)
        if spare < 0 or (spare and star is None):
            raise Refused(f"cannot unpack {len(items)} values into {len(parts)} names")
        rest = iter(items)
        for part in parts:
            if star is not None and part is star:
                yield star.value, [next(rest) for _ in range(spare)]
            else:
                yield part, next(rest)


def check_attribute(value: Value, name: str) -> None:
    """Refuse an attribute of anything but a dict, and every dunder."""
    if name.startswith("__"):
        raise Refused(f"the attribute {name!r} is refused")
    if not isinstance(value, ConfigDict):
        raise Refused(f"a {type(value).__name__} has no attribute {name!r} for configs")
