"""Key layouts: the names that another project gives the tensors of a network that is here too."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srtoolbox.text import counted

State = dict[str, Tensor]
Arguments = dict[str, Any]
COLOURS = {1: "y", 3: "rgb"}
_SLOT = re.compile(r"\{(\w)\}")


class Unsure(Exception):  # noqa: N818 - an answer, not a fault
    """Raised where tensors fit a network at several scales, and nothing says which it is."""


class Misfit(Exception):  # noqa: N818
    """Raised where the names are a layout's, but the tensors make no network of it, and why."""


@contextmanager
def malformed_as_misfit() -> Iterator[None]:
    """Turn what a layout's rules raise of malformed tensors or odd names into a Misfit."""
    try:
        yield
    except (LookupError, ValueError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise Misfit(f"its tensors make no network ({reason})") from error


class Layout(NamedTuple):
    """One naming of one network's tensors."""

    network: str
    """The network here, by its registered name."""
    origin: str
    """A description of the names, "yjn870's names"; '' for the usual ones."""
    marks: str
    """Patterns of keys that all files of this layout have, see `fits`."""
    to_ours: Callable[[State], State]
    """Renames (and where needed converts) the tensors."""
    arguments: Callable[[State, int | None], Arguments]
    """The network's arguments from renamed tensors and, where those leave it open, the scale."""
    hidden: tuple[tuple[str, Any], ...] = ()
    """Arguments that this layout's networks have and that leave no trace in the tensors."""
    title: str = ""
    """The usual name of the network, where that is not `network`."""

    def __str__(self) -> str:
        title = self.title or self.network
        return f"{title}, {self.origin}" if self.origin else title


def fits(marks: str, keys: Collection[str]) -> bool:
    """True if each of the patterns, with spaces between, matches some whole key.

    In a pattern {n} is a whole number, * anything, and ? makes what is before it optional.
    """
    return all(any(map(_pattern(mark).fullmatch, keys)) for mark in marks.split())


@cache
def _pattern(mark: str) -> re.Pattern[str]:
    return re.compile(mark.replace(".", r"\.").replace("*", ".*").replace("{n}", r"\d+"))


def renamer(*pairs: tuple[str, str]) -> Callable[[State], State]:
    """Return a function that renames by templates: ('trunk.{n}.conv', 'body.{n}.conv').

    {n} is a whole number. A template stands for a module: the last word of a key (weight,
    bias ...) is kept. Other keys stay as they are.
    """
    slot = r"(?P<\1>\\d+)"
    compiled = [(re.compile(_SLOT.sub(slot, theirs.replace(".", r"\."))), ours) for theirs, ours in pairs]

    def rename(key: str) -> str:
        stem, dot, leaf = key.rpartition(".")
        for pattern, target in compiled:
            match = pattern.fullmatch(stem)
            if match:
                return target.format(**match.groupdict()) + dot + leaf
        return key

    return lambda state: {rename(key): value for key, value in state.items()}


def as_they_are(state: State) -> State:
    """Return the tensors under their own names: the layout is ours."""
    return dict(state)


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


def root(number: float, operation: str) -> int:
    """Return the whole square root; raises Misfit where there is none."""
    value = math.isqrt(int(number))
    if value < 1 or value * value != number:
        raise Misfit(f"{operation} of {number:g} times the channels, which is no square")
    return value


def with_counters(state: State) -> State:
    """Add BatchNorm's count of batches, which files from before PyTorch 0.4.1 lack."""
    for key in [key for key in state if key.endswith(".running_mean")]:
        state.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return state
