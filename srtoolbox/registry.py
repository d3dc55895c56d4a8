"""Registries: one flat table per kind of component, built from dicts such as `dict(type='L1Loss', weight=1.0)`.

A registry imports its own package at the first look-up: a file dropped into that folder is found with no list to edit.
The signature of a registered class is the schema of its config: `argument_faults` compares the two.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from srtoolbox.errors import Fault, RegistryError, SrtoolboxError, line_at_fault

try:
    import annotationlib
except ImportError:  # before Python 3.14
    annotationlib = None

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

_ALL: dict[str, Registry] = {}


class Registry(Generic[T]):
    """A table of classes of one kind.

    Args:
        kind: what an entry is called in messages, e.g. "loss".
        package: module or package that is imported, with everything in it, before the first look-up.
        injected: constructor arguments that the builder passes and a config never names (an optimizer's `params`).
    """

    def __init__(self, kind: str, package: str | None = None, *, injected: Iterable[str] = ()) -> None:
        self.kind = kind
        self.package = package
        self.injected = frozenset(injected)
        self._entries: dict[str, Callable[..., T]] = {}
        self._imported = package is None
        _ALL[kind] = self

    def register(self, obj: C | None = None, *, name: str | None = None) -> C | Callable[[C], C]:
        """Add a class (or builder function) under its own name, or `name`; usable as a decorator with or without call.

        Raises:
            RegistryError: the name is taken by another owner, in any registry (names are unique over all kinds), or
                the constructor takes `**kwargs`, which would let a misspelt key pass unseen.
        """
        if obj is None:
            return lambda decorated: self.register(decorated, name=name)
        key = name or obj.__name__
        for registry in _ALL.values():
            owner = registry._entries.get(key)
            if owner is not None and not (registry is self and _is_reload(owner, obj)):
                raise RegistryError(
                    f"{obj.__module__} registers {self.kind} {key!r}, but {owner.__module__} has registered "
                    f"a {registry.kind} of that name. Rename one of the two."
                )
        if any(p.kind is p.VAR_KEYWORD for p in parameters_of(obj).values()):
            inherits = getattr(getattr(obj, "__init__", None), "__module__", "").startswith("torch.")
            raise RegistryError(
                f"{obj.__module__}.{key} has no __init__ of its own, from which its config's keys are taken: add one, "
                "such as `def __init__(self) -> None: super().__init__()`"
                if inherits
                else f"{obj.__module__}.{key} takes **kwargs: name its arguments, so that configs can be checked"
            )
        self._entries[key] = obj
        return obj

    def get(self, name: str) -> Callable[..., T]:
        """The class registered as `name`.

        Raises:
            RegistryError: no such entry; the message suggests the nearest name, or says which kind the name has.
        """
        self._import_package()
        if name in self._entries:
            return self._entries[name]
        raise RegistryError(self._unknown(name))

    def build(self, cfg: Mapping[str, Any], **injected: object) -> T:
        """Construct `cfg['type']` with the other keys of `cfg`, and `injected`, as arguments.

        Raises:
            RegistryError: `type` is missing or unknown, an argument is unknown or missing, or a constructor that is
                not ours fails (the message names its line).
        """
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            raise RegistryError(f"a {self.kind} is written as dict(type='...', ...), got {cfg!r}")
        arguments = {key: value for key, value in cfg.items() if key != "type"}
        entry = self.get(cfg["type"])
        faults = argument_faults(entry, cfg["type"], arguments, injected=injected)
        if faults:
            raise RegistryError("; ".join(faults))
        try:
            return entry(**arguments, **injected)
        except SrtoolboxError:
            raise
        except Exception as error:
            place = line_at_fault(error, own=True)
            if place is None:
                raise
            message = f"{place}: {type(error).__name__}: {error}"
            raise RegistryError(f"{self.kind} {cfg['type']} cannot be built: {message}") from error

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._import_package()
        return sorted(self._entries)

    def __contains__(self, name: str) -> bool:
        self._import_package()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}, {len(self._entries)} entries)"

    def _import_package(self) -> None:
        if self._imported:
            return
        self._imported = True
        module = importlib.import_module(self.package)
        for info in pkgutil.walk_packages(getattr(module, "__path__", []), module.__name__ + "."):
            importlib.import_module(info.name)

    def _unknown(self, name: str) -> str:
        for registry in _ALL.values():
            if registry is not self and name in registry:
                return f"{name!r} is a {registry.kind}, a {self.kind} is expected here"
        return f"no {self.kind} named {name!r}." + did_you_mean(name, self._entries, else_list=True)


def did_you_mean(wrong: str, known: Iterable[str], *, else_list: bool = False) -> str:
    """' Did you mean ...?' for the nearest of `known`, else '' or, with `else_list`, what there is."""
    known = sorted(known)
    lowered = {name.lower(): name for name in known}
    word = str(wrong).lower()
    near = difflib.get_close_matches(word, lowered, n=1, cutoff=0.6) or [
        name for name in lowered if len(word) > 3 and name.startswith(word[: max(3, len(word) - 2)])
    ]
    if near:
        return f" Did you mean {lowered[near[0]]!r}?"
    return f" Known: {', '.join(known)}." if else_list and known else ""


def parameters_of(entry: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """Return a constructor's parameters by name, whose annotations may name what is imported for type checkers only.

    From Python 3.14 on such annotations are legal without quotes, and evaluating them fails.
    """
    if annotationlib is None:
        return inspect.signature(entry).parameters
    return inspect.signature(entry, annotation_format=annotationlib.Format.FORWARDREF).parameters


def argument_faults(
    entry: Callable[..., object], name: str, arguments: Iterable[str], *, injected: Iterable[str] = ()
) -> list[Fault]:
    """Compare the names of arguments with a constructor's signature.

    A fault's key is the wrong argument, or None where a required one is missing.
    """
    names, injected = list(arguments), set(injected)
    parameters = {
        key: p for key, p in parameters_of(entry).items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    allowed = [key for key in parameters if key not in injected]
    faults = []
    for key in names:
        if key in injected:
            faults.append(Fault(key, f"{name} is given {key!r} by the toolbox; remove it"))
        elif key not in parameters:
            hint = did_you_mean(key, allowed) or (
                f" It takes {', '.join(allowed)}." if allowed else " It takes no arguments."
            )
            faults.append(Fault(key, f"{name} takes no {key!r}.{hint}"))
    faults += [
        Fault(None, f"{name} needs {key!r}, which is missing")
        for key, p in parameters.items()
        if p.default is p.empty and key not in names and key not in injected
    ]
    return faults


def _is_reload(owner: object, obj: object) -> bool:
    """Whether `obj` is the same definition imported a second time (a reloaded module), which may replace the first."""
    return (owner.__module__, owner.__qualname__) == (obj.__module__, obj.__qualname__)


def registries() -> Mapping[str, Registry]:
    """All registries by kind."""
    return dict(_ALL)


MODELS: Registry = Registry("model", "srtoolbox.models.restorers")
NETWORKS: Registry = Registry("network", "srtoolbox.models.networks")
LOSSES: Registry = Registry("loss", "srtoolbox.losses")
DATASETS: Registry = Registry("dataset", "srtoolbox.data.datasets")
TRANSFORMS: Registry = Registry("transform", "srtoolbox.data.transforms")
METRICS: Registry = Registry("metric", "srtoolbox.metrics")
HOOKS: Registry = Registry("hook", "srtoolbox.engine.hooks")
OPTIMIZERS: Registry = Registry("optimizer", "srtoolbox.optim", injected=("params",))
SCHEDULERS: Registry = Registry("scheduler", "srtoolbox.optim", injected=("optimizer", "last_epoch"))
