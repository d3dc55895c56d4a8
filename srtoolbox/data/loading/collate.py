"""Samples to one batch: every pixel is copied once, from the store's map into the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from srtoolbox.data.loading.sampler import Draw
from srtoolbox.data.transforms.base import Sample
from srtoolbox.errors import DataError
from srtoolbox.image.pixels import copy_view
from srtoolbox.interfaces import IMAGE_KEYS

Batch = dict[str, Any]
"""'lq' (N, h, w, C) and 'gt' (N, scale*h, scale*w, C) tensors, uint8 or uint16; 'key' list of
names; 'index', 'draw' (N,) int64.
"""


def collate(samples: Sequence[Sample], draws: Sequence[Draw], *, pin: bool = False) -> Batch:
    """One batch of samples of equal size.

    Args:
        samples: what the dataset gave for `draws`.
        pin: allocate page-locked memory, from which a GPU copies without waiting.

    Raises:
        DataError: the samples differ in size or depth.
    """
    names = [name for name in IMAGE_KEYS if name in samples[0]]
    batch: Batch = {name: _stack([s[name] for s in samples], samples, pin) for name in names}
    batch["key"] = [sample["key"] for sample in samples]
    batch["index"] = torch.tensor([draw.index for draw in draws])
    batch["draw"] = torch.tensor([draw.number for draw in draws])
    return batch


def _stack(images: Sequence[np.ndarray], samples: Sequence[Sample], pin: bool) -> torch.Tensor:
    first = images[0]
    for image, sample in zip(images, samples, strict=True):
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DataError(
                f"samples of one batch must be alike, but {samples[0]['key']!r} is {_describe(first)} and "
                f"{sample['key']!r} is {_describe(image)}: give the dataset a gt_size, or use batch_size=1"
            )
    dtype = torch.uint8 if first.dtype == np.uint8 else torch.uint16
    stacked = torch.empty((len(images), *first.shape), dtype=dtype, pin_memory=pin)
    for target, image in zip(stacked.numpy(), images, strict=True):
        copy_view(target, image)
    return stacked


def _describe(image: np.ndarray) -> str:
    height, width, channels = image.shape
    return f"{width}x{height}x{channels} {image.dtype}"
