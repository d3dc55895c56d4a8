"""Feature maps of any layer of a network, and filters of its first: recorded, and drawn as gray pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.plots.grid import Cell
from srtoolbox.text import did_you_mean

Limits = tuple[np.ndarray, np.ndarray]
"""What is drawn black and what white: two arrays (C,)."""


def layer_fault(network: nn.Module, layer: str) -> str | None:
    """None where `network.named_modules()` has the layer, else a sentence with the nearest name or all of them."""
    names = [name for name, _ in network.named_modules() if name]
    if layer in names:
        return None
    return f"{type(network).__name__} has no layer {layer!r}.{did_you_mean(layer, names)} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """'Its layers: ...', those deeper than two levels left out where there are many."""
    shown = names if len(names) <= 60 else [name for name in names if name.count(".") < 2]
    more = "" if len(shown) == len(names) else f" and {len(names) - len(shown)} within these"
    return f"Its layers: {', '.join(shown)}{more}."


@contextlib.contextmanager
def recording(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """Record what layers give out while the network runs on one picture.

    Args:
        network: the network that is run inside the block.
        layers: names as in `network.named_modules()`.

    Yields:
        An empty dict; after a run it holds `{layer: (C, h, w) float32}`, of a layer used several
        times the last.

    Raises:
        SrtoolboxError: no such layer; or, from the run, a layer that gives no (1, C, h, w).
    """
    modules = dict(network.named_modules())
    for layer in layers:
        fault = layer_fault(network, layer)
        if fault:
            raise SrtoolboxError(fault)
    maps: dict[str, np.ndarray] = {}

    def keep(layer: str, output: object) -> None:
        if not isinstance(output, Tensor) or output.dim() != 4 or len(output) != 1:
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise SrtoolboxError(f"layer {layer!r} gives {given}, not maps (1, C, h, w): choose another")
        maps[layer] = output[0].detach().float().cpu().numpy().copy()

    handles = [
        modules[layer].register_forward_hook(lambda module, inputs, output, layer=layer: keep(layer, output))
        for layer in layers
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def limits_of(maps: Sequence[np.ndarray]) -> Limits:
    """The 1st and 99th percentile of each channel over several (C, h, w): outliers leave the rest its contrast."""
    flat = np.concatenate([part.reshape(len(part), -1) for part in maps], axis=1).astype(np.float32)
    low, high = np.percentile(flat, [1, 99], axis=1)
    return low, high


def drawn(maps: np.ndarray, limits: Limits) -> np.ndarray:
    """(C, h, w) as gray levels, (C, h, w, 1) uint8: black at the low limit, white at the high; a flat map is gray."""
    low, high = (limit[:, None, None] for limit in limits)
    spread = np.where(high > low, high - low, 1)
    levels = np.where(high > low, (maps.astype(np.float32) - low) / spread, 0.5)
    return np.round(np.clip(np.nan_to_num(levels), 0, 1) * 255).astype(np.uint8)[..., None]


def channel_cells(maps: np.ndarray, channels: Sequence[int], limits: Limits, *, ranges: bool = True) -> list[Cell]:
    """A cell for each of (C, h, w), titled by the number of its channel and, with `ranges`, what is black and white."""
    low, high = limits
    texts = [
        f"{channel}" + (f":  {low[place]:.2g} ... {high[place]:.2g}" if ranges else "")
        for place, channel in enumerate(channels)
    ]
    return [Cell(image, text) for image, text in zip(drawn(maps, limits), texts, strict=True)]


def choose_channels(count: int, wanted: int | Sequence[int], layer: str) -> list[int]:
    """Numbers of channels: the wanted ones, or `wanted` of all `count`, evenly.

    Raises:
        SrtoolboxError: the layer has no such channel.
    """
    if isinstance(wanted, int):
        return sorted({place * count // min(wanted, count) for place in range(min(wanted, count))})
    wrong = [channel for channel in wanted if not 0 <= channel < count]
    if wrong:
        raise SrtoolboxError(f"layer {layer!r} has channels 0 ... {count - 1}, not {', '.join(map(str, wrong))}")
    return list(wanted)


def first_filters(network: nn.Module, layer: str | None = None) -> tuple[str, np.ndarray]:
    """Weights of the first convolution, or of the one named.

    Returns:
        Its name, and the filters (count, C, h, w) float32.

    Raises:
        SrtoolboxError: no such layer, or it is no convolution.
    """
    convs = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    if layer is None and not convs:
        raise SrtoolboxError(f"{type(network).__name__} has no convolution whose filters could be shown")
    name = layer if layer is not None else next(iter(convs))
    if name not in convs:
        fault = layer_fault(network, name)
        raise SrtoolboxError(fault or f"layer {name!r} is no convolution. {listed(list(convs))}")
    with torch.no_grad():
        return name, convs[name].weight.float().cpu().numpy()


def filter_cells(filters: np.ndarray, numbers: Sequence[int]) -> list[Cell]:
    """Filters (count, C, h, w) as cells: of three channels in colour, of one gray, of others the first as gray.

    Gray is 0; each is drawn with its own largest weight as black or white, and titled by its number
    and that weight.
    """
    cells = []
    for number, weights in zip(numbers, filters, strict=True):
        shown = weights if len(weights) == 3 else weights[:1]
        peak = float(np.abs(shown).max())
        levels = np.round(np.clip(127.5 + shown / (peak or 1) * 127.5, 0, 255)).astype(np.uint8)
        cells.append(Cell(np.ascontiguousarray(levels.transpose(1, 2, 0)), f"{number}:  ±{peak:.2g}"))
    return cells
