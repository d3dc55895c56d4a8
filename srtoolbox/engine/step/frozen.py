"""All that a capture freezes: addresses of tensors, plain values, choices made on the host."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import foreach_copy_, has_gradient_hooks, own_buffers, own_parameters
from srtoolbox.engine.device import random_state, set_random_state
from srtoolbox.engine.hooks.base import Hook

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

OWN = ("torch", "srtoolbox")
MOST_VALUES = 1000
"""Values in a container beyond which it is no constant of a capture: comparing would take long."""
GROUP_KEYS = ("params", "lr", "capturable")
"""What a group of an optimizer has beside its options and counts: the step sees to the last two."""
_PLAIN = (bool, int, float, str, type(None))
# of parameters, hooks ...
_TABLES = {key for key, value in vars(nn.Module()).items() if not isinstance(value, _PLAIN)}


def parts_of(run: Run) -> dict[str, nn.Module]:
    """Return the model and all modules in it and in its averages, by name."""
    parts = {name or type(run.model).__name__: module for name, module in run.model.named_modules()}
    known = set(map(id, parts.values()))
    for network, module in run.networks.items():
        parts |= {f"{network}.{name}": part for name, part in module.named_modules() if id(part) not in known}
    return parts


class State:
    """All tensors that a step reads and changes, by where they are: addresses and values.

    Batches, terms and gradients are not among them.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        modules = parts_of(run).values()
        self._tables = [table for part in modules for table in (own_parameters(part), own_buffers(part)) if table]

    def tensors(self) -> list[Tensor]:
        """Return the tensors that are there now."""
        tensors: list[Tensor] = [value for table in self._tables for value in table.values() if value is not None]
        for optim in self._run.optims.values():
            tensors += optim.tensors
        return tensors + self._run.statistics.tensors

    def places(self) -> list[tuple[int, bool]]:
        """Return where each tensor lies, and whether it learns."""
        return [(tensor.data_ptr(), tensor.requires_grad) for tensor in self.tensors()]

    def values(self) -> list[Tensor]:
        """Return copies."""
        return [tensor.detach().clone() for tensor in self.tensors()]

    @torch.no_grad()
    def put_back(self, values: Sequence[Tensor]) -> None:
        """Give the tensors earlier values, at the same addresses."""
        foreach_copy_(self.tensors(), list(values))


class Constants:
    """The plain values in modules, hooks and groups of optimizers: constants of a capture.

    So are small lists, tuples, sets and dicts of them, which code may also change in place.
    """

    def __init__(self, run: Run, hooks: Mapping[str, Hook]) -> None:
        tables = {name: vars(part) for name, part in parts_of(run).items()}
        tables |= {f"hooks.{name}": vars(hook) for name, hook in hooks.items()}
        for name, optim in run.optims.items():
            groups = zip(optim.group_names, optim.optimizer.param_groups, strict=True)
            tables |= {f"optim.{name}.optimizer {group}".rstrip(): values for group, values in groups}
        own = {"iteration", "lr", "capturable", *_TABLES}  # the run and the step see to these
        self._kept = []
        for name, table in tables.items():
            plain = [(key, value) for key, value in table.items() if key not in own and _is_plain(value)]
            self._kept.append((name, table, deepcopy(plain)))
        self._kept += [(f"optim.{name}", vars(optim), [("clip", optim.clip)]) for name, optim in run.optims.items()]

    def change(self) -> str | None:
        """Return the name of a value that is another now, None if there is none."""
        for name, table, kept in self._kept:
            for key, value in kept:
                now = table.get(key, Ellipsis)
                if now is not value and not _is_same(now, value):
                    return f"{name}.{key}"
        return None


def _is_same(now: object, value: object) -> bool:
    try:
        return type(now) is type(value) and bool(now == value)
    except Exception:  # an array has come into a container: they have no one answer
        return False


def _is_plain(value: object) -> bool:
    """True for a plain value, and for a small container of such, also within others."""
    values = [value]
    for each in values:  # which grows
        if isinstance(each, list | tuple | set | frozenset | dict):
            if len(values) + len(each) > MOST_VALUES:
                return False
            values += [*each, *(each.values() if isinstance(each, dict) else ())]
        elif not isinstance(each, _PLAIN):
            return False
    return True


def unsure_parts(run: Run) -> list[str]:
    """Return the names of parts that do not say of themselves that a graph can hold them.

    Classes of the toolbox and of PyTorch do, unless something of theirs is replaced in an object;
    a plugin's class does by `capturable = True` in its own body (a subclass does not inherit it).
    """
    parts: dict[str, object] = {**parts_of(run)}
    unsure = [name for name, part in parts.items() if not _is_sure(part)]
    for name, optim in run.optims.items():
        groups = optim.optimizer.param_groups
        keeps_count = all(group.get("fused") or "capturable" in group for group in groups)
        if not (_says_so(optim.optimizer) and keeps_count):
            unsure.append(f"optim.{name}")
        unsure += [f"{name}: a parameter's hook"] * any(map(has_gradient_hooks, optim.parameters))
    return unsure


def _says_so(part: object) -> bool:
    kind = type(part)
    return bool(vars(kind).get("capturable", kind.__module__.partition(".")[0] in OWN))


def _is_sure(part: object) -> bool:
    replaced = (key for key, value in vars(part).items() if callable(value) and hasattr(type(part), key))
    if not _says_so(part) or any(not key.startswith("_") for key in replaced):
        return False
    tables = [table for key, table in vars(part).items() if key.endswith("_hooks") and isinstance(table, dict)]
    functions = [function for table in tables for function in table.values()]
    return all((getattr(f, "__module__", None) or type(f).__module__).partition(".")[0] in OWN for f in functions)


class HostState:
    """Changes of a step on the host, which no graph makes: random numbers drawn, attributes set.

    Args:
        run: of the step.
        unsure: names of its parts whose attributes are followed.
    """

    def __init__(self, run: Run, unsure: Sequence[str]) -> None:
        parts, self._has_device = parts_of(run), run.device.type != "cpu"
        self._parts = {name: vars(parts[name]) for name in unsure if name in parts}
        optims = {f"optim.{name}": vars(optim.optimizer) for name, optim in run.optims.items()}
        self._parts |= {f"{name}.optimizer": optims[name] for name in unsure if name in optims}
        self._groups = {
            f"optim.{name}.optimizer.param_groups[{number}]": group
            for name, optim in run.optims.items()
            for number, group in enumerate(optim.optimizer.param_groups if f"optim.{name}" in unsure else ())
        }
        self._parts |= self._groups
        self._keys = {name: set(group) for name, group in self._groups.items()}
        self._random = self._random_states()
        self._attributes = self._all_attributes()

    def change(self) -> str | None:
        """Return what has changed since, None for nothing."""
        drawn = zip(self._random, self._random_states(), strict=True)
        names = ("Python's random numbers", "NumPy's random numbers", "the CPU's random numbers")
        changed = [name for name, (before, now) in zip(names, drawn, strict=False) if before != now]
        changed += [f"{name}.{key}" for name, key in self._changed_attributes()]
        return changed[0] if changed else None

    def put_back(self) -> None:
        """Give attributes that have changed their earlier values; random numbers are `Before`'s."""
        for name, key in self._changed_attributes():
            self._parts[name][key] = self._attributes[name, key].value()
        for name, group in self._groups.items():
            for key in group.keys() - self._keys[name]:
                del group[key]

    def _random_states(self) -> list[object]:
        _, keys, *rest = np.random.get_state(legacy=True)
        cpu = [bytes(torch.get_rng_state().numpy())] if self._has_device else []
        return [random.getstate(), (bytes(np.asarray(keys)), *rest), *cpu]

    def _all_attributes(self) -> dict[tuple[str, str], _Pickled]:
        pickled = {
            (name, key): _Pickled.of(value)
            for name, values in self._parts.items()
            for key, value in values.items()
            # the run counts iterations; groups are parts of their own, whose rates a step has in tensors
            if key not in (GROUP_KEYS if name in self._groups else ("iteration", "param_groups"))
        }
        return {place: value for place, value in pickled.items() if value is not None}

    def _changed_attributes(self) -> list[tuple[str, str]]:
        now = self._all_attributes()
        return [place for place in now.keys() & self._attributes.keys() if now[place] != self._attributes[place]]


class _Pickled:
    """A value as bytes; tensors and modules in it stand for themselves, `State` follows them."""

    def __init__(self, value: object) -> None:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer)
        pickler.dump(value)
        self._bytes, self._others = buffer.getvalue(), pickler.others

    @classmethod
    def of(cls, value: object) -> _Pickled | None:
        """Return None for what does not let itself be pickled."""
        try:
            return cls(value)
        except Exception:  # an object's own `__reduce__` may raise anything
            return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pickled) and self._bytes == other._bytes

    __hash__ = None  # type: ignore[assignment]

    def value(self) -> object:
        """Return the value, as it was."""
        return _Unpickler(self._bytes, self._others).load()


class _Pickler(pickle.Pickler):
    """Keeps tensors, modules and optimizers in `others`, and writes their numbers."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.others: dict[int, object] = {}

    def persistent_id(self, value: object) -> int | None:
        if not isinstance(value, Tensor | nn.Module | torch.optim.Optimizer):
            return None
        self.others[id(value)] = value
        return id(value)


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` has written in this very process."""

    def __init__(self, data: bytes, others: dict[int, object]) -> None:
        super().__init__(io.BytesIO(data))
        self._others = others

    def persistent_load(self, number: int) -> object:
        return self._others[number]


@contextlib.contextmanager
def reads_of_iteration(model: nn.Module) -> Iterator[list[str]]:
    """Note, in the list that it gives, where code of plugins asks for `model.iteration` inside."""
    reads: list[str] = []
    kind, iteration = type(model), vars(model)["iteration"]

    def read(_: nn.Module) -> int:
        frame = sys._getframe(1)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in OWN:
            reads.append(frame.f_code.co_qualname.partition(".<locals>")[0])
        return iteration

    members = {"iteration": property(read), "__module__": kind.__module__}
    model.__class__ = type(kind.__name__, (kind,), members)
    try:
        yield reads
    finally:
        model.__class__ = kind


class Before:
    """A state to go back to: tensors, random numbers, moments that exist, attributes of parts."""

    def __init__(self, run: Run, state: State, unsure: Sequence[str]) -> None:
        self._run, self._state, self.host = run, state, HostState(run, unsure)
        self.values, self._random = state.values(), random_state(run.device)
        self._known = {name: set(optim.optimizer.state) for name, optim in run.optims.items()}

    @property
    def has_grown(self) -> bool:
        """True if there are tensors now that there were not: an optimizer made its moments."""
        states = {name: optim.optimizer.state for name, optim in self._run.optims.items()}
        has_new = any(states[name].keys() - known for name, known in self._known.items())
        return has_new or len(self._state.tensors()) != len(self.values)

    def put_back(self) -> None:
        """Go back, at the same addresses."""
        for name, optim in self._run.optims.items():
            for parameter in optim.optimizer.state.keys() - self._known[name]:
                del optim.optimizer.state[parameter]
        # first: a step may have put other tensors in the places of those that have values here
        self.host.put_back()
        self._state.put_back(self.values)
        set_random_state(self._random, self._run.device)
