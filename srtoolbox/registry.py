"""Registries: one flat table per kind of component, built from dicts such as `dict(type='L1Loss')`.

A registry imports its own package at the first look-up: a file dropped into that folder needs no
entry in a list. The signature of a class is the schema of its config, see `argument_faults`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from srtoolbox.errors import Fault, RegistryError, SrtoolboxError, line_at_fault
from srtoolbox.text import did_you_mean

try:
    import annotationlib
except ImportError:  # before Python 3.14
    annotationlib = None

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., object])

_ALL: dict[str, Registry] = {}


class Registry(Generic[T]):
    """A table of classes of one kind.

    Args:
        kind: the name of an entry in messages, e.g. "loss".
        package: module or package that is imported, with everything in it, at the first look-up.
        injected: arguments that the builder passes and no config names (an optimizer's `params`).
    """

    def __init__(self, kind: str, package: str | None = None, *, injected: Iterable[str] = ()) -> None:
        self.kind = kind
        self.package = package
        self.injected = frozenset(injected)
        self._entries: dict[str, Callable[..., T]] = {}
        self._is_imported = False
        _ALL[kind] = self

    @overload
    def register(self, obj: C, *, name: str | None = None) -> C: ...
    @overload
    def register(self, obj: None = None, *, name: str | None = None) -> Callable[[C], C]: ...
    def register(self, obj: Any = None, *, name: str | None = None) -> Any:
        """Add a class (or builder function) under its own name, or `name`; also as a decorator.

        Raises:
            RegistryError: another owner has the name, in any registry (names are unique over all
                kinds), or the constructor takes `**kwargs`, which would let a misspelt key pass.
        """
        if obj is None:
            return lambda decorated: self.register(decorated, name=name)
        key = name or obj.__name__
        for registry in _ALL.values():
            owner = registry._entries.get(key)
            if owner is None or (registry is self and _home(owner) == _home(obj)):
                continue  # one imported again replaces the first
            fault = f"has registered a {registry.kind} of that name. Rename one of the two."
            first = f"{obj.__module__} registers {self.kind} {key!r}"
            raise RegistryError(f"{first}, but {owner.__module__} {fault}")
        if any(p.kind is p.VAR_KEYWORD for p in parameters_of(obj).values()):
            fault = "takes **kwargs: name its arguments, so that configs can be checked"
            if getattr(getattr(obj, "__init__", None), "__module__", "").startswith("torch."):
                fault = (
                    "has no __init__ of its own, from which its config's keys are taken: add one, "
                    "such as `def __init__(self) -> None: super().__init__()`"
                )
            raise RegistryError(f"{obj.__module__}.{key} {fault}")
        self._entries[key] = obj
        return obj

    def get(self, name: str) -> Callable[..., T]:
        """Return the class registered as `name`.

        Raises:
            RegistryError: no such entry; the message has the nearest name, or the name's kind.
        """
        self._import_package()
        if name in self._entries:
            return self._entries[name]
        for registry in _ALL.values():
            if registry is not self and name in registry:
                raise RegistryError(f"{name!r} is a {registry.kind}, a {self.kind} is expected here")
        raise RegistryError(f"no {self.kind} named {name!r}." + did_you_mean(name, self._entries, else_list=True))

    def build(self, cfg: Mapping[str, Any], **injected: object) -> T:
        """Construct `cfg['type']` with the other keys of `cfg`, and `injected`, as arguments.

        Raises:
            RegistryError: `type` is missing or unknown, an argument is unknown or missing, or a
                constructor that is not ours fails (the message names its line).
        """
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            raise RegistryError(f"a {self.kind} is written as dict(type='...', ...), got {cfg!r}")
        arguments = {key: value for key, value in cfg.items() if key != "type"}
        entry = self.get(cfg["type"])
        if faults := argument_faults(entry, cfg["type"], arguments, injected=injected):
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

    def class_of(self, cfg: object) -> type:
        """Return the class that a config names; `object` where it names none."""
        kind = cfg.get("type") if isinstance(cfg, Mapping) else None
        entry: object = self.get(kind) if isinstance(kind, str) and kind in self else None
        return entry if inspect.isclass(entry) else object

    def is_kind(self, cfg: object, name: str) -> bool:
        """True for the config of the class registered as `name`, or of a subclass of it."""
        entry = self.get(name)
        return inspect.isclass(entry) and issubclass(self.class_of(cfg), entry)

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
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
        if self._is_imported or self.package is None:
            return
        self._is_imported = True
        module = importlib.import_module(self.package)
        for info in pkgutil.walk_packages(getattr(module, "__path__", []), module.__name__ + "."):
            importlib.import_module(info.name)


def _home(entry: Callable[..., object]) -> tuple[str, str]:
    return entry.__module__, getattr(entry, "__qualname__", repr(entry))


def parameters_of(entry: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """Return a callable's parameters by name; annotations may name imports for type checkers.

    From Python 3.14 on such annotations are legal without quotes, and evaluating them fails.
    """
    has_format = annotationlib is not None
    options: dict[str, Any] = {"annotation_format": annotationlib.Format.FORWARDREF} if has_format else {}
    return inspect.signature(entry, **options).parameters


def argument_faults(
    entry: Callable[..., object], name: str, arguments: Iterable[str], *, injected: Iterable[str] = ()
) -> list[Fault]:
    """Compare the names of arguments with a constructor's signature.

    A fault's key is the wrong argument, or None where a required one is missing.
    """
    names, injected = list(arguments), set(injected)
    keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = {key: p for key, p in parameters_of(entry).items() if p.kind in keywords}
    allowed = [key for key in parameters if key not in injected]
    faults = []
    for key in names:
        if key in injected:
            faults.append(Fault(key, f"{name} is given {key!r} by the toolbox; remove it"))
        elif key not in parameters:
            hint = did_you_mean(key, allowed) or f" It takes {', '.join(allowed) or 'no arguments'}."
            faults.append(Fault(key, f"{name} takes no {key!r}.{hint}"))
    faults += [
        Fault(None, f"{name} needs {key!r}, which is missing")
        for key, p in parameters.items()
        if p.default is p.empty and key not in names and key not in injected
    ]
    return faults


def registries() -> Mapping[str, Registry]:
    """Return all registries by kind."""
    return dict(_ALL)


MODELS: Registry = Registry("model", "srtoolbox.models.restorers")
NETWORKS: Registry = Registry("network", "srtoolbox.models.networks")
LOSSES: Registry = Registry("loss", "srtoolbox.losses")
DATASETS: Registry = Registry("dataset", "srtoolbox.data.datasets")
TRANSFORMS: Registry = Registry("transform", "srtoolbox.data.transforms")
METRICS: Registry = Registry("metric", "srtoolbox.metrics")
HOOKS: Registry = Registry("hook", "srtoolbox.engine.hooks")
OPTIMIZERS: Registry = Registry("optimizer", "srtoolbox.optim", injected=("params", "network"))
SCHEDULERS: Registry = Registry("scheduler", "srtoolbox.optim", injected=("optimizer", "last_epoch"))
