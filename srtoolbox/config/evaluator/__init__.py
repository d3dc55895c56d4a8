"""Config files evaluated over their syntax tree, by an allow-list: the statements."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, TypeGuard

from srtoolbox.config.evaluator.budget import Refused, iterate, listed, put
from srtoolbox.config.evaluator.calls import call_method
from srtoolbox.config.evaluator.expressions import Expressions, check_attribute
from srtoolbox.config.evaluator.operators import BINARY, arithmetic
from srtoolbox.config.values import ConfigDict, Value
from srtoolbox.errors import ConfigError

_SIGNALS = {ast.Pass: None, ast.Break: "break", ast.Continue: "continue"}
_IMPORT = (
    "imports are refused: a config is data. Name code in custom_imports = ['module', './file.py'] "
    "or give `--plugin FILE`; name base configs in _base_ = ['file.py']"
)
_DEF = "`def` is not allowed: a config is data and runs no code"
_REFUSED = {
    ast.Import: _IMPORT,
    ast.ImportFrom: _IMPORT,
    ast.With: "`with` is not allowed in a config",
    ast.FunctionDef: _DEF,
    ast.AsyncFunctionDef: _DEF,
    ast.ClassDef: "`class` is not allowed: a config is data and runs no code",
    ast.While: "`while` is not allowed; loop with `for`",
    ast.Try: "`try` is not allowed in a config",
    ast.Raise: "`raise` is not allowed in a config",
    ast.Global: "`global` is not allowed in a config",
}


class Evaluator(Expressions):
    """Runs the statements of one file; what it binds at the top level is in `names`."""

    at_assignment: Callable[[str, Any], Any]

    def run(self, module: ast.Module, at_assignment: Callable[[str, Any], Any]) -> None:
        """Run a file; `at_assignment(name, value)`, an override, returns the value to bind."""
        self.at_assignment = at_assignment
        for statement in module.body:
            self.guarded(statement, lambda node: self._execute(node, top=True))

    def _execute(self, node: ast.stmt, top: bool = False) -> str | None:
        if top and _is_assignment(node, "_base_"):
            return None  # the loader has read it
        if isinstance(node, ast.With) and "read_base" in ast.unparse(node.items[0]):
            raise Refused(
                "this is a new-style MMEngine config (`with read_base()`), which imports code. Write the "
                "classes' names as strings and the base files as _base_ = ['file.py']"
            )
        if type(node) in _REFUSED:
            raise Refused(_REFUSED[type(node)])
        if type(node) in _SIGNALS:
            return _SIGNALS[type(node)]
        if isinstance(node, ast.Assign | ast.AnnAssign):
            if node.value is not None:
                value = self.evaluate(node.value)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self._assign(target, value, top)
            return None
        handler = getattr(self, f"_run_{type(node).__name__}", None)
        if handler is None:
            raise Refused(f"the statement {type(node).__name__} is not allowed in a config")
        return handler(node)

    def _block(self, statements: list[ast.stmt]) -> str | None:
        for statement in statements:
            signal = self.guarded(statement, self._execute)
            if signal is not None:
                return signal
        return None

    def _assign(self, target: ast.expr, value: Value, top: bool = False) -> None:
        """Bind a name, also several (`epochs, batch = 250, 16`), or set a key or an item.

        At the top level a plain name takes what the command line has for it.
        """
        if isinstance(target, ast.Name):
            if target.id == "_base_":
                usage = "_base_ = 'file.py' or a list of files"
                raise Refused(f"_base_ is assigned once, at the top level: {usage}")
            value = self.at_assignment(target.id, value) if top else value
            self.names.put(target.id, value, self.origin(target))
        elif isinstance(target, ast.Tuple | ast.List):
            for part, item in self.unpacked(target, value):
                self._assign(part, item, top)
        elif isinstance(target, ast.Attribute):
            holder = self.evaluate(target.value)
            check_attribute(holder, target.attr)
            put(holder, target.attr, value, self.origin(target), self.budget)
        elif isinstance(target, ast.Subscript):
            self._set_item(target, value)
        else:
            raise Refused(f"cannot assign to {type(target).__name__}")

    def _set_item(self, target: ast.Subscript, value: Value) -> None:
        holder = self.evaluate(target.value)
        home, key = self.reached
        index = self.evaluate(target.slice)
        if isinstance(holder, ConfigDict):
            put(holder, index, value, self.origin(target), self.budget)
        elif isinstance(holder, list):
            holder[index] = listed(value, self.budget) if isinstance(index, slice) else value
            outer = dict.get(home, key)
            if isinstance(outer, list) and not isinstance(value, ConfigDict):  # which has its own
                home.put(key, outer, self.origin(target))
        else:
            raise Refused(f"items of a {type(holder).__name__} cannot be assigned")

    def _run_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        old, value = self.evaluate(node.target), self.evaluate(node.value)
        operate = BINARY.get(type(node.op))
        if operate is None:
            raise Refused("the operator @= is not allowed")
        if isinstance(old, list) and operate is operator.add:
            old.extend(listed(value, self.budget))  # in place, as in Python
            self.budget.pay(old)
        elif isinstance(old, ConfigDict) and operate is operator.or_:
            call_method(old, "update", [value], {}, self.budget, self.origin(node))
        else:
            old = arithmetic(operate, old, value, self.budget)
        self._assign(node.target, old)

    def _run_Delete(self, node: ast.Delete) -> None:  # noqa: N802
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.evaluate(target)  # refuses a name that is not there
                holder, key = self.names, target.id
            elif isinstance(target, ast.Attribute):
                holder, key = self.evaluate(target.value), target.attr
                check_attribute(holder, key)
            elif isinstance(target, ast.Subscript):
                holder, key = self.evaluate(target.value), self.evaluate(target.slice)
            else:
                raise Refused("only names, keys and items can be deleted")
            if not isinstance(holder, ConfigDict | list):
                raise Refused(f"items of a {type(holder).__name__} cannot be deleted")
            if isinstance(holder, ConfigDict):
                holder[self.budget.key(key)]  # raises with the nearest key
            del holder[key]

    def _run_Expr(self, node: ast.Expr) -> None:  # noqa: N802
        self.evaluate(node.value)

    def _run_Assert(self, node: ast.Assert) -> None:  # noqa: N802
        if not self.evaluate(node.test):
            message = self.evaluate(node.msg) if node.msg else ast.unparse(node.test)[:200]
            raise ConfigError(f"{self.origin(node)}: assertion failed: {message}")

    def _run_If(self, node: ast.If) -> str | None:  # noqa: N802
        return self._block(node.body if self.evaluate(node.test) else node.orelse)

    def _run_For(self, node: ast.For) -> str | None:  # noqa: N802
        for item in iterate(self.evaluate(node.iter), self.budget):
            self._assign(node.target, item)
            if self._block(node.body) == "break":
                return None
        return self._block(node.orelse)


def assignments(module: ast.Module, name: str) -> list[ast.Assign]:
    """Return the top-level assignments `name = ...` of a file."""
    return [node for node in module.body if _is_assignment(node, name)]


def _is_assignment(node: ast.stmt, name: str) -> TypeGuard[ast.Assign]:
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    return isinstance(target, ast.Name) and target.id == name
