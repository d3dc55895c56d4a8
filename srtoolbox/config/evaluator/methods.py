"""The methods a config may call on its strings, lists, tuples, sets and dicts. Anything else is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from srtoolbox.config.evaluator.budget import WIDTH, Budget, Refused
from srtoolbox.config.evaluator.containers import put, put_all, taken
from srtoolbox.config.evaluator.formatting import format_call
from srtoolbox.config.evaluator.functions import make_set, sorted_list
from srtoolbox.config.values import ConfigDict, Origin, plain, wrap

# fmt: off
_STR_PLAIN = frozenset(
    (
        "lower", "upper", "title", "capitalize", "strip", "lstrip", "rstrip", "startswith", "endswith", "split",
        "rsplit", "splitlines", "partition", "rpartition", "count", "find", "rfind", "index", "rindex",
        "removeprefix", "removesuffix", "isdigit", "isalpha", "isalnum", "islower", "isupper", "swapcase",
    )
)
# fmt: on
_STR_WIDE = frozenset(("zfill", "ljust", "rjust", "center"))
_SET_PLAIN = frozenset(
    ("union", "intersection", "difference", "symmetric_difference", "issubset", "issuperset", "copy")
)
_LIST_PLAIN = frozenset(("index", "count", "remove", "reverse", "clear", "copy", "pop"))


def call_method(value: Any, name: str, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> Any:  # noqa: ANN401
    """Call `value.<name>(*args, **kwargs)` if that method is allowed for the value's type."""
    if isinstance(value, ConfigDict) and name in _DICT_METHODS:
        return _DICT_METHODS[name](value, args, kwargs, budget, origin)
    for kind, method in ((str, _str_method), (list, _list_method), (tuple, _tuple_method), (set, _set_method)):
        if isinstance(value, kind):
            budget.measure(args)
            return budget.made(method(value, name, args, kwargs, budget))
    raise Refused(f"a {type(value).__name__.replace('ConfigDict', 'dict')} has no method {name!r} for configs")


def _need(args: list[Any], count: int, name: str) -> None:
    if len(args) < count:
        raise Refused(f"the method {name!r} needs {count} argument{'s' if count > 1 else ''}, got {len(args)}")


def _refuse_method(kind: str, name: str) -> None:
    raise Refused(f"the {kind} method {name!r} is not allowed in a config")


def _str_method(value: str, name: str, args: list[Any], kwargs: dict, budget: Budget) -> Any:  # noqa: ANN401
    budget.length(len(value), "string")
    budget.spend(sum(len(value) * len(arg) // 1000 for arg in args if isinstance(arg, str)))  # searching, stripping
    if name == "format":
        return format_call(value, args, kwargs, budget)
    if name == "join":
        _need(args, 1, name)
        items = taken(args[0], budget)
        budget.length(sum(len(item) for item in items if isinstance(item, str)) + len(value) * len(items), "string")
        return value.join(items)
    if name == "replace":
        _need(args, 2, name)
        budget.length(len(value) + value.count(args[0]) * len(args[1]), "string")
        return value.replace(*args)
    if name in _STR_WIDE:
        _need(args, 1, name)
        if isinstance(args[0], int) and args[0] > WIDTH:
            raise Refused(f"a width of {args[0]} is refused (at most {WIDTH})")
        return getattr(value, name)(*args)
    if name not in _STR_PLAIN:
        _refuse_method("str", name)
    return getattr(value, name)(*args, **kwargs)


def _list_method(value: list, name: str, args: list[Any], kwargs: dict, budget: Budget) -> Any:  # noqa: ANN401
    if name == "append":
        return value.append(*args)
    if name == "extend":
        return value.extend(taken(*args, budget))
    if name == "insert":
        budget.spend(len(value) // 16)
        return value.insert(*args)
    if name == "sort":
        value[:] = sorted_list(budget, value, **kwargs)
        return None
    if name not in _LIST_PLAIN:
        _refuse_method("list", name)
    if name in ("index", "count", "remove"):
        budget.measure(value)
    budget.spend(len(value) // 16)
    return getattr(value, name)(*args, **kwargs)


def _tuple_method(value: tuple, name: str, args: list[Any], kwargs: dict, budget: Budget) -> Any:  # noqa: ANN401
    if name not in ("index", "count"):
        _refuse_method("tuple", name)
    budget.measure(value)
    return getattr(value, name)(*args)


def _set_method(value: set, name: str, args: list[Any], kwargs: dict, budget: Budget) -> Any:  # noqa: ANN401
    if name in ("add", "discard", "remove"):
        return getattr(value, name)(budget.key(*args))
    others = [make_set(budget, other) for other in args]
    if name != "update" and name not in _SET_PLAIN:
        _refuse_method("set", name)
    return getattr(value, name)(*others)


def _update(target: ConfigDict, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> None:
    given = ConfigDict(origin=origin)
    for source in [*args, kwargs]:
        put_all(given, source, budget, origin)
    for key, value in given.items():
        old = target.get(key)
        if target._inherited and isinstance(old, ConfigDict) and isinstance(value, ConfigDict):
            budget.spend(1)
            _update(old, [value], {}, budget, origin)
        else:
            put(target, key, value, given.origin_of(key) or origin, budget)


def _get(target: ConfigDict, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> Any:  # noqa: ANN401
    _need(args, 1, "get")
    budget.key(args[0])
    return dict.get(target, *args, **kwargs)


def _pop(target: ConfigDict, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> Any:  # noqa: ANN401
    _need(args, 1, "pop")
    budget.key(args[0])
    key, *default = args
    if default or target._inherited:
        return dict.pop(target, key, *(default or [kwargs.get("default")]))
    return dict.pop(target, key) if key in target else target[key]


def _setdefault(target: ConfigDict, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> Any:  # noqa: ANN401
    _need(args, 1, "setdefault")
    budget.key(args[0])
    key, *default = args
    if key not in target:
        put(target, key, default[0] if default else None, origin, budget)
    return target[key]


def _to_dict(target: ConfigDict, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> ConfigDict:
    budget.measure(target)
    return wrap(plain(target))


def _listed(method: Callable[[dict], Iterable]) -> Callable[..., list]:
    def call(target: ConfigDict, args: list[Any], kwargs: dict, budget: Budget, origin: Origin) -> list:
        return budget.made(list(method(target)))

    return call


_DICT_METHODS: dict[str, Callable[..., Any]] = {
    "get": _get,
    "keys": _listed(dict.keys),
    "values": _listed(dict.values),
    "items": _listed(dict.items),
    "copy": lambda target, args, kwargs, budget, origin: budget.made(target.copy()),
    "clear": lambda target, args, kwargs, budget, origin: dict.clear(target),
    "update": _update,
    "pop": _pop,
    "setdefault": _setdefault,
    "to_dict": _to_dict,
}
DICT_METHODS = frozenset(_DICT_METHODS)
