"""A training set kept on the device, and its crops cut there: the loader's samples, bit for bit.

The host draws where each crop lies and how it is turned, for a batch at once and as numbers: the
place of its first pixel, and the steps to the next row and the next column. The device gathers.
"""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.datasets.base import Batch, SRDataset
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import GTDataset, PairedDataset
from srtoolbox.data.loading.ahead import Waits, cuda_mark
from srtoolbox.data.loading.draws import Draw, EndlessSampler, Rngs
from srtoolbox.data.loading.loader import CLOSED, Begin
from srtoolbox.data.transforms.base import Nothing
from srtoolbox.data.transforms.orientation import RandomHorizontalFlip, RandomTranspose, RandomVerticalFlip
from srtoolbox.errors import RunError
from srtoolbox.io.threads import map_ahead
from srtoolbox.logger import LOGGER

SHARE = 0.25
"""The share of a device's free memory that a training set may take by itself."""
AT_ONCE = 32
"""Batches whose crops are drawn together: numpy takes as long for one."""
_CHUNK = 64 << 20  # bytes that are gathered on the host before they are copied
Wanted = bool | Literal["auto"]


class Views:
    """Square views of images in a row: first pixel, row step, column step, each (n,)."""

    def __init__(self, first: np.ndarray, row: np.ndarray, column: np.ndarray, side: int) -> None:
        self.first, self.row, self.column, self._last = first, row, column, side - 1

    def flip_columns(self, chosen: np.ndarray) -> None:
        """Mirror the chosen ones (n,) left and right."""
        self.first = np.where(chosen, self.first + self._last * self.column, self.first)
        self.column = np.where(chosen, -self.column, self.column)

    def flip_rows(self, chosen: np.ndarray) -> None:
        """Mirror the chosen ones (n,) top and bottom."""
        self.first = np.where(chosen, self.first + self._last * self.row, self.first)
        self.row = np.where(chosen, -self.row, self.row)

    def transpose(self, chosen: np.ndarray) -> None:
        """Swap rows and columns of the chosen ones (n,)."""
        self.row, self.column = np.where(chosen, self.column, self.row), np.where(chosen, self.row, self.column)


TURNS: Mapping[type, Callable[[Views, np.ndarray], None]] = {
    RandomHorizontalFlip: Views.flip_columns,
    RandomVerticalFlip: Views.flip_rows,
    RandomTranspose: Views.transpose,
}
"""The transforms that are made by cutting a crop in another order."""


class KeptSet:
    """The images of datasets in the memory of a device.

    Args:
        parts: alike in scale and channels, and in the size of their crops; see `fault`.
        device: where the pixels lie.

    Raises:
        ValueError: an image has 16 bits a channel.
    """

    def __init__(self, parts: Sequence[GTDataset], device: torch.device) -> None:
        self.parts, self.device = parts, device
        self.scale, side = parts[0].scale, parts[0].cropper.lq_size
        assert side is not None
        self.names = parts[0].image_keys
        self._factors = [1 if name == "lq" else self.scale for name in self.names]
        self._sides = [side * factor for factor in self._factors]
        self._keys = [part.keys() for part in parts]
        self._ends = list(itertools.accumulate(len(part) for part in parts))
        self._sizes = np.concatenate([part.sizes() for part in parts])
        pixels = self._sizes.prod(1)
        self._starts = np.cumsum(pixels) - pixels  # of LQ, in pixels; of GT scale^2 times as far
        count, channels = int(pixels.sum()), parts[0].channels
        self.pixels = tuple(
            torch.empty((count * factor**2, channels), dtype=torch.uint8, device=device) for factor in self._factors
        )
        self._fill()
        steps = [torch.arange(side, device=device) for side in self._sides]
        self._rows, self._columns = [step[:, None] for step in steps], [step[None] for step in steps]

    def _fill(self) -> None:
        """Read all images, as many at a time as there are processors."""
        numbers = [(part, number) for part in self.parts for number in range(len(part))]
        calls = map_ahead(lambda place: place[0].images(place[1]), numbers, threads=os.cpu_count() or 1)
        waiting: list[list[np.ndarray]] = [[] for _ in self.names]
        ends = [0] * len(self.names)
        for _, future in calls:
            for images, image in zip(waiting, map(future.result().__getitem__, self.names), strict=True):
                if image.dtype != np.uint8:
                    calls.close()
                    raise ValueError("its images have 16 bits a channel")
                images.append(image.reshape(-1, image.shape[2]))
            if sum(image.nbytes for image in waiting[-1]) >= _CHUNK:
                self._copy(waiting, ends)
        self._copy(waiting, ends)

    def _copy(self, waiting: list[list[np.ndarray]], ends: list[int]) -> None:
        for kind, images in enumerate(waiting):
            if images:
                chunk = torch.from_numpy(np.concatenate(images))
                self.pixels[kind][ends[kind] : ends[kind] + len(chunk)] = chunk.to(self.device)
                ends[kind] += len(chunk)
                images.clear()

    def key(self, index: int) -> str:
        """Return the name of an image."""
        part = bisect.bisect_right(self._ends, index)
        return self._keys[part][index - (self._ends[part - 1] if part else 0)]

    def views(self, indices: np.ndarray, numbers: np.ndarray, seed: int) -> list[Views]:
        """Return the views of `names` that are the samples of draws: image and number (n,)."""
        rngs, owners = Rngs(seed, numbers), np.searchsorted(self._ends, indices, side="right")
        sizes, starts = self._sizes[indices], self._starts[indices]
        free = sizes - self._sides[-1] // self.scale
        corner = np.stack((rngs.integers(free[:, 0] + 1), rngs.integers(free[:, 1] + 1)), 1)
        is_centred = np.array([part.cropper.mode == "center" for part in self.parts])[owners]
        corner = np.where(is_centred[:, None], free // 2, corner)
        views = []
        for side, factor in zip(self._sides, self._factors, strict=True):
            width, (top, left) = sizes[:, 1] * factor, corner.T * factor
            views.append(Views(starts * factor**2 + top * width + left, width, np.ones_like(width), side))
        for owner in np.unique(owners):
            for position, transform in enumerate(self.parts[owner].transforms.transforms):
                if type(transform) in TURNS:
                    chosen = (rngs.at(position).random() < transform.p) & (owners == owner)
                    for each in views:
                        TURNS[type(transform)](each, chosen)
        return views

    def cut(self, views: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Return the images of `names`, (n, h, w, C) each, of views (first, row, column)."""
        images = []
        for kind, (first, row, column) in enumerate(views):
            first, row, column = (value[:, None, None] for value in (first, row, column))
            places = torch.addcmul(torch.addcmul(first, row, self._rows[kind]), column, self._columns[kind])
            pixels = self.pixels[kind].index_select(0, places.flatten())
            images.append(pixels.view(*places.shape, pixels.shape[1]))
        return images


class KeptBatches(Iterator[Batch]):
    """Endless batches of a kept set, on its device: those of the loader with the same sampler.

    `begin` is what is done with each batch at last, as in `TrainLoader`.
    """

    def __init__(self, kept: KeptSet, sampler: EndlessSampler, begin: Begin | None = None) -> None:
        self._kept, self._draws, self._begin, self._is_closed = kept, iter(sampler), begin, False
        self._drawn: Iterator[tuple[list[Draw], Tensor]] = iter(())
        self.nbytes = sum(pixels.nbytes for pixels in kept.pixels)
        self.waits = Waits(partial(cuda_mark, kept.device)) if kept.device.type == "cuda" else None

    def __next__(self) -> Batch:
        if self._is_closed:
            raise RunError(CLOSED)
        if self.waits:
            self.waits.begin()
        draws, values = next(self._drawn, None) or self._draw()
        index, draw, *views = values.unbind()
        images = self._kept.cut([views[first : first + 3] for first in range(0, len(views), 3)])
        if self.waits:
            self.waits.end()
        keys = [self._kept.key(each.index) for each in draws]
        batch = {**dict(zip(self._kept.names, images, strict=True)), "key": keys, "index": index, "draw": draw}
        return self._begin(batch, draws) if self._begin else batch

    def _draw(self) -> tuple[list[Draw], Tensor]:
        """Draw the next batches.

        Return draws, and index, number and views (2 + 3 for each image, n) of the first.
        """
        batches = list(itertools.islice(self._draws, AT_ONCE))
        indices, numbers = np.array([(draw.index, draw.number) for batch in batches for draw in batch]).T
        views = self._kept.views(indices, numbers, batches[0][0].seed)
        rows = [indices, numbers, *(row for each in views for row in (each.first, each.row, each.column))]
        values = torch.from_numpy(np.stack(rows).reshape(len(rows), AT_ONCE, -1).swapaxes(0, 1).copy())
        if self._kept.device.type == "cuda":
            values = values.pin_memory().to(self._kept.device, non_blocking=True)
        self._drawn = zip(batches, values.unbind(), strict=True)
        return next(self._drawn)

    def close(self) -> None:
        """Give no more batches."""
        self._is_closed = True


def parts_of(dataset: SRDataset) -> list[SRDataset]:
    """Return the datasets that one is made of, in order."""
    if type(dataset) is not ConcatDataset:
        return [dataset]
    return [part for each in dataset.datasets for part in parts_of(each)]


def fault(dataset: SRDataset) -> str | None:
    """Return why a set's crops cannot be cut on a device, or None."""
    sizes = set()
    for part in parts_of(dataset):
        if type(part) not in (PairedDataset, GTOnlyDataset) or not isinstance(part, GTDataset):
            return f"{type(part).__name__} is not made there"
        if part.cropper.mode not in ("random", "center"):
            return f"crop={part.cropper.mode!r} is not made there"
        before = [] if part.before_lq is None else part.before_lq.transforms
        for transform in (*before, *part.transforms.transforms):
            if type(transform) not in (*TURNS, Nothing):
                return f"{type(transform).__name__} is not made there"
        if isinstance(part, GTOnlyDataset) and part.pipeline is not None:
            return "its pipeline is not run there"
        if isinstance(part, GTOnlyDataset) and part.degradations.transforms:
            return f"{type(part.degradations.transforms[0]).__name__} is not made there"
        sizes.add((part.cropper.lq_size, part.scale, part.channels))
    return None if len(sizes) == 1 else "its parts differ in size, scale or channels"


def kept_batches(
    dataset: SRDataset,
    sampler: EndlessSampler,
    device: torch.device,
    wanted: Wanted = "auto",
    begin: Begin | None = None,
    host_steps: Sequence[str] = (),
) -> KeptBatches | None:
    """Return batches of a set that is kept on the device, or None where the loader is to make them.

    Where it is kept, or is not although that was to be hoped, the log says so in one line.

    Args:
        dataset, sampler: what is drawn.
        device: of the run; on a CPU 'auto' is the loader, which is as fast.
        wanted: 'auto' keeps a set that takes at most SHARE of the free memory; True, any.
        begin: what is done with each batch at last, of which `host_steps` need the CPU.
    """
    if not wanted or (wanted == "auto" and device.type != "cuda"):
        return None
    reason = f"{host_steps[0]} needs the CPU" if host_steps else fault(dataset)
    parts = [part for part in parts_of(dataset) if isinstance(part, GTDataset)]
    size = 0
    if reason is None:
        size = sum(_bytes_of(part) for part in parts)
        if wanted == "auto" and size > (room := SHARE * torch.cuda.mem_get_info(device)[0]):
            reason = f"it takes {size / 2**30:.2f} GiB, and a quarter of the free memory is {room / 2**30:.2f}"
    if reason is None:
        LOGGER.info("data: the training set is kept on the device (%.2f GiB): read once, cut there", size / 2**30)
        try:
            kept = KeptSet(parts, device)
        except ValueError as error:
            reason = str(error)
    if reason is not None:
        LOGGER.info("data: the loader makes the batches, the training set is not kept on the device: %s", reason)
        return None
    return KeptBatches(kept, sampler, begin)


def _bytes_of(part: GTDataset) -> int:
    pixels = sum(1 if name == "lq" else part.scale**2 for name in part.image_keys)
    return int(part.sizes().prod(1).sum()) * pixels * part.channels
