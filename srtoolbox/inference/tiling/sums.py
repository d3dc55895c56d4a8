"""Sums of a network over the whole image: means of channels, deviations, likeness of channels.

Such sums are found by their operators, not by modules: networks need not know of it, and those of
others are treated alike. Their moments do not depend on a tile's size: the mean over all tiles
gives the sums of the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srtoolbox.compat.pytorch import DispatchMode, OpOverload, named_arguments
from srtoolbox.inference.restore import AutocastRestore, device_of
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER

MEANS = frozenset({"mean", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"})
NORMALISED = "normalised"  # the variance and mean by which features are normalised
SPREADS = frozenset({"var", "std", "var_mean", "std_mean", NORMALISED})
SUMS = frozenset({"sum", "matmul", "mm", "bmm"})  # they grow with the image
LENGTHS = frozenset({"linalg_vector_norm", "norm"})  # with its square root
SUMMING = MEANS | SPREADS | SUMS | LENGTHS
NORMALISATIONS = frozenset({"group_norm", "instance_norm"})
# images, height, width; windows of up to 64 pixels see them apart
PROBES = ((1, 24, 40), (2, 72, 104))
LEAST = 1e-12  # of a deviation

Values = tuple[Tensor, ...]
Compute = Callable[..., Values]


class Call(NamedTuple):
    """A call of an operator that may sum over the image, with the shapes it reads and gives."""

    name: str
    reads: list[torch.Size]
    gives: list[torch.Size]


class ImageSums(NamedTuple):
    """The calls of a network's run, by name, and which of them sum over the whole image.

    Each of the latter has, for each tensor that it reads, the axes that are the image's.
    """

    names: Sequence[str]
    axes: Mapping[int, Sequence[tuple[int, ...]]]


NO_SUMS = ImageSums([], {})


class Summing(DispatchMode):
    """Hands all calls that may sum over the whole image to `total`, in which subclasses differ."""

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Run an operator."""
        name = func.overloadpacket.__name__
        if name in NORMALISATIONS:
            return self._normalised(func, args, kwargs)
        if name not in SUMMING:
            return func(*args, **kwargs)
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        rest = args[len(tensors) :]

        def compute(*tensors: Tensor) -> Values:
            operator: Callable[..., Any] = torch.var_mean if name in SPREADS else func
            result = operator(*tensors, *rest, **kwargs)
            return result if isinstance(result, tuple) else (result,)

        first, *others = self.total(name, compute, tensors)
        first = first.sqrt() if name.startswith("std") else first
        return (first, *others) if name.endswith("_mean") else first

    def total(self, name: str, compute: Compute, tensors: Sequence[Tensor]) -> Values:
        """Return a call's values, `compute(*tensors)` or others; of spreads variance and mean."""
        raise NotImplementedError

    def _normalised(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Normalise groups of channels by their mean and variance over the image."""
        given: dict[str, Any] = named_arguments(func, args, kwargs)
        image = given["input"]
        if not given.get("use_input_stats", True) or image.dim() < 3:
            return func(*args, **kwargs)
        groups = given.get("num_groups", image.shape[1])

        def compute(image: Tensor) -> Values:
            cells = image.unflatten(1, (groups, -1)).to(torch.promote_types(image.dtype, torch.float32))
            return torch.var_mean(cells, dim=tuple(range(2, cells.dim())), correction=0, keepdim=True)

        variance, mean = self.total(NORMALISED, compute, [image])
        result = (image.unflatten(1, (groups, -1)) - mean) * (variance + given["eps"]).rsqrt()
        result, shape = result.flatten(1, 2), (-1, *[1] * (image.dim() - 2))
        if given["weight"] is not None:
            result = result * given["weight"].view(shape)
        if given["bias"] is not None:
            result = result + given["bias"].view(shape)
        return result.to(image.dtype)


class _Calls(Summing):
    """Notes the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def total(self, name: str, compute: Compute, tensors: Sequence[Tensor]) -> Values:
        """Return the values of a call."""
        values = compute(*tensors)
        self.calls.append(Call(name, [each.shape for each in tensors], [each.shape for each in values]))
        return values


def find_sums(run: AutocastRestore, channels: int = 3) -> ImageSums:
    """Return what a network sums over the whole image of 3 channels or 1.

    Nothing where that cannot be told.

    What a sum reads grows with the image, and what it gives does not: tried on two small images.
    """
    network, calls = run.network, []
    try:
        for count, *sides in PROBES:
            height, width = map(facts_of(network).fit, sides)
            with _Calls() as watch:
                run.unchecked([], torch.zeros(count, channels, height, width, device=device_of(network)))
            calls.append(watch.calls)
    except Exception as error:  # a plugin may raise anything where it is watched
        LOGGER.debug("what %s sums over an image cannot be told: %r", type(network).__name__, error)
        return NO_SUMS
    small, large = calls
    names = [call.name for call in small]
    if names != [call.name for call in large]:
        return NO_SUMS
    found = {}
    for number, (call, other) in enumerate(zip(small, large, strict=True)):
        axes = [_changed(one, two) for one, two in zip(call.reads, other.reads, strict=True)]
        pairs = zip(call.gives, other.gives, strict=True)
        if axes[0] and all(len(one) and two == (2 * one[0], *one[1:]) for one, two in pairs):
            found[number] = axes
    return ImageSums(names, found)


def _changed(small: torch.Size, large: torch.Size) -> tuple[int, ...]:
    """Return the axes, but for the batch's, along which shapes differ."""
    return tuple(axis for axis in range(1, min(len(small), len(large))) if small[axis] != large[axis])


# ---- moments


def moments_of(name: str, values: Values, count: int) -> Values:
    """Return what can be averaged, of the values of a call over `count` pixels."""
    exact = torch.float32 if values[0].device.type == "mps" else torch.float64
    first, *rest = (value.to(exact) for value in values)
    if name in SPREADS:
        return first + rest[0].square(), rest[0]
    if name in LENGTHS:
        return (first.square() / count,)
    return (first / count if name in SUMS else first,)


def values_of(name: str, moments: Values, count: int) -> Values:
    """Return the values of a call over `count` pixels; the inverse of `moments_of`."""
    first, *rest = moments
    if name in SPREADS:
        variance = (first - rest[0].square()).clamp_min(0)
        return variance, rest[0]
    if name in LENGTHS:
        return ((first * count).sqrt(),)
    return (first * count if name in SUMS else first,)


TileMoments = dict[int, tuple[Values, int]]
"""Of a tile, by the number of the call, beside the pixels that they are of."""


class Average:
    """The mean moments of tiles."""

    def __init__(self, tiles: Iterable[TileMoments] = ()) -> None:
        self._total: dict[int, Values] = {}
        self._pixels: dict[int, int] = {}
        for tile in tiles:
            self.add(tile)

    def add(self, tile: TileMoments, sign: int = 1) -> None:
        """Let a tile count, or with `sign` -1 no longer."""
        for number, (moments, count) in tile.items():
            scaled = tuple(value * (sign * count) for value in moments)
            total = self._total.get(number)
            self._total[number] = scaled if total is None else tuple(map(torch.add, total, scaled))
            self._pixels[number] = self._pixels.get(number, 0) + sign * count

    def moments(self) -> dict[int, Values]:
        """Return the means, by the number of the call."""
        return {number: tuple(value / self._pixels[number] for value in total) for number, total in self._total.items()}


def change_of(before: Mapping[int, Values], after: Mapping[int, Values]) -> float:
    """Return the largest change of a mean or a deviation, in deviations."""
    changes = []
    for number, moments in after.items():
        pair = (values_of(NORMALISED, each, 1) for each in (before[number], moments))
        (old_variance, old_mean), (variance, mean) = pair
        deviation = variance.sqrt().clamp_min(LEAST)
        changes += [(mean - old_mean).abs() / deviation, (old_variance.sqrt() / deviation - 1).abs()]
    return max(float(change.amax()) for change in changes)
