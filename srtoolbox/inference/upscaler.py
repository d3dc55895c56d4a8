"""`Upscaler`: images of any size through one network, with all that decides how."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import overload

import numpy as np
import torch
from torch import nn

from srtoolbox.dist import unwrap
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import to_image
from srtoolbox.inference.restore import DTYPES, AutocastRestore, device_of, evaluation
from srtoolbox.inference.tiling.memory import free_bytes, is_out_of_memory, shortage_as_error
from srtoolbox.inference.tiling.memory_model import memory_model_of
from srtoolbox.inference.tiling.planner import TilePlan, TilePlanner
from srtoolbox.inference.tiling.sources import (
    ImageSource,
    MarginPlanner,
    ResizedSource,
    Source,
    check_wrap,
)
from srtoolbox.inference.tiling.stitch import (
    Side,
    cropped_bands,
    float_bands,
    resized_bands,
    rounded_bands,
)
from srtoolbox.inference.wrappers import PATCHES, Patchwise, PiecewiseUpsampling, RefinementOnly
from srtoolbox.interfaces import Refinable, facts_of, network_faults
from srtoolbox.resize import output_length

SIDE_BYTES = 400
"""The bytes of a pixel of a side of the result: 320 for its weights in a resize (measured), the rest
for a row."""
USUAL_BYTES = 2**26
"""The bytes that the sides may always take: what is free is an estimate, of pages that others may
give up, too."""


class Upscaler:
    """Upscales images with one network.

    Args:
        network: one of NETWORKS, bare or wrapped for DDP; its training flags are as before after
            each image.
        device: where to run; the network is moved there. None: where the network is.
        tile: side of a tile in LR pixels, without what it sees around it; None: the whole image in
            one piece; 'auto': the whole, or its body in one piece and its upsampling in several, or
            tiles, as fits into memory.
        ensemble: average the results of the eight flips and turns (`SelfEnsemble`).
        dtype: 'fp32', 'bf16' or 'fp16'; see `AutocastRestore`.
        outscale: final scale, any number above 0. The network's result is resized to it with
            MATLAB's bicubic `imresize`; networks that begin with an interpolation (SRCNN, VDSR)
            interpolate to it directly, if it enlarges. None: the network's own scale.
        overlap: pixels that tiles see around them, and over which they are cross-faded. None: as
            many as the network sees, which makes tiles exact; for a deep network, with much work.
            Fewer are faster and not exact.
        batch: how many tiles of the same shape are run together.
        patches: 'overlapping' or 'non-overlapping', see `Patchwise`; for networks that begin with
            an interpolation.
        wrap: 'x', 'y' or 'xy' for images that tile: beyond the left and right edge (x), the top and
            bottom one (y) lies the opposite side, and the result tiles too. A side is then resized
            by just the factor that makes it whole pixels. Networks that see the whole image see
            whole repetitions of it.

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
        self.device = device_of(network, device)
        own_scale = facts_of(bare).scale
        self.scale = own_scale if outscale is None else outscale
        """The final scale."""
        self.wrap = wrap
        """The axes that wrap."""
        changes_scale = self.scale != own_scale
        enlarges = patches is not None or (changes_scale and self.scale > 1)
        self._is_direct = isinstance(bare, Refinable) and enlarges
        self._is_resized = changes_scale and not self._is_direct
        run = RefinementOnly(bare) if self._is_direct else bare
        self._network = Patchwise(run, patches) if patches else run
        self._run_scale = facts_of(self._network).scale
        self._dtype, self._ensemble = dtype, ensemble
        memory = partial(memory_model_of, self._network, dtype, ensemble=ensemble)
        tile = None if patches else tile
        self._planner = TilePlanner(self._network, memory, self.device, tile, overlap, batch)
        support = math.ceil(2 / min(1, self.scale / own_scale)) + 1 if self._is_resized else 0
        self._margins = MarginPlanner(self._network, wrap, overlap, support)
        self._runs: dict[int | None, AutocastRestore] = {}

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the result of an image of this size.

        Each is multiplied by `scale` and rounded up, as by `imresize`.
        """
        return output_length(height, self.scale), output_length(width, self.scale)

    @overload
    def __call__(self, image: np.ndarray) -> np.ndarray: ...

    @overload
    def __call__(self, image: Sequence[np.ndarray]) -> list[np.ndarray]: ...

    def __call__(self, image: np.ndarray | Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        """Upscale an image, or each of a list of images.

        Args:
            image: uint8 or uint16, (H, W, 3) RGB, (H, W, 1) or (H, W) gray; or a list of such.

        Returns:
            The same kind of array, of `size`; of a list, a list.

        Raises:
            SrtoolboxError: another array, or one for which memory does not suffice.
        """
        if isinstance(image, list | tuple):
            return [self(each) for each in image]
        result = self._whole(_as_hwc(image))
        return result if np.ndim(image) == 3 else result[..., 0]

    def _whole(self, image: np.ndarray) -> np.ndarray:
        bands = self._bands(image, is_kept=True)
        band: np.ndarray | None = next(bands)
        shape = (*self.size(*image.shape[:2]), image.shape[2])
        if band is not None and band.shape == shape:
            return band
        with shortage_as_error("for the result, which `bands` gives piece by piece"):
            result, done = np.empty(shape, image.dtype), 0
        while band is not None:
            result[done : done + len(band)] = band
            done += len(band)
            band = None  # before the next one is made
            band = next(bands, None)
        return result

    def bands(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Return the result as bands of rows, top to bottom: for those that do not fit into memory.

        Where memory runs out, what is missing is done in smaller tiles. Images and errors as in
        `__call__`, but no lists.
        """
        bands = self._bands(_as_hwc(image), is_kept=False)
        return bands if image.ndim == 3 else (band[..., 0] for band in bands)

    def _bands(self, image: np.ndarray, *, is_kept: bool) -> Iterator[np.ndarray]:
        """Check that there is memory for a row at least, and return the bands."""
        height, width = self.size(*image.shape[:2])
        needed = SIDE_BYTES * (height + width)
        if needed > USUAL_BYTES and needed > free_bytes(torch.device("cpu")):
            raise SrtoolboxError(
                f"the result would be {width} x {height} pixels: memory does not suffice for a row of it; take a "
                "smaller outscale"
            )
        result_bytes = height * width * image.shape[2] * image.itemsize if is_kept else 0
        return self._retried(self._source(image), 8 * image.itemsize, result_bytes)

    def _source(self, image: np.ndarray) -> Source:
        if not self._is_direct:
            return ImageSource(image, self.device, self._margins.margins(image.shape[:2]))
        size = self.size(*image.shape[:2])
        margins = self._margins.margins(size)
        return ResizedSource(image, self.scale, size, self.device, margins, self._margins.wraps)

    def _retried(self, source: Source, bits: int, result_bytes: int) -> Iterator[np.ndarray]:
        """Yield the bands; where memory runs out, the rest is done in smaller tiles."""
        size, value = (source.height, source.width), 4 if self._is_resized else bits // 8
        # the last band is still there when the next is made
        row_bytes = 2 * source.width * self._run_scale**2 * 3 * value
        with evaluation(self._modules), torch.inference_mode():
            plan = self._planner.plan(size, row_bytes, result_bytes)
        done = 0
        while True:
            bands = self._planned(source, plan, bits, done)
            try:
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
            plan = self._planner.smaller(plan, size, failure)

    def _next(self, bands: Iterator[np.ndarray]) -> np.ndarray | None:
        """Return the next band: a generator must not be in these modes while it waits."""
        with evaluation(self._modules), torch.inference_mode():
            return next(bands, None)

    def _planned(self, source: Source, plan: TilePlan, bits: int, first: int) -> Iterator[np.ndarray]:
        """Return the bands of the result from row `first` on."""
        scale, margins = self._run_scale, source.margins
        if plan.piece not in self._runs:
            network = self._network
            network = network if plan.piece is None else PiecewiseUpsampling(network, plan.piece)
            self._runs[plan.piece] = AutocastRestore(network, self._dtype, ensemble=self._ensemble)
        run, grid = self._runs[plan.piece], plan.grid((source.height, source.width), self._planner.batch)
        floats = partial(float_bands, run, source, scale, grid)
        if self._is_resized:
            rows, columns = self._sides(source)
            return (to_image(band, bits) for band in resized_bands(floats, rows, columns, first))
        height, width = ((n - sum(m)) * scale for n, m in zip((source.height, source.width), margins, strict=True))
        top, left = (margin.before * scale for margin in margins)
        if grid.is_sharp:
            rounded = rounded_bands(run, source, scale, grid, bits, top + first)
        else:
            rounded = (to_image(band, bits) for band in floats(top + first))
        return cropped_bands(rounded, height - first, slice(left, left + width))

    def _sides(self, source: Source) -> Iterator[Side]:
        """Yield how height and width of the network's result are resized."""
        scale, lengths = self._run_scale, (source.height, source.width)
        for length, margin, wraps in zip(lengths, source.margins, self._margins.wraps, strict=True):
            inner = (length - sum(margin)) * scale
            outputs = output_length(inner, self.scale / scale)
            factor = outputs / inner if wraps else self.scale / scale
            yield Side(inner, factor, outputs, margin.before * scale, wraps)


@overload
def upscale(
    network: nn.Module,
    image: np.ndarray,
    *,
    device: torch.device | str | None = None,
    wrap: str | None = None,
) -> np.ndarray: ...


@overload
def upscale(
    network: nn.Module,
    image: Sequence[np.ndarray],
    *,
    device: torch.device | str | None = None,
    wrap: str | None = None,
) -> list[np.ndarray]: ...


def upscale(
    network: nn.Module,
    image: np.ndarray | Sequence[np.ndarray],
    *,
    device: torch.device | str | None = None,
    wrap: str | None = None,
) -> np.ndarray | list[np.ndarray]:
    """Upscale images of any size, cut as memory asks: an `Upscaler` with little set, for one call.

    Args:
        network: one of NETWORKS; its training flags are as before afterwards.
        image: uint8 or uint16, (H, W, 3) RGB, (H, W, 1) or (H, W) gray; or a list of such.
        device: where to run; the network is moved there. None: where the network is.
        wrap: 'x', 'y' or 'xy' for images that tile, see `Upscaler`.

    Returns:
        The same kind of array, of `scale` times the size; of a list, a list.
    """
    return Upscaler(network, device=device, wrap=wrap)(image)


def _as_hwc(image: object) -> np.ndarray:
    """Return the image as HWC; raises SrtoolboxError where it is none."""
    if not isinstance(image, np.ndarray):
        raise SrtoolboxError(f"upscaling takes arrays, and lists of them, got {type(image).__name__}")
    hwc = image[..., None] if image.ndim == 2 else image
    if hwc.ndim != 3 or hwc.dtype not in (np.uint8, np.uint16) or hwc.shape[2] not in (1, 3):
        raise SrtoolboxError(
            "upscaling takes an HWC uint8 or uint16 image (gray also as HW), or a list of them, got "
            f"{image.dtype} {image.shape}"
        )
    if 0 in hwc.shape:
        raise SrtoolboxError(f"an image to upscale has pixels, got {image.shape}")
    return hwc


def _check(
    network: nn.Module,
    tile: object,
    dtype: object,
    outscale: object,
    overlap: object,
    batch: object,
    patches: object,
) -> None:
    """Raise SrtoolboxError at the first option that is not possible."""
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
    if patches is not None and not isinstance(network, Refinable):
        raise SrtoolboxError(
            "patches are of the interpolated image: they are for networks that begin with an interpolation (SRCNN, "
            f"VDSR), {type(network).__name__} does not"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
