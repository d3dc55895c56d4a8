"""`Upscaler`: pictures of any size through one network, with all that decides how."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import nn

from srtoolbox.dist import unwrap
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import to_image
from srtoolbox.inference.patchwise import PATCHES, Patchwise
from srtoolbox.inference.precision import DTYPES, Restoring
from srtoolbox.inference.restore import evaluation
from srtoolbox.inference.tiling.memory import free_bytes, is_out_of_memory, shortage_told
from srtoolbox.inference.tiling.planner import Cut, Cutter
from srtoolbox.inference.tiling.plans import Planner, split, wrapper
from srtoolbox.inference.tiling.sources import Original, Refined, Refines, Resized
from srtoolbox.inference.tiling.stitch import Side, float_bands, inside, level_bands, resized
from srtoolbox.inference.tiling.wrapping import Wrapper, check_wrap
from srtoolbox.interfaces import network_faults
from srtoolbox.resize import output_length

SIDE_BYTES = 400
"""What a pixel of a side of the result takes: 320 its weights in a resize (measured), the rest a row."""
USUAL_BYTES = 2**26
"""What the sides may always take: what is free is an estimate, of pages that others may give up too."""


class Upscaler:
    """Upscales pictures with one network.

    Args:
        network: one of NETWORKS, bare or wrapped for DDP; its training flags are as before after each picture.
        device: where to run; the network is moved there. None: where the network is.
        tile: side of a tile in LR pixels, without what it sees around it; None: the whole picture in one piece;
            'auto': the whole, or its body in one piece and its upsampling in several, or tiles, as fits into memory.
        ensemble: average the results of the eight flips and turns (`SelfEnsemble`).
        dtype: 'fp32', 'bf16' or 'fp16'; see `Restoring`.
        outscale: final scale, any number above 0. The network's result is resized to it with MATLAB's bicubic
            `imresize`; networks that begin with an interpolation (SRCNN, VDSR) interpolate to it directly, if it
            enlarges. None: the network's own scale.
        overlap: pixels that tiles see around them, and over which they are cross-faded. None: as many as the network
            sees, which makes tiles exact; for a deep network, with much work. Fewer are faster and not exact.
        batch: how many tiles of the same shape are run together.
        patches: 'overlapping' or 'non-overlapping', see `Patchwise`; for networks that begin with an interpolation.
        wrap: 'x', 'y' or 'xy' for pictures that tile: beyond the left and right edge (x), the top and bottom one (y)
            lies the opposite side, and the result tiles too. A side is then resized by just the factor that makes it
            whole pixels. Networks that see the whole picture are shown whole repetitions of it.

    Raises:
        SrtoolboxError: an option that is not one of the above, or does not go with the network.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device | str | None = None,
        tile: int | str | None = "auto",
        ensemble: bool = False,
        dtype: str = "fp32",
        outscale: float | None = None,
        overlap: int | None = None,
        batch: int = 1,
        patches: str | None = None,
        wrap: str | None = None,
    ) -> None:
        bare = unwrap(network)
        _check(bare, tile, dtype, outscale, overlap, batch, patches)
        check_wrap(wrap, patches)
        self._modules = network if device is None else network.to(device)
        self.device = next(network.parameters(), torch.empty(0, device=device)).device
        self.scale = bare.scale if outscale is None else outscale
        """The final scale."""
        self.wrap = wrap
        """Which axes wrap."""
        self._direct = isinstance(bare, Refines) and (patches is not None or 1 < self.scale != bare.scale)
        self._is_resized = not self._direct and self.scale != bare.scale
        self._network = Refined(bare) if self._direct else bare
        self._network = Patchwise(self._network, patches) if patches else self._network
        self._batch, self._dtype, self._around = batch, dtype, wrapper(ensemble)
        planner = Planner(self._network, self._around, dtype)
        self._cutter = Cutter(planner, self.device, None if patches else tile, overlap, batch)
        support = math.ceil(2 / min(1, self.scale / bare.scale)) + 1 if self._is_resized else 0
        self._wrapper = Wrapper(self._network, wrap, overlap, support)
        self._runs: dict[int | None, Restoring] = {}

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result of a picture of this size: each times `scale`, rounded up as by `imresize`."""
        return output_length(height, self.scale), output_length(width, self.scale)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """HWC uint8 or uint16, RGB or gray (C = 1) -> HWC of `size`, same dtype and number of channels.

        Raises:
            SrtoolboxError: another array, or one for which memory does not suffice.
        """
        bands = self._start(image, whole=True)
        band = next(bands)
        shape = (*self.size(*image.shape[:2]), image.shape[2])
        if band.shape == shape:
            return band
        with shortage_told("for the result, which `bands` gives piece by piece"):
            result, done = np.empty(shape, image.dtype), 0
        while band is not None:
            result[done : done + len(band)] = band
            done += len(band)
            band = None  # before the next one is made
            band = next(bands, None)
        return result

    def bands(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """The result as bands of rows, top to bottom: for results that do not fit into memory.

        Where memory runs out, what is missing is done in smaller tiles. Errors as in `__call__`.
        """
        return self._start(image, whole=False)

    def _start(self, image: np.ndarray, whole: bool) -> Iterator[np.ndarray]:
        if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16) or image.shape[2] not in (1, 3):
            raise SrtoolboxError(f"upscaling takes an HWC uint8 or uint16 picture, got {image.dtype} {image.shape}")
        if 0 in image.shape:
            raise SrtoolboxError(f"a picture to upscale has pixels, got {image.shape}")
        self._check_sides(*self.size(*image.shape[:2]))
        kept = math.prod(self.size(*image.shape[:2])) * image.shape[2] * image.itemsize if whole else 0
        return self._bands(self._source(image), 8 * image.itemsize, kept)

    def _source(self, image: np.ndarray) -> Original | Resized:
        if not self._direct:
            return Original(image, self.device, self._wrapper.margins(image.shape[:2]))
        size = self.size(*image.shape[:2])
        return Resized(image, self.scale, size, self.device, self._wrapper.margins(size), self._wrapper.wraps)

    def _check_sides(self, height: int, width: int) -> None:
        """Raises SrtoolboxError where not even the weights of a resize to this size, and a row, fit into memory."""
        needed = SIDE_BYTES * (height + width)
        if needed > USUAL_BYTES and needed > free_bytes(torch.device("cpu")):
            raise SrtoolboxError(
                f"the result would be {width} x {height} pixels: memory does not suffice for a row of it; take a "
                "smaller outscale"
            )

    def _bands(self, source: Original | Resized, bits: int, kept: int) -> Iterator[np.ndarray]:
        """Bands of the result; where memory runs out, the rest is done in smaller tiles."""
        size, scale = (source.height, source.width), self._network.scale
        value = 4 if self._is_resized else bits // 8
        row_bytes = 2 * size[1] * scale**2 * 3 * value  # the last band is still there when the next is made
        with evaluation(self._modules), torch.inference_mode():
            cut = self._cutter.cut(size, row_bytes, kept)
        done = 0
        while True:
            try:
                bands = self._tiled(source, cut, bits, done)
                while (band := self._next(bands)) is not None:
                    rows = len(band)
                    yield band
                    done += rows
                    del band  # before the next one is made
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # the traceback holds what is to be freed
            cut = self._cutter.smaller(cut, size, failure)

    def _next(self, bands: Iterator[np.ndarray]) -> np.ndarray | None:
        """The next band: a generator must not be in these modes while it waits."""
        with evaluation(self._modules), torch.inference_mode():
            return next(bands, None)

    def _tiled(self, source: Original | Resized, cut: Cut, bits: int, after: int) -> Iterator[np.ndarray]:
        """Bands of the result, beginning at row `after`."""
        scale, area = self._network.scale, cut.plan.area
        grid = cut.way.grid(source.height, source.width, cut.plan.tile, self._batch)
        run = self._runs.setdefault(area, Restoring(self._around(split(self._network, area)), self._dtype))
        bands = partial(float_bands, run, source, scale, grid)
        if self._is_resized:
            floats = resized(bands, *self._sides(source), after)
            return (to_image(band, bits) for band in floats)
        margins = source.margins
        height, width = (n * scale for n in (source.height - sum(margins[0]), source.width - sum(margins[1])))
        top, left = (margin.before * scale for margin in margins)
        if grid.is_sharp:
            levels = level_bands(run, source, scale, grid, bits, top + after)
        else:
            levels = (to_image(band, bits) for band in bands(top + after))
        return inside(levels, height - after, slice(left, left + width))

    def _sides(self, source: Original | Resized) -> list[Side]:
        """How height and width of the network's result are resized."""
        scale, sides = self._network.scale, []
        lengths = source.height, source.width
        for length, margin, is_wrapped in zip(lengths, source.margins, self._wrapper.wraps, strict=True):
            length -= sum(margin)
            outputs = output_length(length * scale, self.scale / scale)
            factor = outputs / (length * scale) if is_wrapped else self.scale / scale
            sides.append(Side(length * scale, factor, outputs, margin.before * scale, is_wrapped))
        return sides


def upscale(
    network: nn.Module,
    image: np.ndarray,
    *,
    device: torch.device | str | None = None,
    wrap: str | None = None,
) -> np.ndarray:
    """Upscale one picture of any size, cut as memory asks: an `Upscaler` with little set, for one call.

    Args:
        network: one of NETWORKS; its training flags are as before afterwards.
        image: HWC uint8 or uint16, RGB or gray (C = 1).
        device: where to run; the network is moved there. None: where the network is.
        wrap: 'x', 'y' or 'xy' for pictures that tile, see `Upscaler`.

    Returns:
        HWC of `scale` times the size, same dtype and number of channels.
    """
    return Upscaler(network, device=device, wrap=wrap)(image)


def _check(
    network: nn.Module,
    tile: object,
    dtype: object,
    outscale: object,
    overlap: object,
    batch: object,
    patches: object,
) -> None:
    """Raises SrtoolboxError at the first option that is not possible."""
    fault = network_faults(network)
    if fault:
        raise SrtoolboxError(fault)
    if tile is not None and tile != "auto" and not _is_count(tile):
        raise SrtoolboxError(f"tile is a number of pixels from 1, 'auto' or None, got {tile!r}")
    if dtype not in DTYPES:
        raise SrtoolboxError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    if outscale is not None and not (isinstance(outscale, int | float) and 0 < outscale < math.inf):
        raise SrtoolboxError(f"outscale is a finite number above 0, got {outscale!r}")
    if overlap is not None and not _is_count(overlap):
        raise SrtoolboxError(f"overlap is a number of pixels from 1, or None, got {overlap!r}")
    if not _is_count(batch):
        raise SrtoolboxError(f"batch is a number of tiles from 1, got {batch!r}")
    if patches is not None and patches not in PATCHES:
        raise SrtoolboxError(f"patches is one of {', '.join(PATCHES)}, or None, got {patches!r}")
    if patches is not None and _is_count(tile):
        raise SrtoolboxError(f"patches are cut by themselves: tile is not needed beside them, got {tile!r}")
    if patches is not None and not isinstance(network, Refines):
        raise SrtoolboxError(
            f"patches are of the interpolated picture: they are for networks that begin with an interpolation (SRCNN, "
            f"VDSR), {type(network).__name__} does not"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
