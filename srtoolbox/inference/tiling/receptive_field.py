"""How far a network sees, measured: for networks that do not tell it themselves."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from srtoolbox.dist import unwrap
from srtoolbox.inference.tiling.nan_spread import Dye, Untraceable
from srtoolbox.inference.tiling.tiles import round_up
from srtoolbox.logger import LOGGER

LENGTHS = (96, 192, 768)
"""Strips, in LR pixels, on which a network is tried: one that sees across the half of the longest counts as seeing
everything."""
HEIGHT = 8
ROUNDING = 1e-5  # of the range of values: more than float32 inside a network makes of another place
PLACES = 4  # at least so many neighbours must be seen alike
COMPARED = 40  # columns, at least, that must be the same at another place
LEVELS = ((0.25, 0.75), (-40.0, 40.0))
"""Ranges of values on which a network must do the same at another place: gates close on some of them."""
_GATES = """
    relu hardtanh hardsigmoid hardswish sigmoid tanh clamp clamp_min clamp_max leaky_relu threshold elu celu selu
    softplus silu gelu mish hardshrink softshrink round floor ceil trunc sign erf log_sigmoid_forward
"""
GATES = frozenset(_GATES.split())
SLOPE = 0.75  # of an open gate; not 1, so that nothing cancels where the gate's input is subtracted

_measured: weakref.WeakKeyDictionary[nn.Module, int | None] = weakref.WeakKeyDictionary()


def seen_field(network: nn.Module) -> int | None:
    """Its `receptive_field`, or where that is None the measured one, which is remembered."""
    bare = unwrap(network)
    if bare.receptive_field is not None:
        return bare.receptive_field
    if bare not in _measured:
        _measured[bare] = measured_field(bare)
    return _measured[bare]


@torch.inference_mode(False)
@torch.no_grad()
def measured_field(network: nn.Module) -> int | None:
    """Radius in LR pixels of what an output pixel depends on; None: everything, or it cannot be told.

    Columns of a long strip are NaN, and the output says which pixels depend on them, whatever the weights and values:
    gates that are shut or saturated hide nothing (`Dye`). Each pixel of a cell of `size_multiple` is tried, in the
    middle and at both ends; rows and columns are measured apart. A network that works in cells without telling (windows
    of attention, strides, behind a padding of its own) is seen differently by neighbours, and one that knows where a
    pixel lies gives something else for a strip that begins elsewhere: they are treated as seeing everything, and so is
    one that decides by values (sorting, indices, Python's `if`).
    """
    try:
        exact = copy.deepcopy(network).to("cpu", torch.float64).eval()
        with sdpa_kernel(SDPBackend.MATH):
            for length in LENGTHS:
                length = round_up(length, network.size_multiple)
                radius = _radius(exact, length)
                if radius is not None:
                    return None if _knows_the_place(exact, radius) else radius
    except Exception as error:  # a plugin may raise anything at what it is not made for: float64, a strip, NaN
        LOGGER.debug("how far %s sees cannot be measured: %r", type(network).__name__, error)
    return None


def _radius(network: nn.Module, length: int) -> int | None:
    """How far along a strip, lying and standing, a column is seen; None: to an end, or not everywhere as far.

    Raises:
        Untraceable: the network decides by values.
    """
    radius = 0
    for transposed in (False, True):
        along = _radius_along(network, length, transposed)
        if along is None:
            return None
        radius = max(radius, along)
    return radius


def _radius_along(network: nn.Module, length: int, transposed: bool) -> int | None:
    cell, scale = network.size_multiple, network.scale
    middle = length // 2 // cell * cell
    inner = range(middle, middle + max(2 * cell, PLACES))
    dyed = [*inner, *range(cell), *range(length - cell, length)]
    begun = _seen(network, length, [middle], transposed)
    if begun[0, 0] or begun[0, -1]:  # asked first: most of the work is saved where a network sees everything
        return None
    seen = torch.cat([begun, _seen(network, length, [None, *dyed[1:]], transposed)[1:]])
    prints = [_first_and_last(row) for row in seen]
    if any(first == 0 or last == seen.shape[1] - 1 for first, last in prints[: len(inner)]):
        return None
    step = cell * scale
    if any(not torch.equal(seen[n][:-step], seen[n + cell][step:]) for n in range(len(inner) - cell)):
        return None
    places = zip(dyed, prints, strict=True)
    reaches = [max(column - first // scale, last // scale - column) for column, (first, last) in places]
    radius = max(reaches[: len(inner)])
    return radius if max(reaches) == radius else None  # further at the ends: around them, to the other end


def _seen(network: nn.Module, length: int, columns: Sequence[int | None], transposed: bool) -> Tensor:
    """(columns, scale * length) booleans: what depends on each column of a strip; None: on any of them.

    The strips are a batch. A decision by a value is only sure to be noticed where None is the first one.
    """
    strips = _strip(network, length, LEVELS[0]).repeat(len(columns), 1, 1, 1)
    for strip, column in zip(strips, columns, strict=True):
        strip[..., slice(None) if column is None else column] = torch.nan
    with Dye():
        result = _along(network, strips, transposed)
    return result.isnan().amax(dim=(1, 2))


def _first_and_last(row: Tensor) -> tuple[int, int]:
    places = row.nonzero().flatten()
    if not len(places):
        raise Untraceable("nothing of the input reaches the output")
    return int(places[0]), int(places[-1])


def _knows_the_place(network: nn.Module, radius: int) -> bool:
    """True if, far from the border, other values come out when the strip begins one cell later.

    Asked of the network on several ranges of values, and of one whose weights are positive and whose gates are open,
    where nothing is saturated, dead or cancelled.
    """
    cell = network.size_multiple
    length = round_up(radius, cell) + cell + round_up(COMPARED, cell)
    trials = [(network, levels, False) for levels in LEVELS] + [(_all_paths_open(network), LEVELS[0], True)]
    for probe, levels, is_open in trials:
        for transposed in (False, True):
            if _depends_on_place(probe, _strip(network, length, levels), radius, transposed, is_open):
                return True
    return False


def _depends_on_place(network: nn.Module, strip: Tensor, radius: int, transposed: bool, is_open: bool) -> bool:
    cell, scale = network.size_multiple, network.scale
    seen = (cell + round_up(radius, cell)) * scale
    expected, other = (_along(network, part, transposed, is_open) for part in (strip, strip[..., cell:]))
    difference = (other[..., seen - cell * scale :] - expected[..., seen:]).abs()
    return not bool(difference.amax() <= ROUNDING * (expected.amax() - expected.amin()))


def _all_paths_open(network: nn.Module) -> nn.Module:
    """A copy with positive weights of unit gain: the numbers of the trained ones may hide a connection."""
    probe = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    for parameter in probe.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
        noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_((noise + 0.5) / fan_in)
    for module in probe.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
    return probe


class _OpenGates(TorchDispatchMode):
    """Lets through what activations would clip, shut or saturate."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; otherwise torch would import its compiler first."""
        return False

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - what func gives
        name = func.overloadpacket.__name__
        if name.removesuffix("_") not in GATES or not args[0].is_floating_point():
            return func(*args, **(kwargs or {}))
        return args[0].mul_(SLOPE) if name.endswith("_") else args[0] * SLOPE


def _strip(network: nn.Module, length: int, levels: tuple[float, float]) -> Tensor:
    shape = (1, network.in_channels, round_up(HEIGHT, network.size_multiple), length)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return noise * (levels[1] - levels[0]) + levels[0]


def _along(network: nn.Module, strip: Tensor, transposed: bool, is_open: bool = False) -> Tensor:
    """The network's result on a strip, or on the strip stood upright and laid down again."""
    if is_open:
        with _OpenGates():
            return _along(network, strip, transposed)
    return network(strip.transpose(2, 3)).transpose(2, 3) if transposed else network(strip)
