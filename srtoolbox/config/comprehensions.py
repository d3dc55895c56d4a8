"""Comprehensions, and the unpacking of values into several names."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from srtoolbox.config.budget import Refused
from srtoolbox.config.containers import iterate, taken
from srtoolbox.config.evaluator import Values
from srtoolbox.config.values import ConfigDict


class Comprehensions(Values):
    """Adds list, set and dict comprehensions; generator expressions become lists."""

    def _ListComp(self, node: ast.ListComp) -> list:  # noqa: N802
        return self._collected(node, lambda: self.evaluate(node.elt))

    _GeneratorExp = _ListComp

    def _SetComp(self, node: ast.SetComp) -> set:  # noqa: N802
        return set(self._collected(node, lambda: self.budget.key(self.evaluate(node.elt))))

    def _DictComp(self, node: ast.DictComp) -> ConfigDict:  # noqa: N802
        made = ConfigDict(origin=self.origin(node))

        def add() -> None:
            key = self.budget.key(self.evaluate(node.key))
            made.put(key, self.evaluate(node.value), self.origin(node.key))

        self._collected(node, add)
        return self.budget.made(made)

    def _collected(self, node: ast.expr, action: Callable[[], Any]) -> list[Any]:
        made: list[Any] = []
        self.scopes.append({})
        try:
            self._loop(node.generators, lambda: made.append(action()))
        finally:
            self.scopes.pop()
        return self.budget.made(made)

    def _loop(self, generators: list[ast.comprehension], action: Callable[[], None]) -> None:
        if not generators:
            action()
            return
        first, rest = generators[0], generators[1:]
        for item in iterate(self.evaluate(first.iter), self.budget):
            self.bind(first.target, item, self.scopes[-1])
            if all(self.evaluate(condition) for condition in first.ifs):
                self._loop(rest, action)

    def bind(self, target: ast.expr, value: Any, names: dict[str, Any]) -> None:  # noqa: ANN401
        """Bind a name, or unpack a value into a tuple of targets, in a plain scope."""
        if isinstance(target, ast.Name):
            names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            for part, item in self.unpacked(target, value):
                self.bind(part, item, names)
        else:
            raise Refused("only names and tuples of names can be loop variables here")

    def unpacked(self, target: ast.Tuple | ast.List, value: Any) -> list[tuple[ast.expr, Any]]:  # noqa: ANN401
        """Pair the parts of a tuple target with the items of a value; one part may be starred."""
        parts, items = target.elts, taken(value, self.budget)
        stars = [index for index, part in enumerate(parts) if isinstance(part, ast.Starred)]
        if len(items) < len(parts) - len(stars) or (not stars and len(items) != len(parts)):
            raise Refused(f"cannot unpack {len(items)} values into {len(parts)} names")
        if not stars:
            return list(zip(parts, items, strict=True))
        before, after = stars[0], len(parts) - stars[0] - 1
        middle = items[before : len(items) - after]
        tail = items[len(items) - after :]
        return [
            *zip(parts[:before], items, strict=False),
            (parts[before].value, middle),
            *zip(parts[before + 1 :], tail, strict=True),
        ]
