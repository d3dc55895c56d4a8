"""Checks of the arguments that transforms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from srtoolbox.errors import ConfigError

_N = TypeVar("_N", int, float)


def ordered_range(
    owner: str, name: str, values: Sequence[_N], least: float, most: float = float("inf")
) -> tuple[_N, _N]:
    """Return (low, high) with least <= low <= high <= most.

    Raises:
        ConfigError: anything else.
    """
    if len(values) != 2 or not least <= values[0] <= values[1] <= most:
        limit = f"from {least:g} up" if most == float("inf") else f"between {least:g} and {most:g}"
        raise ConfigError(f"{owner}: {name} is (lowest, highest), {limit}, got {values!r}", key=name)
    return values[0], values[1]


def probability(owner: str, p: float) -> float:
    """Return `p`, which is in [0, 1].

    Raises:
        ConfigError: anything else.
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"{owner}: p is a probability between 0 and 1, got {p!r}", key="p")
    return p
