"""Base of all datasets: samples by draw or by index, batches, crops for PyTorch's DataLoader."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.stores.base import Window
from srtoolbox.data.transforms.base import Sample
from srtoolbox.errors import DataError
from srtoolbox.image.pixels import copy_view
from srtoolbox.interfaces import IMAGE_KEYS

Batch = dict[str, Any]
"""'lq' (N, h, w, C) and 'gt' (N, scale*h, scale*w, C) tensors, uint8 or uint16; 'key' list of
names; 'index', 'draw' (N,) int64. Without 'lq' where the model makes it (`leave_out_lq`).
"""


class SRDataset(Dataset, ABC):
    """Images for training (`dataset[Draw(...)]`, random) and evaluation (`dataset[index]`).

    PyTorch's own DataLoader gets the latter, or with `dataset.crops(seed)` the former. `scale` is
    GT size over LQ size, or None where there is no GT.
    """

    scale: int | None
    is_share: bool = False
    """True if the images are those of this rank alone, and other ranks have others."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images (times the crops of each, for crop='ten')."""

    @abstractmethod
    def keys(self) -> Sequence[str]:
        """Return the image's name for every index."""

    @abstractmethod
    def whole(self, index: int) -> Sample:
        """Return sample `index` for evaluation: whole, GT cut to fit LQ, or a fixed crop."""

    @abstractmethod
    def sample(self, draw: Draw) -> Sample:
        """Return the training sample of a draw, a function of `draw` alone, in read-only views."""

    @abstractmethod
    def digest(self) -> str:
        """Return a hash that changes when the images or their order do."""

    def leave_out_lq(self) -> None:
        """Make no LQ from now on: the model makes it from GT alone.

        Where a class goes on making it, the LQ of its samples is left out.

        Raises:
            DataError: LQ is given here, and GT without it is not what the images are for.
        """

    def place(self, draw: Draw) -> Window | None:
        """Return the part of its image that a draw's crop is, in GT pixels.

        None: all of it, or unknown.

        A crop may be turned and mirrored, and go on beyond an image that was too small.
        """
        return None

    def draw_weights(self) -> np.ndarray | None:
        """Return how often each index is drawn, relative to the others (len,); None: all alike."""
        return None

    def __getitem__(self, item: int | Draw) -> Sample:
        return self.sample(item) if isinstance(item, Draw) else self.whole(item)

    def __getitems__(self, items: Sequence[Draw] | Sequence[int]) -> Batch | list[Sample]:
        """Return a finished batch of draws, or whole images of indices, as PyTorch samples them."""
        draws = [item for item in items if isinstance(item, Draw)]
        if draws:
            return collate([self.sample(draw) for draw in draws], draws)
        return [copy_arrays(self[index]) for index in items]

    def crops(self, seed: int = 0, *, epoch: int = 0) -> RandomCrops:
        """Return random crops, from epoch `epoch` on, for a DataLoader of PyTorch's own."""
        return RandomCrops(self, seed, epoch)


class RandomCrops(Dataset):
    """A map-style dataset whose item i is another transformed random crop of image i each time.

    The n-th crop of image i follows from (seed, n, i). The counts lie in memory that worker
    processes share, so an epoch is fresh whether workers persist or not, and the same for any
    number of them as long as no image is drawn twice within it (`shuffle=True` does not).

    Args:
        dataset: crops by its own `gt_size` and transforms.
        seed: any whole number; each process of a distributed training takes its own.
        epoch: the number of epochs to leave out, for a training that goes on.
    """

    def __init__(self, dataset: SRDataset, seed: int = 0, epoch: int = 0) -> None:
        self._dataset, self._seed, self._epoch = dataset, seed, epoch
        self._drawn = torch.zeros(len(dataset), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return `{'lq': (h, w, C), 'gt': (scale * h, scale * w, C), 'key': str}`, own arrays."""
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"crop {index} of {len(self)}")
        index %= len(self)
        epoch = self._epoch + int(self._drawn[index])
        self._drawn[index] += 1
        return copy_arrays(self._dataset.sample(Draw(index, epoch * len(self) + index, self._seed)))


def collate(
    samples: Sequence[Sample], draws: Sequence[Draw], *, allocate: Callable[..., torch.Tensor] = torch.empty
) -> Batch:
    """Return one batch of the samples of `draws`; pixels are copied once, from the store's map.

    They lie in what `allocate(shape, dtype=...)` returns. LQ is left out where a sample has none:
    the model makes it. Raises DataError if the samples differ in size or depth.
    """
    names = [name for name in IMAGE_KEYS if all(name in sample for sample in samples)]
    batch: Batch = {name: _stack([s[name] for s in samples], samples, allocate) for name in names}
    batch["key"] = [sample["key"] for sample in samples]
    batch["index"] = torch.tensor([draw.index for draw in draws])
    batch["draw"] = torch.tensor([draw.number for draw in draws])
    return batch


def _stack(
    images: Sequence[np.ndarray], samples: Sequence[Sample], allocate: Callable[..., torch.Tensor]
) -> torch.Tensor:
    first = images[0]
    for image, sample in zip(images, samples, strict=True):
        if image.shape != first.shape or image.dtype != first.dtype:
            one, other = ("{1}x{0}x{2} {3}".format(*each.shape, each.dtype) for each in (first, image))
            raise DataError(
                f"samples of one batch must be alike, but {samples[0]['key']!r} is {one} and "
                f"{sample['key']!r} is {other}: give the dataset a gt_size, or use batch_size=1"
            )
    dtype = torch.uint8 if first.dtype == np.uint8 else torch.uint16
    stacked = allocate((len(images), *first.shape), dtype=dtype)
    for target, image in zip(stacked.numpy(), images, strict=True):
        copy_view(target, image)
    return stacked


def copy_arrays(sample: Sample) -> Sample:
    """Return a sample with contiguous arrays: torch cannot take the views that stores give."""
    return {
        name: np.array(value, order="C") if isinstance(value, np.ndarray) else value for name, value in sample.items()
    }


def expand(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image with `channels` equal channels (a view) if it is gray (H, W, 1)."""
    height, width, own = image.shape
    return np.broadcast_to(image, (height, width, channels)) if own < channels else image


def as_list(paths: str | Sequence[str]) -> list[str]:
    """Return one path, or several, as a list."""
    return [paths] if isinstance(paths, str) else list(paths)
