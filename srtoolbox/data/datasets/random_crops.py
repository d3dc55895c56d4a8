"""Random crops for a DataLoader of PyTorch's own."""

from __future__ import annotations

import operator
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from srtoolbox.data.loading.sampler import Draw
from srtoolbox.data.transforms.base import Sample


class Samples(Protocol):
    """The part of a dataset that crops need."""

    def __len__(self) -> int: ...

    def sample(self, draw: Draw) -> Sample: ...


class RandomCrops(Dataset):
    """A map-style dataset: item i is a random crop of image i, transformed, another one each time it is asked for.

    The n-th crop of image i follows from (seed, n, i). The counts lie in memory that worker processes share, so an
    epoch is fresh whether workers persist or not, and the same for any number of them as long as no image is drawn
    twice within it (`shuffle=True` does not).

    Args:
        dataset: what is cropped, by its own `gt_size` and transforms.
        seed: any whole number; each process of a distributed training takes its own.
        epoch: how many epochs to leave out, for a training that goes on.
    """

    def __init__(self, dataset: Samples, seed: int = 0, epoch: int = 0) -> None:
        self._dataset, self._seed, self._epoch = dataset, seed, epoch
        self._drawn = torch.zeros(len(dataset), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """`{'lq': (h, w, C), 'gt': (scale * h, scale * w, C), 'key': str}`, arrays uint8 or uint16 of their own."""
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"crop {index} of {len(self)}")
        index %= len(self)
        epoch = self._epoch + int(self._drawn[index])
        self._drawn[index] += 1
        return copy_arrays(self._dataset.sample(Draw(index, epoch * len(self) + index, self._seed)))


def copy_arrays(sample: Sample) -> Sample:
    """Return a sample whose arrays are contiguous copies: stores give views, which torch cannot take as they are."""
    return {
        name: np.array(value, order="C") if isinstance(value, np.ndarray) else value for name, value in sample.items()
    }
