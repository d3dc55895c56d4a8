"""Coarse maps that a network enlarges to the image's size (ESA), in tiles as in the whole.

Such a map has a cell for every sixth pixel, say, but fewer than a sixth of the pixels, as its
convolutions and its pooling leave the ends out. Enlarged to the size of what the network is given,
its cells come to lie where that size has them: elsewhere in a tile than in the whole. So tiles
begin where cells do, and their maps are enlarged by the sizes of the whole image. Then such a
network sees a finite way.

Like sums over the image, these maps are found by their operator, in runs on small images.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import DispatchMode, OpOverload
from srtoolbox.inference.restore import ORIENTATIONS, Orientation, device_of, evaluation
from srtoolbox.inference.tiling.grid import Tile
from srtoolbox.interfaces import Opaque, facts_of, unwrap
from srtoolbox.logger import LOGGER

ENLARGING = "upsample_bilinear2d"
PROBES = ((24, 40), (72, 104))  # images, height, width; maps of up to 48 pixels a cell are seen
Sides = tuple[int, int]
Place = tuple[Tile, Tile]
"""Of a tile, in rows and columns."""


class CoarseMap(NamedTuple):
    """A coarse map of an image, and what it is enlarged to."""

    cells: Sides
    fine: Sides
    step: int = 0  # pixels of the image for each cell
    image: Sides = (0, 0)  # before it is turned
    orientation: Orientation = ORIENTATIONS[0]

    def starts(self, place: Place) -> list[int]:
        """Return the first row and the first column of a tile in the image as it is turned."""
        is_transposed, flips = self.orientation
        ends = [(tile.read_start, side - tile.read_stop) for tile, side in zip(place, self.image, strict=True)]
        turned = reversed(ends) if is_transposed else ends
        return [pair[axis in flips] for axis, pair in zip((-2, -1), turned, strict=True)]


class _Enlarged(DispatchMode):
    """Notes which sizes are enlarged to which."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[CoarseMap] = []

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Run an operator."""
        result = func(*args, **kwargs)
        if func.overloadpacket.__name__ == ENLARGING:
            assert isinstance(result, Tensor)
            self.maps.append(CoarseMap(_sides(args[0]), _sides(result)))
        return result


def _sides(image: Tensor) -> Sides:
    return image.shape[-2], image.shape[-1]


_found: weakref.WeakKeyDictionary[nn.Module, Sequence[int]] = weakref.WeakKeyDictionary()


def coarse_steps(network: nn.Module) -> Sequence[int]:
    """Return the pixels of a cell of each map that is enlarged to the image's size.

    0 for what else is enlarged.

    Found at first use: a map grows by a cell for so many pixels, but is not its share of the image.
    """
    bare = unwrap(network)
    if bare not in _found:
        _found[bare] = () if isinstance(bare, Opaque) else _find(bare)
    return _found[bare]


def _find(network: nn.Module) -> list[int]:
    small, large = (_maps(network, sides) for sides in PROBES)
    return [_step(*maps) for maps in zip(small, large, strict=True)] if len(small) == len(large) else []


@torch.inference_mode()
def _maps(network: nn.Module, size: Sequence[int]) -> list[CoarseMap]:
    """Return what a run on an image of this size enlarges; nothing where it cannot be watched."""
    facts = facts_of(network)
    try:
        with evaluation(network), _Enlarged() as watch:
            network(torch.zeros(1, facts.in_channels, *map(facts.fit, size), device=device_of(network)))
    except Exception as error:  # a plugin may raise anything
        LOGGER.debug("what %s enlarges cannot be told: %r", type(network).__name__, error)
        return []
    return watch.maps


def _step(small: CoarseMap, large: CoarseMap) -> int:
    """Return the pixels of a cell.

    0: the map is the same share of any image, or does not grow with it.
    """
    grown = [large.cells[axis] - small.cells[axis] for axis in (0, 1)]
    pixels = [PROBES[1][axis] - PROBES[0][axis] for axis in (0, 1)]
    is_share = all(large.fine[axis] * small.cells[axis] == small.fine[axis] * large.cells[axis] for axis in (0, 1))
    if is_share or grown[0] < 1 or pixels[0] % grown[0]:
        return 0
    step = pixels[0] // grown[0]
    is_even = pixels[1] // step <= grown[1] <= -(-pixels[1] // step)
    is_fine = all(large.fine[axis] - small.fine[axis] == pixels[axis] for axis in (0, 1))
    return step if is_even and is_fine else 0


def whole_maps(
    network: nn.Module, size: Sides, multiple: int, orientations: Sequence[Orientation] = ORIENTATIONS[:1]
) -> dict[int, CoarseMap]:
    """Return the maps of an image of this size, by the number of the call.

    Args:
        network: the network itself.
        size: of the image.
        multiple: what divides starts of tiles, see `planner.tile_multiple`.
        orientations: in which the network runs, one after the other.
    """
    steps = coarse_steps(network)
    # at an end that is another one in a flipped tile
    is_filled = facts_of(network).size_multiple > 1
    if not any(steps) or (is_filled and len(orientations) > 1):
        return {}
    maps = [_maps_of(network, sides, multiple) for sides in (size, size[::-1])]
    return {
        turn * len(steps) + number: each._replace(image=size, orientation=orientation)
        for turn, orientation in enumerate(orientations)
        for number, each in maps[orientation[0]].items()
    }


def _maps_of(network: nn.Module, size: Sides, multiple: int) -> dict[int, CoarseMap]:
    """Return the maps of an image: those of a small one that ends alike, with cells added."""
    steps, fit = coarse_steps(network), facts_of(network).fit
    height, width = map(fit, size)
    sides = zip((height, width), PROBES[0], strict=True)
    ends = [min(side, least + (side - least) % multiple) for side, least in sides]
    maps, (down, across) = _maps(network, ends), (height - ends[0], width - ends[1])
    if len(maps) != len(steps):  # of this size it does something else
        return {}
    whole = {}
    for number, step in enumerate(steps):
        if not step:
            continue
        (high, wide), (tall, broad) = maps[number][:2]
        whole[number] = CoarseMap((high + down // step, wide + across // step), (tall + down, broad + across), step)
    return whole


def enlarge(call: Mapping[str, object], whole: CoarseMap, places: Sequence[Place]) -> Tensor | None:
    """Return the maps of tiles enlarged as that of the whole is; None: they are not parts of that.

    Args:
        call: the arguments of the operator, by name.
        whole: the map of the whole image.
        places: where the tiles of the batch lie.
    """
    cells, size = call["input"] if "input" in call else call["self"], call["output_size"]
    assert isinstance(cells, Tensor) and isinstance(size, Sequence)
    if len(cells) != len(places):
        return None
    parts = []
    for part, place in zip(cells.split(1), places, strict=True):
        for axis, start in enumerate(whole.starts(place)):
            first, odd = divmod(start, whole.step)
            if odd or first + part.shape[axis + 2] > whole.cells[axis] or start + size[axis] > whole.fine[axis]:
                return None
            pixels = torch.arange(start, start + size[axis], dtype=torch.float32, device=cells.device)
            at = _cell_of(pixels, whole.cells[axis], whole.fine[axis], bool(call["align_corners"])) - first
            part = _between(part, axis + 2, at)
        parts.append(part)
    return torch.cat(parts).to(cells.dtype)


def _cell_of(pixels: Tensor, cells: int, fine: int, are_corners_aligned: bool) -> Tensor:
    """Return where pixels of `fine` ones lie among the cells, as torch has it."""
    at = pixels * ((cells - 1) / max(1, fine - 1)) if are_corners_aligned else (pixels + 0.5) * (cells / fine) - 0.5
    return at.clamp(0, cells - 1)


def _between(cells: Tensor, axis: int, at: Tensor) -> Tensor:
    """Interpolate along an axis."""
    last = cells.shape[axis] - 1
    at = at.clamp(0, last)
    low = at.floor()
    share = (at - low).view([-1 if each == axis else 1 for each in range(cells.dim())])
    before, after = low.long(), (low.long() + 1).clamp(max=last)
    exact = cells.to(torch.promote_types(cells.dtype, share.dtype))
    return torch.lerp(exact.index_select(axis, before), exact.index_select(axis, after), share.to(exact.dtype))


def step_of(network: nn.Module) -> int:
    """Return what divides the starts of tiles, so that they begin where cells of all maps do."""
    return math.lcm(*filter(None, coarse_steps(network)))
