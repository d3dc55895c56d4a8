"""How far a network sees, measured: for networks that do not tell it themselves."""

from __future__ import annotations

import copy
import weakref

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from srtoolbox.dist import unwrap
from srtoolbox.inference.spans import round_up
from srtoolbox.logger import LOGGER

LENGTHS = (96, 640)
"""Strips, in LR pixels, on which a network is tried: one that sees across the longest counts as seeing everything."""
HEIGHT = 8
TINY = 1e-280  # a gradient that small may hide smaller ones, which float64 has lost
ROUNDING = 1e-5  # of the range of values: more than float32 inside a network makes of another place

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
def measured_field(network: nn.Module) -> int | None:
    """Radius in LR pixels of what an output pixel depends on; None: everything, or it cannot be told.

    The gradient of the output at both ends of a long strip says which input pixels it depends on, in a copy of the
    network in float64 whose weights are positive and of unit gain: there no activation is dead and nothing cancels, so
    what is structurally connected has a gradient. A network that works in cells of `size_multiple` pixels is asked for
    each pixel of a cell. Rows and columns are measured apart. A network that works in cells without telling (windows of
    attention, strides, behind a padding of its own) gives something else for a strip that begins elsewhere, and so does
    one that knows where a pixel lies: they are treated as seeing everything.
    """
    try:
        probe = _all_paths_open(network)
        for length in LENGTHS:
            length = round_up(length, network.size_multiple)
            radii = [_radius(probe, length, flip) for flip in (False, True)]
            if None not in radii:
                places_count = [_depends_on_place(probe, length, max(radii), flip) for flip in (False, True)]
                return None if any(places_count) else max(radii)
    except Exception as error:  # a plugin may raise anything at what it is not made for: float64, a strip, autograd
        LOGGER.debug("how far %s sees cannot be measured: %r", type(network).__name__, error)
    return None


def _all_paths_open(network: nn.Module) -> nn.Module:
    """A copy with positive weights of unit gain: the numbers of the trained ones may hide a connection."""
    probe = copy.deepcopy(network).to("cpu", torch.float64).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in probe.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((noise + 0.5) / fan_in)
        for module in probe.modules():
            if isinstance(module, _BatchNorm):
                module.reset_running_stats()
    return probe


@torch.enable_grad()
def _radius(network: nn.Module, length: int, transposed: bool) -> int | None:
    """How far the pixels of the first and the last cell of a strip see along it; None: to the other end."""
    cell, scale = network.size_multiple, network.scale
    strip = _strip(network, length).requires_grad_(True)
    result = _along(network, strip, transposed)
    farthest = 0
    for pixel in (*range(cell), *range(length - cell, length)):
        target = result[..., pixel * scale : (pixel + 1) * scale].sum()
        (gradient,) = torch.autograd.grad(target, strip, retain_graph=True)
        places = _touched(gradient)
        if places is None or (pixel < cell and places[1] == length - 1) or (pixel >= cell and places[0] == 0):
            return None
        farthest = max(farthest, pixel - places[0], places[1] - pixel)
    return farthest


@torch.no_grad()
def _depends_on_place(network: nn.Module, length: int, radius: int, transposed: bool) -> bool:
    """Whether what a pixel becomes changes, far from the border, when the strip begins one cell later."""
    cell, scale = network.size_multiple, network.scale
    strip = _strip(network, length)
    seen = (cell + round_up(radius, cell)) * scale
    expected = _along(network, strip, transposed)
    found = _along(network, strip[..., cell:], transposed)
    difference = (found[..., seen - cell * scale :] - expected[..., seen:]).abs()
    return bool(difference.amax() > ROUNDING * (expected.amax() - expected.amin()))


def _strip(network: nn.Module, length: int) -> Tensor:
    shape = (1, network.in_channels, round_up(HEIGHT, network.size_multiple), length)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.5 + 0.25


def _along(network: nn.Module, strip: Tensor, transposed: bool) -> Tensor:
    """The network's result on a strip, or on the strip stood upright and laid down again."""
    return network(strip.transpose(2, 3)).transpose(2, 3) if transposed else network(strip)


def _touched(gradient: Tensor) -> tuple[int, int] | None:
    """First and last place along the strip with a gradient; None where float64 may have lost some."""
    size = gradient.abs().amax(dim=(0, 1, 2))
    places = size.nonzero().flatten()
    if not len(places) or not size.isfinite().all() or size[places].min() < TINY:
        return None
    return int(places[0]), int(places[-1])
