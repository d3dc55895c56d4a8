"""Feature maps of any layer of a network, and filters of its first, as gray images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.plots.panels import Cell
from srtoolbox.text import did_you_mean

Limits = tuple[np.ndarray, np.ndarray]
"""The values drawn black and white: two arrays (C,)."""


def layer_fault(network: nn.Module, layer: str) -> str | None:
    """Return None where the network has the layer, else a sentence with the names there are."""
    names = [name for name, _ in network.named_modules() if name]
    if layer in names:
        return None
    hint = f"{did_you_mean(layer, names)} {_listing(names)}"
    return f"{type(network).__name__} has no layer {layer!r}.{hint}"


def _listing(names: Sequence[str]) -> str:
    """Return 'Its layers: ...', of many without those deeper than two levels."""
    outer = names if len(names) <= 60 else [name for name in names if name.count(".") < 2]
    more = "" if len(outer) == len(names) else f" and {len(names) - len(outer)} within these"
    return f"Its layers: {', '.join(outer)}{more}."


@contextlib.contextmanager
def recording(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """Record what layers give out while the network runs on one image.

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
        if fault := layer_fault(network, layer):
            raise SrtoolboxError(fault)
    maps: dict[str, np.ndarray] = {}

    def keep(layer: str, output: object) -> None:
        if not isinstance(output, Tensor) or output.dim() != 4 or len(output) != 1:
            kind = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            hint = "not maps (1, C, h, w): choose another"
            raise SrtoolboxError(f"layer {layer!r} gives {kind}, {hint}")
        maps[layer] = output[0].detach().float().cpu().numpy().copy()

    handles = [
        modules[layer].register_forward_hook(lambda *call, layer=layer: keep(layer, call[2])) for layer in layers
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def limits_of(maps: Sequence[np.ndarray]) -> Limits:
    """Return the 1st and 99th percentile, for contrast, of each channel over several (C, h, w)."""
    flat = np.concatenate([part.reshape(len(part), -1) for part in maps], axis=1).astype(np.float32)
    low, high = np.percentile(flat, [1, 99], axis=1)
    return low, high


def gray_levels(maps: np.ndarray, limits: Limits) -> np.ndarray:
    """Return (C, h, w) as (C, h, w, 1) uint8, black and white at the limits; flat maps are gray."""
    low, high = (limit[:, None, None] for limit in limits)
    spread = np.where(high > low, high - low, 1)
    levels = np.where(high > low, (maps.astype(np.float32) - low) / spread, 0.5)
    return np.round(np.clip(np.nan_to_num(levels), 0, 1) * 255).astype(np.uint8)[..., None]


def channel_cells(maps: np.ndarray, channels: Sequence[int], limits: Limits) -> list[Cell]:
    """Return a cell for each of (C, h, w), titled by the channel and its values black and white."""
    cells = zip(gray_levels(maps, limits), channels, *limits, strict=True)
    return [Cell(image, f"{channel}:  {low:.2g} ... {high:.2g}") for image, channel, low, high in cells]


def choose_channels(count: int, channels: int | Sequence[int], layer: str) -> list[int]:
    """Return numbers of channels: those given, or so many of all `count`, evenly chosen.

    Raises:
        SrtoolboxError: the layer has no such channel.
    """
    if isinstance(channels, int):
        size = min(channels, count)
        return sorted({place * count // size for place in range(size)})
    if wrong := ", ".join(str(channel) for channel in channels if not 0 <= channel < count):
        raise SrtoolboxError(f"layer {layer!r} has channels 0 ... {count - 1}, not {wrong}")
    return list(channels)


def first_filters(network: nn.Module, layer: str | None = None) -> tuple[str, np.ndarray]:
    """Return the weights of the first convolution, or of the one named.

    Returns:
        Its name, and the filters (count, C, h, w) float32.

    Raises:
        SrtoolboxError: no such layer, or it is no convolution.
    """
    modules = network.named_modules()
    convs = {name: module for name, module in modules if isinstance(module, nn.Conv2d)}
    if layer is None and not convs:
        kind = type(network).__name__
        raise SrtoolboxError(f"{kind} has no convolution whose filters could be shown")
    name = layer if layer is not None else next(iter(convs))
    if name not in convs:
        hint = f"layer {name!r} is no convolution. {_listing(list(convs))}"
        raise SrtoolboxError(layer_fault(network, name) or hint)
    with torch.no_grad():
        return name, convs[name].weight.float().cpu().numpy()


def filter_cells(filters: np.ndarray, numbers: Sequence[int]) -> list[Cell]:
    """Return filters (count, C, h, w) as cells: of three channels in colour, of others the first.

    Gray is 0; each is drawn with its own largest weight as black or white, and titled by its number
    and that weight.
    """
    cells = []
    for number, weights in zip(numbers, filters, strict=True):
        planes = weights if len(weights) == 3 else weights[:1]
        peak = float(np.abs(planes).max())
        levels = np.round(np.clip(127.5 + planes / (peak or 1) * 127.5, 0, 255)).astype(np.uint8)
        image = np.ascontiguousarray(levels.transpose(1, 2, 0))
        cells.append(Cell(image, f"{number}:  ±{peak:.2g}"))
    return cells
