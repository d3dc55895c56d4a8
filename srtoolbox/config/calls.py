"""Calls: of allowed functions, and of allowed methods of dicts, lists and strings."""

from __future__ import annotations

import ast
from typing import Any

from srtoolbox.config.budget import Refused
from srtoolbox.config.comprehensions import Comprehensions
from srtoolbox.config.containers import put_all
from srtoolbox.config.functions import FUNCTIONS, TYPES, call_function
from srtoolbox.config.methods import DICT_METHODS, call_method
from srtoolbox.config.values import ConfigDict
from srtoolbox.registry import did_you_mean


class Expressions(Comprehensions):
    """Evaluates every expression a config may hold."""

    def _Call(self, node: ast.Call) -> Any:  # noqa: ANN401, N802
        if isinstance(node.func, ast.Attribute):
            return self._method_call(node)
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name is None or name not in FUNCTIONS or name in self.names:
            if name == "isinstance":
                return self._isinstance(node)
            hint = did_you_mean(name, FUNCTIONS) if name else ""
            called = repr(name) if name else "a value"
            raise Refused(f"calling {called} is not allowed: a config is data and runs no code.{hint}")
        return call_function(name, *self._arguments(node), self.budget, self.origin(node))

    def _arguments(self, node: ast.Call) -> tuple[list[Any], ConfigDict]:
        args = list(self.items(node.args))
        kwargs = ConfigDict(origin=self.origin(node))
        for keyword in node.keywords:
            if keyword.arg is None:
                put_all(kwargs, self.mapping(keyword.value), self.budget, self.origin(keyword))
            else:
                kwargs.put(keyword.arg, self.evaluate(keyword.value), self.origin(keyword))
        return args, kwargs

    def _method_call(self, node: ast.Call) -> Any:  # noqa: ANN401
        value, name = self.evaluate(node.func.value), node.func.attr
        if name.startswith("_"):
            raise Refused(f"the attribute {name!r} is refused")
        if isinstance(value, ConfigDict) and name not in DICT_METHODS:
            raise Refused(f"a dict has no method {name!r} for configs.{did_you_mean(name, DICT_METHODS)}")
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
