"""Other projects' names for the tensors of networks that are here too, a file a family of networks.

A file dropped in here is found: `LAYOUTS` are read, `EXPORTS` written. See docs/add_a_component.md.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from srtoolbox.text import counted

State = dict[str, Tensor]
Arguments = dict[str, Any]
Names = Mapping[str, str] | Callable[[State], State]  # a table for `rename`, or what does its work
COLOURS = {1: "y", 3: "rgb"}
REMARK = "remark"
"""A key beside the arguments: words for the sentence that says what a file is."""
_NOTHING: Mapping[str, Any] = {}


class Unsure(Exception):  # noqa: N818 - an answer, not a fault
    """Raised where tensors fit a network at several scales, and nothing says which it is."""


class Misfit(Exception):  # noqa: N818
    """Raised where the names are a layout's, but the tensors make no network of it, and why."""


class TooLarge(Misfit):
    """Raised if tensors claim more than any network has: building it would take all memory."""


class Layout(NamedTuple):
    """One naming of one network's tensors."""

    network: str  # the one here, by its registered name
    origin: str
    """A description of the names, "yjn870's names"; '' for the usual ones."""
    marks: str
    """Patterns of keys that all files of this layout have, see `fits`."""
    arguments: Callable[[State, int | None], Arguments]
    """The network's arguments from renamed tensors and, where those leave it open, the scale."""
    names: Names = _NOTHING  # theirs -> ours; empty: the layout is ours
    hidden: Mapping[str, Any] = _NOTHING
    """Arguments that this layout's networks have and that leave no trace in the tensors."""
    title: str = ""  # the usual name of the network, where that is not `network`
    at: int | None = None  # the scale whose tensors the names take out of a file for several
    constants: str = ""
    """Patterns of keys that are none of the network's: read by `arguments`, then dropped."""

    def __str__(self) -> str:
        return (self.title or self.network) + (f", {self.origin}" if self.origin else "")


class Export(NamedTuple):
    """One network as another project writes it."""

    to: str  # the format, one of `convert.FORMATS`
    network: str  # the one here, by its registered name
    names: Names  # theirs -> ours, as in a layout; a function: ours -> theirs
    values: Mapping[str, tuple]  # of arguments, that its network has


def families() -> list[Any]:
    """Return the files of this folder as modules."""
    return [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]


def fits(marks: str, keys: Collection[str]) -> bool:
    """True if each of the patterns, with spaces between, matches some whole key.

    In a pattern {n} is a whole number, * anything, and ? makes what is before it optional.
    """
    return all(any(map(_pattern(mark).fullmatch, keys)) for mark in marks.split())


@cache
def _pattern(mark: str) -> re.Pattern[str]:
    return re.compile(mark.replace(".", r"\.").replace("*", ".*").replace("{n}", r"\d+"))


def without(state: State, marks: str) -> State:
    """Return the tensors whose keys match none of the patterns, see `fits`."""
    patterns = [_pattern(mark) for mark in marks.split()]
    return {key: value for key, value in state.items() if not any(pattern.fullmatch(key) for pattern in patterns)}


def rename(state: State, names: Names) -> State:
    """Rename by a table of templates: {'trunk.{n}.conv': 'body.{n}.conv'}.

    {n} is a whole number. A template stands for a module: the last word of a key (weight,
    bias ...) is kept. Other keys stay as they are.
    """
    if not isinstance(names, Mapping):
        return names(state)
    templates = [(theirs.replace(".", r"\."), ours) for theirs, ours in names.items()]
    patterns = [(re.sub(r"\{(\w)\}", r"(?P<\1>\\d+)", theirs), ours) for theirs, ours in templates]
    renamed = {}
    for key, value in state.items():
        stem, dot, leaf = key.rpartition(".")
        matches = ((re.fullmatch(pattern, stem), ours) for pattern, ours in patterns)
        stem = next((ours.format(**match.groupdict()) for match, ours in matches if match), stem)
        renamed[stem + dot + leaf] = value
    return renamed


def count(state: Mapping[str, Tensor], template: str) -> int:
    """Count the tensors with names of a template with one {n}: 'body.{n}.conv1.weight'."""
    return sum(_pattern(template).fullmatch(key) is not None for key in state)


def tensor(state: Mapping[str, Tensor], key: str) -> Tensor:
    """Return `state[key]`; raises Misfit where it is missing."""
    if key not in state:
        raise Misfit(f"{key} is missing")
    return state[key]


def colour_of(channels: int) -> str:
    """Return 'y' or 'rgb'; raises Misfit for other numbers of channels."""
    if channels not in COLOURS:
        raise Misfit(f"it maps images of {counted(channels, 'channel')}")
    return COLOURS[channels]


def first_convolution(state: State, key: str) -> Arguments:
    """Return `colour` and `num_features` by the weight of a network's first convolution."""
    weight = tensor(state, key)
    return {"colour": colour_of(weight.shape[1]), "num_features": weight.shape[0]}


def root(number: float, operation: str = "a sub-pixel upsampling") -> int:
    """Return the whole square root; raises Misfit where there is none."""
    value = math.isqrt(int(number))
    if value < 1 or value * value != number:
        raise Misfit(f"{operation} of {number:g} times the channels, which is no square")
    return value


def share(part: int, whole: int) -> float:
    """Return the factor by which `int(whole * factor)` is `part`."""
    factor = part / whole
    return factor if int(whole * factor) == part else math.nextafter(factor, math.inf)


def shuffle_scale(state: State, template: str, numbers: Collection[int]) -> int:
    """Return the product of the factors of sub-pixel upsamplings: 'upconv{}.weight', 1 and 2."""
    weights = [tensor(state, template.format(number)) for number in numbers]
    return math.prod(root(weight.shape[0] / weight.shape[1]) for weight in weights)
