"""Fewer levels: rounded, dithered by a matrix or by blue noise; and the bands of videos of few bits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs, uniform_hashes
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.pixelwise import YCBCR, PixelwiseDegradation, mix, per_image
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS

_SIDE = 64
_TO_RGB = np.linalg.inv(YCBCR)
DITHERS = ("none", "bayer", "noise")


@TRANSFORMS.register
class Quantise(PixelwiseDegradation):
    """Leaves each channel a few levels, evenly spaced, rounded or dithered: an image of few colours.

    Args:
        levels: (fewest, most) levels of a channel, whole numbers, all equally likely.
        dither: kinds to choose from, each equally likely: 'none' rounds, 'bayer' compares with the
            ordered matrix of 8 x 8 (Bayer 1973, "An optimum method for two-level rendition of
            continuous-tone pictures"), 'noise' with blue noise (Ulichney 1993, "The void-and-cluster
            method for dither array generation").
    """

    def __init__(self, levels: Sequence[int] = (4, 32), dither: Sequence[str] = DITHERS) -> None:
        self.levels = ordered_range("Quantise", "levels", levels, 2, 256)
        if not dither or isinstance(dither, str) or not set(dither) <= set(DITHERS):
            raise ConfigError(f"Quantise: dither lists some of {', '.join(DITHERS)}; got {dither!r}", key="dither")
        self.dither = tuple(dither)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {
            "levels": rngs.whole(*self.levels),
            "dither": rngs.one_of(self.dither),
            "top": rngs.whole(0, _SIDE - 1),
            "left": rngs.whole(0, _SIDE - 1),
        }

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        steps = per_image(parameters["levels"] - 1, images.device)
        return (images.pixels * steps).add_(_thresholds(images, parameters)).floor_().div_(steps)


@TRANSFORMS.register
class Banding(PixelwiseDegradation):
    """Rounds luma and chroma to a few levels: bands in skies and on walls, as in videos of few bits.

    Args:
        levels: (fewest, most) levels of luma and of each chroma, all equally likely.
    """

    def __init__(self, levels: Sequence[int] = (24, 96)) -> None:
        self.levels = ordered_range("Banding", "levels", levels, 2, 256)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"levels": rngs.whole(*self.levels)}

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        steps = per_image(parameters["levels"] - 1, images.device)
        if images.pixels.shape[1] != 3:
            return (images.pixels * steps).round_().div_(steps)
        return mix(mix(images.pixels, YCBCR).mul_(steps).round_().div_(steps), _TO_RGB)


def _thresholds(images: Images, parameters: Parameters) -> Tensor:
    """Return what is added to each pixel, in (0, 1), before it is rounded down: (n, 1, H, W)."""
    height, width = images.pixels.shape[-2:]
    kinds = np.array([DITHERS.index(kind) for kind in parameters["dither"].tolist()])
    rows = (parameters["top"][:, None] + np.arange(height)) % _SIDE + kinds[:, None] * _SIDE
    columns = (parameters["left"][:, None] + np.arange(width)) % _SIDE
    places = upload(rows * _SIDE, images.device)[:, :, None] + upload(columns, images.device)[:, None, :]
    return _masks(images.device).index_select(0, places.flatten()).view(-1, 1, height, width)


@lru_cache(maxsize=8)
def _masks(device: torch.device) -> Tensor:
    """Return the thresholds of all kinds, one after another, float32."""
    bayer = np.tile(_bayer(8), (_SIDE // 8, _SIDE // 8))
    masks = [np.full((_SIDE, _SIDE), 0.5), (bayer + 0.5) / 64, (blue_noise() + 0.5) / _SIDE**2]
    return upload(np.stack(masks).astype(np.float32).ravel(), device)


def _bayer(side: int) -> np.ndarray:
    """Return the order (side, side) of a power of 2 in which an ordered dither's pixels become white."""
    if side == 1:
        return np.zeros((1, 1), np.int64)
    smaller = 4 * _bayer(side // 2)
    return np.block([[smaller, smaller + 2], [smaller + 3, smaller + 1]])


@cache
def blue_noise() -> np.ndarray:
    """Return an order (64, 64) in which pixels become white, at each stage evenly spread.

    The first tenth is random, and moved from clusters into voids; from it the order is told
    backwards by the tightest cluster, and forwards by the largest void. Sums are of whole numbers,
    so that it is the same on every machine.
    """
    side = _SIDE
    near = np.minimum(np.arange(side), side - np.arange(side)) ** 2
    kernel = np.rint(2**20 * np.exp(-(near[:, None] + near) / (2 * 1.9**2))).astype(np.int64)
    white = uniform_hashes(1, side**2) < (1 << 64) // 10
    energy = np.zeros((side, side), np.int64)
    for place in np.flatnonzero(white).tolist():
        energy += _around(kernel, place)

    def turn(place: int, *, on: bool) -> None:
        nonlocal energy
        white[place] = on
        energy = energy + _around(kernel, place) if on else energy - _around(kernel, place)

    def cluster() -> int:
        return int(np.where(white, energy.ravel(), -1).argmax())

    def void() -> int:
        return int(np.where(white, np.iinfo(np.int64).max, energy.ravel()).argmin())

    while True:
        turn(tightest := cluster(), on=False)
        turn(largest := void(), on=True)
        if largest == tightest:
            break
    first, start, order = int(white.sum()), (white.copy(), energy.copy()), np.empty(side**2, np.int64)
    for rank in reversed(range(first)):
        order[place := cluster()] = rank
        turn(place, on=False)
    white, energy = start
    for rank in range(first, side**2):
        order[place := void()] = rank
        turn(place, on=True)
    return order.reshape(side, side)


def _around(kernel: np.ndarray, place: int) -> np.ndarray:
    """Return the kernel about a place of a square that repeats."""
    return np.roll(kernel, divmod(place, len(kernel)), (0, 1))
