"""What a key layout is: how another project calls the tensors of a network that is here too."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srtoolbox.text import counted

State = dict[str, Tensor]
Arguments = dict[str, Any]
COLOURS = {1: "y", 3: "rgb"}
_SLOT = re.compile(r"\{(\w)\}")


class Unsure(Exception):  # noqa: N818 - an answer, not a fault
    """The tensors fit this network at several scales, and nothing says at which they were trained."""


class Misfit(Exception):  # noqa: N818
    """The names are a layout's, but the tensors make no network of it; the message says why."""


@contextmanager
def malformed_as_misfit() -> Iterator[None]:
    """Turns what a layout's rules raise of tensors with too few axes, none of a length, or odd names into a Misfit."""
    try:
        yield
    except (LookupError, ValueError, ArithmeticError) as error:
        raise Misfit(f"its tensors make no network ({type(error).__name__}: {error})") from error


class Layout(NamedTuple):
    """One naming of one network's tensors."""

    network: str
    """The network here, by its registered name."""
    title: str
    """What people call it."""
    name: str
    """Whose names these are; '' for the usual ones."""
    marks: tuple[str, ...]
    """Regular expressions: a file is of this layout if each fits some key from its start to its end."""
    to_ours: Callable[[State], State]
    """Renames (and where needed converts) the tensors."""
    arguments: Callable[[State, int | None], Arguments]
    """The network's arguments from renamed tensors and, where those leave it open, the scale."""
    hidden: tuple[tuple[str, Any], ...] = ()
    """Arguments that this layout's networks have and that leave no trace in the tensors."""


def renamer(*pairs: tuple[str, str]) -> Callable[[State], State]:
    """A function that renames by templates: ('trunk.{n}.conv{k}', 'body.{n}.conv{k}') with {n} a whole number.

    A template stands for a module: the last word of a key (weight, bias ...) is kept. Other keys
        stay as they are.
    """
    compiled = [(re.compile(_SLOT.sub(r"(?P<\1>\\d+)", a.replace(".", r"\."))), b) for a, b in pairs]

    def rename(key: str) -> str:
        stem, dot, leaf = key.rpartition(".")
        for pattern, target in compiled:
            match = pattern.fullmatch(stem)
            if match:
                return target.format(**match.groupdict()) + dot + leaf
        return key

    return lambda state: {rename(key): value for key, value in state.items()}


def as_they_are(state: State) -> State:
    """The layout is ours."""
    return dict(state)


def count(state: Mapping[str, Tensor], template: str) -> int:
    """How many tensors have names of a template with one {n}: count(state, 'body.{n}.conv1.weight')."""
    pattern = re.compile(re.escape(template).replace(r"\{n\}", r"\d+"))
    return sum(pattern.fullmatch(key) is not None for key in state)


def tensor(state: Mapping[str, Tensor], key: str) -> Tensor:
    """`state[key]`; raises Misfit where it is missing."""
    if key not in state:
        raise Misfit(f"{key} is missing")
    return state[key]


def colour_of(channels: int) -> str:
    """'y' or 'rgb'; raises Misfit for other numbers of channels."""
    if channels not in COLOURS:
        raise Misfit(f"it maps images of {counted(channels, 'channel')}")
    return COLOURS[channels]


def root(number: float, what: str) -> int:
    """The whole square root; raises Misfit where there is none."""
    value = math.isqrt(int(number))
    if value < 1 or value * value != number:
        raise Misfit(f"{what} of {number:g} times the channels, which is no square")
    return value


def with_counters(state: State) -> State:
    """With BatchNorm's count of batches, which files from before PyTorch 0.4.1 lack."""
    for key in [key for key in state if key.endswith(".running_mean")]:
        state.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return state
