"""`Upscaler`: images of any size through one network, with all that decides how."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from srtoolbox.devices import is_out_of_memory
from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.keep_colour import ColourCells, kept_colour, waiting_rows
from srtoolbox.inference.restore import (
    DTYPES,
    PATCHES,
    AutocastRestore,
    Patchwise,
    PiecewiseUpsampling,
    RefinementOnly,
    device_of,
    evaluation,
)
from srtoolbox.inference.tiling.grid import TileGrid
from srtoolbox.inference.tiling.memory import free_bytes, memory_model_of, shortage_as_error
from srtoolbox.inference.tiling.planner import MarginPlanner, Size, TilePlan, TilePlanner
from srtoolbox.inference.tiling.source import Side, Source
from srtoolbox.inference.tiling.statistics import measure_statistics, rounds_for
from srtoolbox.inference.tiling.stitch import CheckedRun, begin_whole, stitch_bands
from srtoolbox.inference.tiling.sums import ImageSums, find_sums
from srtoolbox.inference.transfer import Download
from srtoolbox.interfaces import Refinable, Splittable, facts_of, network_faults, unwrap
from srtoolbox.io.threads import follow
from srtoolbox.logger import LOGGER
from srtoolbox.resize import output_length

Images = TypeVar("Images", np.ndarray, list[np.ndarray])
"""uint8 or uint16, (H, W, 3) RGB, (H, W, 1) or (H, W) gray; or a list of such."""
WRAPS = ("x", "y", "xy")
SIDE_BYTES = 400  # of a pixel of a side of the result: 320 for its weights in a resize, its row
USUAL_BYTES = 2**26  # that the sides may always take: what is free is an estimate


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
        keep_colour: take off what the low frequencies of the result differ by from the image's
            (back-projection); they then agree to half a level, but where the result is clipped.

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
        keep_colour: bool = False,
    ) -> None:
        _check(network, tile, dtype, outscale, overlap, batch, patches, wrap)
        bare = unwrap(network)
        fault = network_faults(bare)
        if fault:
            raise SrtoolboxError(fault)
        self._modules = network if device is None else network.to(device)
        self.settings = {"tile": tile, "ensemble": ensemble, "dtype": dtype, "outscale": outscale, "overlap": overlap}
        self.settings |= {"batch": batch, "patches": patches, "wrap": wrap, "keep_colour": keep_colour}
        """The arguments that it was made with."""
        own_scale = facts_of(network).scale
        self.scale = own_scale if outscale is None else outscale
        """The final scale."""
        self.wraps = "y" in (wrap or ""), "x" in (wrap or "")
        """True for each of rows and columns if they go on with themselves; 'x' is along columns."""
        self.keeps_colour = keep_colour
        """True if results keep the low frequencies of the images."""
        changes_scale = self.scale != own_scale
        enlarges = patches is not None or (changes_scale and self.scale > 1)
        self._is_direct = isinstance(bare, Refinable) and enlarges
        self._is_resized = changes_scale and not self._is_direct
        core = RefinementOnly(bare) if self._is_direct else bare
        core = Patchwise(core, patches) if patches else core
        self._core_scale = facts_of(core).scale
        self._pieces = PiecewiseUpsampling(core) if isinstance(core, Splittable) else None
        self._run = AutocastRestore(self._pieces or core, dtype, ensemble=ensemble)
        self.device = device_of(network, device)
        memory, side = partial(memory_model_of, core, dtype, ensemble=ensemble), None if patches else tile
        self._planner = TilePlanner(core, memory, self.device, side, overlap, batch, ensemble)
        support = math.ceil(2 / min(1, self.scale / own_scale)) + 1 if self._is_resized else 0
        self._sums: dict[int, ImageSums] = {}  # by channels
        self._margins = MarginPlanner(core, self.wraps, overlap, support) if wrap else None

    @property
    def network(self) -> nn.Module:
        """The network that it was made with."""
        return self._modules

    @property
    def ahead(self) -> int:
        """Number of images to begin, by `bands`, before one is asked for: one on a GPU."""
        return 1 if self.device.type == "cuda" else 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the result of an image of this size.

        Each is multiplied by `scale` and rounded up, as by `imresize`.
        """
        if isinstance(self.scale, int):
            return height * self.scale, width * self.scale
        return output_length(height, self.scale), output_length(width, self.scale)

    def __call__(self, image: Images) -> Images:
        """Upscale an image, or each of a list of images.

        Args:
            image: uint8 or uint16, (H, W, 3) RGB, (H, W, 1) or (H, W) gray; or a list of such.

        Returns:
            The same kind of array, or list of arrays, of `size`.

        Raises:
            SrtoolboxError: another array, or one for which memory does not suffice.
        """
        if isinstance(image, list | tuple):
            return list(self.each(image))
        return self._begun(image)()

    def each(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the results of images; a GPU has begun the next one before a result is waited for.

        Images, results and errors as in `__call__`.
        """
        return (finish() for finish in follow(map(self._begun, images), self.ahead))

    def _begun(self, image: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin an image, see `bands`; return what gives its result."""
        hwc = _as_hwc(image)
        shape = (*self.size(*hwc.shape[:2]), hwc.shape[2])
        bands = self._bands(hwc, math.prod(shape) * hwc.itemsize, self.keeps_colour)

        def finish() -> np.ndarray:
            result = _gathered(bands, shape)
            return result if image.ndim == 3 else result[..., 0]

        return finish

    def bands(self, image: np.ndarray, *, keep_colour: bool | None = None) -> Iterator[np.ndarray]:
        """Return the result as bands of rows, top to bottom: for those that do not fit into memory.

        Where memory runs out, what is missing is done in smaller tiles. Images and errors as in
        `__call__`, but no lists. A GPU that takes the image whole begins at once, and others may be
        begun before the bands are asked for (see `ahead`); else the network runs as they are.
        `keep_colour` None is as the upscaler was made; what is no colour (alpha) is upscaled with
        False.
        """
        bands = self._bands(_as_hwc(image), 0, self.keeps_colour if keep_colour is None else keep_colour)
        return bands if image.ndim == 3 else (band[..., 0] for band in bands)

    def cells(self, image: np.ndarray) -> ColourCells:
        """Return the cells in which colours of an image (H, W, C) and its result are compared."""
        size = self.size(*image.shape[:2])
        axes = zip(image.shape[:2], size, self.wraps, strict=True)
        scales = [after / before if wraps else self.scale for before, after, wraps in axes]
        return ColourCells(image, size, scales, self.wraps)

    def _bands(self, image: np.ndarray, result_bytes: int, keeps_colour: bool) -> Iterator[np.ndarray]:
        """Return the bands, with the image's colours if kept; memory as in `_run_bands`."""
        if not keeps_colour:
            return self._run_bands(image, result_bytes)
        size = self.size(*image.shape[:2])
        waiting = waiting_rows(size, self.scale, self.wraps[0]) * size[1] * image.shape[2] * image.itemsize
        return kept_colour(self._run_bands(image, result_bytes + waiting), self.cells(image))

    def _run_bands(self, image: np.ndarray, result_bytes: int) -> Iterator[np.ndarray]:
        """Check for memory for a row, begin if a device works by itself, and return the bands.

        `result_bytes` is the memory of the whole result where it is kept, else 0.
        """
        size = self.size(*image.shape[:2])
        needed = SIDE_BYTES * sum(size)
        if needed > USUAL_BYTES and needed > free_bytes(torch.device("cpu")):
            raise SrtoolboxError(
                f"the result would be {size[1]} x {size[0]} pixels: memory does not suffice for a "
                "row of it; take a smaller outscale"
            )
        begun = self._begin(image, result_bytes) if self.ahead else None
        return self._run_tiles(image, size, result_bytes) if begun is None else self._finish(begun, image, result_bytes)

    def _begin(self, image: np.ndarray, result_bytes: int) -> Download | None:
        """Ask the device for all of an image and do not wait; None if it is not taken whole."""
        source = Source(image, self.device)
        size = source.height, source.width
        if self._margins is not None or self._is_direct or self._is_resized:
            return None
        with evaluation(self._modules), torch.inference_mode():
            plan = self._planner.plan(size, self._row_bytes(source), result_bytes)
            grid = plan.grid(size)
            if len(grid.rows) > 1 or len(grid.columns) > 1:
                return None
            if self._pieces is not None:
                self._pieces.piece = plan.piece
            try:
                return begin_whole(self._run, source, 8 * image.itemsize)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
        self._run.forget()
        return None

    def _finish(self, begun: Download, image: np.ndarray, result_bytes: int) -> Iterator[np.ndarray]:
        """Yield the whole as one band.

        Where its values are not finite it is done again, and checked.
        """
        pixels, is_finite = begun.result()
        if is_finite:
            yield pixels
            return
        yield from self._run_tiles(image, self.size(*image.shape[:2]), result_bytes)

    def _row_bytes(self, source: Source) -> int:
        """Return the memory of the part of the result that belongs to one row of `source`."""
        itemsize = 4 if self._is_resized else source.image.itemsize
        # the last band is there when the next is made
        return 2 * source.width * self._core_scale**2 * 3 * itemsize

    def _run_tiles(self, image: np.ndarray, target: Size, result_bytes: int) -> Iterator[np.ndarray]:
        """Yield the bands; where memory runs out, the rest is done in smaller tiles."""
        inner = target if self._is_direct else (image.shape[0], image.shape[1])
        margins = self._margins.margins(inner) if self._margins else None
        axes = zip(image.shape[:2], target, self.wraps, strict=True)
        sides = [Side(old, new, self.scale, wraps) for old, new, wraps in axes]
        source = Source(image, self.device, margins, sides if self._is_direct else None)
        size = source.height, source.width
        with evaluation(self._modules), torch.inference_mode():
            plan = self._planner.plan(size, self._row_bytes(source), result_bytes)
        outscale, bits, done = self.scale if self._is_resized else None, 8 * image.itemsize, 0
        run: CheckedRun = self._run
        while True:
            grid = plan.grid(size, self._planner.batch)
            try:
                # also where the plan before had no tiles, for which memory ran out
                if run is self._run:
                    run = self._tile_run(source, plan, grid)
                bands = stitch_bands(run, source, self._core_scale, grid, bits, outscale, done)
                while True:
                    # while this generator waits, the modes are the caller's, and others may run
                    with evaluation(self._modules), torch.inference_mode():
                        if self._pieces is not None:
                            self._pieces.piece = plan.piece
                        band = next(bands, None)
                    if band is None:
                        return
                    yield band
                    done += len(band)
                    del band  # before the next one is made
                    if done == target[0]:
                        return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # the traceback holds what is to be freed
                self._run.forget()
            plan = self._planner.smaller(plan, size, failure)

    def _tile_run(self, source: Source, plan: TilePlan, grid: TileGrid) -> CheckedRun:
        """Return how windows are run: with what the whole image has where the network sees it."""
        is_single = len(grid.rows) == len(grid.columns) == 1
        if not plan.overlap.is_faded or is_single or not self._planner.sees_all:
            return self._run
        with evaluation(self._modules), torch.inference_mode():
            if self._pieces is not None:
                self._pieces.piece = plan.piece
            sums = self._sums_of(source.image.shape[2])
            return measure_statistics(self._run, sums, source, grid) or self._run

    def _sums_of(self, channels: int) -> ImageSums:
        """Return what is summed over images of so many channels, found at the first of them."""
        if channels not in self._sums:
            sums = self._sums[channels] = find_sums(self._run, channels)
            if sums.axes:
                name, rounds = type(unwrap(self._modules)).__name__, rounds_for(sums)
                times = ("once", "twice")[rounds - 1] if rounds <= 2 else f"up to {rounds} times"
                text = "%s sums over the whole image: its tiles are run %s more before, to learn these sums"
                LOGGER.info(text, name, times)
        return self._sums[channels]


def upscale(
    network: nn.Module, image: Images, *, device: torch.device | str | None = None, wrap: str | None = None
) -> Images:
    """Upscale images of any size, cut as memory asks: an `Upscaler` with little set, for one call.

    Args:
        network, device: as in `Upscaler`.
        image: uint8 or uint16, (H, W, 3) RGB, (H, W, 1) or (H, W) gray; or a list of such.
        wrap: 'x', 'y' or 'xy' for images that tile, see `Upscaler`.

    Returns:
        The same kind of array, or list of arrays, of `scale` times the size.
    """
    return Upscaler(network, device=device, wrap=wrap)(image)


def _gathered(bands: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return the whole of this shape; the first band itself if it is all."""
    result, done = next(bands), 0
    if result.shape == shape:
        return result
    band: np.ndarray | None = result
    with shortage_as_error("for the result, which `bands` gives piece by piece"):
        result = np.empty(shape, result.dtype)
    while band is not None:
        result[done : done + len(band)] = band
        done += len(band)
        band = None  # before the next one is made
        band = next(bands, None)
    return result


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
    wrap: object,
) -> None:
    """Raise SrtoolboxError at the first option that is not possible."""
    is_tile, is_overlap = tile in (None, "auto") or _is_count(tile), overlap is None or _is_count(overlap)
    is_free = patches is None or not _is_count(tile)
    is_scale = outscale is None or (isinstance(outscale, int | float) and 0 < outscale < math.inf)
    rules = (
        (is_tile, "tile is a number of pixels from 1, 'auto' or None", tile),
        (dtype in DTYPES, f"dtype is one of {', '.join(DTYPES)}", dtype),
        (is_scale, "outscale is a finite number above 0", outscale),
        (is_overlap, "overlap is a number of pixels from 1, or None", overlap),
        (_is_count(batch), "batch is a number of tiles from 1", batch),
        (patches in (None, *PATCHES), f"patches is one of {', '.join(PATCHES)}, or None", patches),
        (is_free, "patches are cut by themselves: tile is not needed beside them", tile),
    )
    for is_kept, rule, value in rules:
        if not is_kept:
            raise SrtoolboxError(f"{rule}, got {value!r}")
    if patches is not None and not isinstance(unwrap(network), Refinable):
        raise SrtoolboxError(
            "patches are of the interpolated image: they are for networks that begin with an interpolation (SRCNN, "
            f"VDSR), {type(unwrap(network)).__name__} does not"
        )
    if wrap is not None and wrap not in WRAPS:
        raise SrtoolboxError(f"wrap is one of {', '.join(WRAPS)}, or None, got {wrap!r}")
    if wrap is not None and patches == "non-overlapping":
        raise SrtoolboxError(
            "patches that do not overlap see nothing around them, so nothing can wrap around: take 'overlapping'"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
