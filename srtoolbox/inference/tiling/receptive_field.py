"""The receptive field of a network that does not say it itself, measured."""

from __future__ import annotations

import contextlib
import copy
import itertools
import weakref
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from srtoolbox.compat.pytorch import DispatchMode, OpOverload
from srtoolbox.inference.tiling.nan_spread import NanSpread, Untraceable
from srtoolbox.interfaces import Opaque, facts_of, unwrap
from srtoolbox.logger import LOGGER

CHROMA = 2  # pixels that the bicubic interpolation of the chroma sees, beside a network for luma
# of strips, in LR pixels, to try: what sees across half of the longest counts as seeing everything
LENGTHS = (96, 192, 768)
HEIGHT = 8
ROUNDING = 1e-5  # of the range of values: more than float32 inside a network makes of another place
PLACES = 4  # at least so many neighbours must be seen alike
COMPARED = 40  # columns, at least, that must be the same at another place
LEVELS = ((0.25, 0.75), (-40.0, 40.0))  # of the values of strips: gates close on some
_GATES = """
    relu hardtanh hardsigmoid hardswish sigmoid tanh clamp clamp_min clamp_max leaky_relu threshold
    elu celu selu softplus silu gelu mish hardshrink softshrink round floor ceil trunc sign erf
    log_sigmoid_forward
"""
GATES = frozenset(_GATES.split())
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
SLOPE = 0.75  # of an open gate; not 1, so that nothing cancels where the gate's input is subtracted

_measured: weakref.WeakKeyDictionary[nn.Module, int | None] = weakref.WeakKeyDictionary()


def receptive_field_of(network: nn.Module) -> int | None:
    """Return the radius in LR pixels that `restore` needs around a pixel, chroma included.

    Where the network does not tell it, it is measured once. None: the whole image, or unknown.
    """
    bare, facts = unwrap(network), facts_of(network)
    radius = facts.receptive_field
    if radius is None and not isinstance(bare, Opaque):
        if bare not in _measured:
            _measured[bare] = measure_receptive_field(bare)
        radius = _measured[bare]
    return max(radius, CHROMA) if radius is not None and facts.colour == "y" else radius


@torch.inference_mode(False)
@torch.no_grad()
def measure_receptive_field(network: nn.Module) -> int | None:
    """Return the radius in LR pixels of what an output pixel depends on; None: all, or unknown.

    Columns of a long strip are NaN, and the output says which pixels depend on them, whatever the
    weights and values: shut or saturated gates hide nothing (`NanSpread`). Each pixel of a cell of
    `size_multiple` is tried, in the middle and at both ends, along rows and along columns. Some
    networks count as seeing everything: those that work in cells of another size (windows of
    attention, strides, behind a padding of their own), that depend on a pixel's place, or that
    decide by values (sorting, indices, Python's `if`).
    """
    # in windows a pixel's place decides what it sees
    if getattr(network, "padded_multiple", 1) > 1:
        return None
    try:
        exact = copy.deepcopy(network).to("cpu", torch.float64).eval()
        with sdpa_kernel(SDPBackend.MATH):
            for length in map(facts_of(exact).fit, LENGTHS):
                lying = _radius_along(exact, length, False)
                standing = None if lying is None else _radius_along(exact, length, True)
                if lying is not None and standing is not None:
                    radius = max(lying, standing)
                    return None if _depends_on_place(exact, radius) else radius
    except Exception as error:  # a plugin may raise anything at float64, a strip, or NaN
        LOGGER.debug("how far %s sees cannot be measured: %r", type(network).__name__, error)
    return None


def _radius_along(network: nn.Module, length: int, is_standing: bool) -> int | None:
    """Return how far along a strip a column is seen; None: to an end, or not everywhere as far.

    Raises:
        Untraceable: the network decides by values.
    """
    facts = facts_of(network)
    cell, scale = facts.size_multiple, facts.scale
    middle = length // 2 // cell * cell
    inner = range(middle, middle + max(2 * cell, PLACES))
    columns = [*inner, *range(cell), *range(length - cell, length)]
    first = _dependents(network, length, [middle], is_standing)
    if first[0, 0] or first[0, -1]:  # most of the work is saved where a network sees everything
        return None
    rest = _dependents(network, length, [None, *columns[1:]], is_standing)[1:]
    rows = torch.cat([first, rest])
    ends = [_first_and_last(row) for row in rows]
    if any(low == 0 or high == rows.shape[1] - 1 for low, high in ends[: len(inner)]):
        return None
    step = cell * scale
    if any(not torch.equal(rows[n][:-step], rows[n + cell][step:]) for n in range(len(inner) - cell)):
        return None
    places = zip(columns, ends, strict=True)
    reaches = [max(column - low // scale, high // scale - column) for column, (low, high) in places]
    radius = max(reaches[: len(inner)])
    # further at the ends: around them, to the other end
    return radius if max(reaches) == radius else None


def _dependents(network: nn.Module, length: int, columns: Sequence[int | None], is_standing: bool) -> Tensor:
    """Return (columns, scale * length) booleans: what depends on each column of a strip.

    None as a column: on any of them. The strips are a batch. A decision by a value is only sure to
    be noticed where None is the first one.
    """
    strips = _strip(network, length, LEVELS[0]).repeat(len(columns), 1, 1, 1)
    for strip, column in zip(strips, columns, strict=True):
        strip[..., slice(None) if column is None else column] = torch.nan
    with NanSpread():
        result = _run_along(network, strips, is_standing)
    return result.isnan().amax(dim=(1, 2))


def _first_and_last(row: Tensor) -> tuple[int, int]:
    places = row.nonzero().flatten()
    if not len(places):
        raise Untraceable("nothing of the input reaches the output")
    return int(places[0]), int(places[-1])


def _depends_on_place(network: nn.Module, radius: int) -> bool:
    """True if, far from the border, other values come out when the strip begins one cell later.

    Tried on several ranges of values, and with positive weights and open gates, where nothing is
    saturated, dead or cancelled.
    """
    facts = facts_of(network)
    cell, reach = facts.size_multiple, facts.fit(radius)
    length = reach + cell + facts.fit(COMPARED)
    trials = [(network, levels, False) for levels in LEVELS]
    trials.append((_all_paths_open(network), LEVELS[0], True))
    skipped = (cell + reach) * facts.scale
    for (probe, levels, is_open), is_standing in itertools.product(trials, (False, True)):
        strip = _strip(probe, length, levels)
        expected = _run_along(probe, strip, is_standing, is_open)
        other = _run_along(probe, strip[..., cell:], is_standing, is_open)
        difference = (other[..., skipped - cell * facts.scale :] - expected[..., skipped:]).abs()
        if not difference.amax() <= ROUNDING * (expected.amax() - expected.amin()):
            return True
    return False


def _all_paths_open(network: nn.Module) -> nn.Module:
    """Return a copy with positive weights of unit gain: trained ones may hide a connection."""
    probe = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    for parameter in probe.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
        noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_((noise + 0.5) / fan_in)
    for module in probe.modules():
        if isinstance(module, BATCH_NORMS):
            module.reset_running_stats()
    return probe


class _OpenGates(DispatchMode):
    """Lets through what activations would clip, shut or saturate."""

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Replace an activation by a factor."""
        name = func.overloadpacket.__name__
        if name.removesuffix("_") not in GATES or not args[0].is_floating_point():
            return func(*args, **kwargs)
        return args[0].mul_(SLOPE) if name.endswith("_") else args[0] * SLOPE


def _strip(network: nn.Module, length: int, levels: tuple[float, float]) -> Tensor:
    facts = facts_of(network)
    shape = (1, facts.in_channels, facts.fit(HEIGHT), length)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return noise * (levels[1] - levels[0]) + levels[0]


def _run_along(network: nn.Module, strip: Tensor, is_standing: bool, is_open: bool = False) -> Tensor:
    """Run on a strip, or on the strip stood upright, whose result is laid down again."""
    with _OpenGates() if is_open else contextlib.nullcontext():
        return network(strip.transpose(2, 3)).transpose(2, 3) if is_standing else network(strip)
