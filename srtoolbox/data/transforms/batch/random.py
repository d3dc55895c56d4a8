"""Random numbers of pixels, on the device: the same bits on every one, and for every size of an image.

The number of channel c, row y and column x of an image is a part of SplitMix64's output number
(c, y, x // 4) from the image's key (`Rngs.keys`). So it follows from the key and the place alone,
whatever lies in the batch beside. A hash of 64 bits makes four normal numbers or two of 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import normal_quantiles
from srtoolbox.data.transforms.batch.base import upload

_GOLDEN, _MIX1, _MIX2 = (
    value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # those of SplitMix64 as int64, which torch has and which wraps alike
_ROWS, _HASHES = 1 << 20, 1 << 20  # at most: rows of a channel, hashes of a row


def normals(keys: np.ndarray, shape: Sequence[int], device: torch.device, alike: np.ndarray) -> Tensor:
    """Return numbers of N(0, 1) for n images, cut off at 4.3: quantiles of 16 random bits.

    Args:
        keys: of the images, (n,) uint64.
        shape: (C, H, W).
        device: where to.
        alike: True for an image whose channels get the same numbers, (n,).

    Returns:
        float32 (n, C, H, W), or (n, 1, H, W) if all are alike.
    """
    bits = _lanes(keys, shape, device, alike, torch.int16).add_(1 << 15)
    return _quantiles(device).index_select(0, bits.flatten()).view(bits.shape)


def bits_of_32(keys: np.ndarray, shape: Sequence[int], device: torch.device, alike: np.ndarray) -> Tensor:
    """Return 32 random bits a pixel as int32 (n, C, H, W), the arguments as those of `normals`."""
    return _lanes(keys, shape, device, alike, torch.int32)


def _lanes(
    keys: np.ndarray, shape: Sequence[int], device: torch.device, alike: np.ndarray, dtype: torch.dtype
) -> Tensor:
    """Return whole numbers of 16 or 32 random bits as int32 (n, C, H, W); their upper bit is a sign."""
    channels, height, width = shape
    channels = 1 if alike.all() else channels
    lanes = 8 // dtype.itemsize
    hashes = _hashes(keys, (channels, height, -(-width // lanes)), device, alike)
    return hashes.view(dtype)[..., :width].to(torch.int32, copy=True, memory_format=torch.contiguous_format)


def _hashes(keys: np.ndarray, shape: Sequence[int], device: torch.device, alike: np.ndarray) -> Tensor:
    """Return 64 random bits for each place of (C, H, K), int64 (n, C, H, K)."""
    channels, height, count = shape
    channel = np.where(alike, 0, _ROWS)[:, None, None] * np.arange(channels)[:, None] + np.arange(height)
    first = keys[:, None, None] + (channel * _HASHES + 1).astype(np.uint64) * np.uint64(_GOLDEN + (1 << 64))
    value = upload(first.view(np.int64), device)[..., None] + torch.arange(count, device=device) * _GOLDEN
    for shift, factor in ((30, _MIX1), (27, _MIX2), (31, 1)):
        upper = (value >> shift).bitwise_and_((1 << (64 - shift)) - 1)  # the shift repeats the sign
        value = value.bitwise_xor_(upper)
        value = value.mul_(factor) if factor != 1 else value
    return value


@lru_cache(maxsize=8)
def _quantiles(device: torch.device) -> Tensor:
    return upload(normal_quantiles(), device)
