"""Drawn degradations: the steps of a chain by their names in the config, with their parameters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.transforms import Compose, Transform
from srtoolbox.data.transforms.base import Nothing, Sample
from srtoolbox.data.transforms.batch.base import Action, BatchDegradation, Plan
from srtoolbox.data.transforms.degrade import Degradation

Value = float | str
_MOST_NUMBERS = 4  # of one parameter; more (a kernel) are not for people to read
_FIRST_VARIANT = 1 << 32  # a position that no transform of a list has


class Step(NamedTuple):
    """A step that acted on a sample, by its name in the config, and the numbers that it drew."""

    name: str
    values: dict[str, Value]

    def text(self) -> str:
        """Return 'sigma 1.2, angle 0.31'."""
        return ", ".join(f"{key} {shown(value)}" for key, value in self.values.items())


def shown(value: Value) -> str:
    """Return a value for people: three digits of a number."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.3g}"


# ---- names


def step_names(entries: object, transforms: Sequence[Transform]) -> dict[int, str]:
    """Return the names of all steps of a chain, by `id`: 'first.blur', or the type in a list.

    Args:
        entries: the config of the chain, a list or a map by name.
        transforms: what was built of it.
    """
    names: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for step, name in _named(entries, transforms, ""):
        taken[name] += 1
        names[id(step)] = name if taken[name] == 1 else f"{name} {taken[name]}"
    return names


def _named(entries: object, transforms: Sequence[Transform], prefix: str) -> Iterator[tuple[Transform, str]]:
    listed: Iterable[tuple[str, Any]] = entries.items() if isinstance(entries, Mapping) else _unnamed(entries)
    present = [(name, entry) for name, entry in listed if entry is not None]
    if len(present) != len(transforms):  # a class that puts them together by itself
        entries, present = transforms, list(_unnamed(transforms))
    for (name, entry), transform in zip(present, transforms, strict=True):
        if inner := parts_of(transform):
            own = entry.get("transforms") if isinstance(entry, Mapping) else inner
            yield from _named(own, inner, f"{prefix}{name}." if isinstance(entries, Mapping) else prefix)
        else:
            yield transform, prefix + name


def _unnamed(entries: object) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a list with their types."""
    for entry in entries if isinstance(entries, Iterable) else ():
        yield str(entry.get("type")) if isinstance(entry, Mapping) else type(entry).__name__, entry


def parts_of(transform: object) -> Sequence[Transform]:
    """Return the transforms that a group is made of; none of a single one."""
    inner = getattr(transform, "inner", transform)  # RandomApply's
    return inner.parts() if isinstance(inner, Transform) else ()


def leaves(transforms: Iterable[Transform]) -> Iterator[Transform]:
    """Yield all single transforms in groups of any depth."""
    for transform in transforms:
        parts = parts_of(transform)
        if parts:
            yield from leaves(parts)
        else:
            yield transform


# ---- values


def drawn(actions: Iterable[Action], count: int, names: Mapping[int, str]) -> list[list[Step]]:
    """Return the steps of each of `count` images, in the order in which they act."""
    steps: list[list[Step]] = [[] for _ in range(count)]
    times: Counter[tuple[int, int]] = Counter()
    for action in actions:
        name = names.get(id(action.step), type(action.step).__name__)
        for place, row in enumerate(action.rows.tolist()):
            times[row, id(action.step)] += 1
            time = times[row, id(action.step)]
            label = name if time == 1 else f"{name} (time {time})"
            values = {k: v for key, array in action.parameters.items() for k, v in _values(key, array[place])}
            steps[row].append(Step(label, values))
    return steps


def _values(key: str, value: object) -> Iterator[tuple[str, Value]]:
    """Yield one parameter of one image as numbers by name; nothing of random states and kernels, nor of NaN."""
    array = np.asarray(value)
    if array.dtype == np.uint64 or array.size > _MOST_NUMBERS:
        return
    for number, each in enumerate(array.ravel().tolist()):
        name = key if array.size == 1 else f"{key}[{number}]"
        if isinstance(each, bool):
            yield name, "yes" if each else "no"
        elif isinstance(each, str) or math.isfinite(each):  # what has no meaning for this image is NaN
            yield name, each


# ---- among the transforms of samples


class Notes:
    """Notes of what a dataset's degradations drew for the sample at hand, and by which numbers.

    Attributes:
        steps: in order.
        variant: None: as in training; a number: other parameters of the same crop.
        is_used: True if any degradation of a dataset notes here.
        names: of all steps that may act, in the order of the config.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.variant: int | None = None
        self.is_used = False
        self.names: list[str] = []


class Noted(Transform):
    """A degradation of samples that notes what it draws, and can be drawn anew.

    Args:
        inner: the degradation, or a group of them.
        names: of its steps.
        notes: where to.
    """

    def __init__(self, inner: Transform, names: Mapping[int, str], notes: Notes) -> None:
        self.inner, self.names, self.notes = inner, names, notes
        notes.is_used = True

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        if self.notes.variant is not None:
            rng = rng.at(_FIRST_VARIANT + self.notes.variant)
        size = np.array([sample["lq"].shape[:2]])
        plan = Plan(size, size)
        self.inner.add_to(plan, rng.alone(), np.arange(1))
        self.notes.steps += drawn(plan.actions, 1, self.names)[0]
        return self.inner(sample, rng)


def degrades(transform: Transform) -> bool:
    """True for a degradation, or a group of nothing else."""
    acting = [leaf for leaf in leaves([transform]) if not isinstance(leaf, Nothing)]
    return bool(acting) and len(acting) == sum(isinstance(leaf, BatchDegradation) for leaf in acting)


def tells(step: object) -> bool:
    """True for a degradation whose parameters are more than a stream of random numbers."""
    return isinstance(step, BatchDegradation) and type(step).draw is not Degradation.draw


def watch(chain: Compose, entries: object, notes: Notes) -> list[str]:
    """Let the degradations among a dataset's transforms note what they draw.

    Returns:
        The names of the transforms that do not tell what they draw.
    """
    names = step_names(entries, chain.transforms)
    acting = [leaf for leaf in leaves(chain.transforms) if not isinstance(leaf, Nothing)]
    for number, transform in enumerate(chain.transforms):
        if degrades(transform):
            chain.transforms[number] = Noted(transform, names, notes)
    notes.names += [names.get(id(leaf), type(leaf).__name__) for leaf in acting]
    return [names.get(id(leaf), type(leaf).__name__) for leaf in acting if not tells(leaf)]
