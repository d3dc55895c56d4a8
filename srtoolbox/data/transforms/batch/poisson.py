"""Poisson numbers of pixels by Walker's alias method: exact, with no loop, alike on every device.

The published Poisson noise takes pixels of 8 bits, and a peak that is a power of 2 (1 ... 256):
there are 9 x 256 rates. Each has a table of 512 columns of equal probability, in which lie a count
and another one, its alias. A pixel takes a column by 9 random bits, and one of the two by 23 more
(Walker 1977, "An efficient method for generating discrete random variables with general
distributions"; the tables by Vose 1991, "A linear algorithm for generating random numbers with a
given distribution"). So a count's probability is right to 2^-32.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import torch
from scipy.special import gammaln, xlogy
from torch import Tensor

from srtoolbox.data.transforms.batch.base import upload

LEVELS = 256
PEAKS = 9  # powers of 2: 1, 2, 4 ... 256
_COLUMNS = 512  # of the largest rate, 256, counts above 511 have probability 1e-45


def poisson_counts(bits: Tensor, levels: Tensor, powers: Tensor) -> Tensor:
    """Return Poisson numbers of the rates levels / 255 * 2^powers.

    Args:
        bits: 32 random bits each, int32 (n, C, H, W).
        levels: 0 ... 255, int32 (n, C, H, W).
        powers: 0 ... 8, int32, which broadcast against `levels`.

    Returns:
        int32 (n, C, H, W).
    """
    columns = (bits >> 23).bitwise_and_(_COLUMNS - 1)
    places = (levels + powers * LEVELS).mul_(_COLUMNS).add_(columns)
    entries = _tables(levels.device).index_select(0, places.flatten()).view(places.shape)
    is_first = (bits << 9) < entries.bitwise_and(-_COLUMNS)
    return torch.where(is_first, columns, entries.bitwise_and_(_COLUMNS - 1))


@lru_cache(maxsize=8)
def _tables(device: torch.device) -> Tensor:
    return upload(packed_tables(), device)


@cache
def packed_tables() -> np.ndarray:
    """Return the tables of all rates, int32 (9 * 256 * 512,): a threshold, and below it, in 9 bits, the alias."""
    rates = (2.0 ** np.arange(PEAKS)[:, None] * np.arange(LEVELS) / 255).reshape(-1, 1)
    counts = np.arange(_COLUMNS)
    shares, aliases = alias_tables(np.exp(xlogy(counts, rates) - rates - gammaln(counts + 1)))
    steps = _COLUMNS * LEVELS * 64  # 2^23
    thresholds = np.rint(shares * steps).astype(np.int64)
    aliases = np.where(thresholds == steps, counts, aliases)  # a share of 1 is one step less, and its own alias
    thresholds = np.minimum(thresholds, steps - 1) - steps // 2  # signed, as the bits that they are compared with
    return (thresholds * _COLUMNS + aliases).astype(np.int32).ravel()


def alias_tables(masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables of distributions over K numbers, (rows, K) each, as (shares, aliases).

    Column k stands for the number k with probability `shares[k]`, else for `aliases[k]`. Columns
    too light are filled up, in turn, by one that is too heavy, until that is too light itself.
    """
    rows, length = np.arange(len(masses)), masses.shape[1]
    weights = masses * (length / masses.sum(1, keepdims=True))
    order = np.argsort(weights > 1, axis=1, kind="stable")  # the light ones first
    lights = (weights <= 1).sum(1)
    light, heavy = np.zeros(len(masses), np.int64), np.minimum(lights, length - 1)
    rest = weights[rows, order[rows, heavy]]
    shares, aliases = np.ones_like(weights), np.tile(np.arange(length), (len(masses), 1))
    for _ in range(length - 1):
        is_light = (light < lights) & ((rest > 1) | (heavy == length - 1))
        filled = order[rows, np.where(is_light, light, heavy)]
        following = order[rows, np.where(is_light, heavy, np.minimum(heavy + 1, length - 1))]
        share = np.minimum(np.where(is_light, weights[rows, filled], rest), 1)
        shares[rows, filled], aliases[rows, filled] = share, following
        rest = np.where(is_light, rest, weights[rows, following]) - (1 - share)
        light, heavy = light + is_light, np.minimum(heavy + ~is_light, length - 1)
    return shares, aliases
