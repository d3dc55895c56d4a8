"""Statistics of natural scenes in blocks of an image, which NIQE compares.

Mittal, Soundararajan, Bovik: "Making a completely blind image quality analyzer" (IEEE Signal
Processing Letters 2013), as its authors' MATLAB code computes them, in float64.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import gamma
from torch import Tensor

from srtoolbox.resize import imresize

BLOCK = 96
FEATURES = 36
WINDOW = 7
SIGMA = WINDOW / 6
SHAPES = np.arange(200, 10001) / 1000
"""The shapes of distributions among which the nearest is taken."""
ZERO = 1e-10
"""Normalised values below it are 0: of flat places only rounding errors are left, of either sign."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class Blocks(NamedTuple):
    """Statistics of the blocks of images.

    Attributes:
        features: (N, B, 36) float64, nan where a block is flat; 18 at the image's size and 18 at
            half of it.
        sharpness: (N, B) float64, the mean local standard deviation in levels.
    """

    features: Tensor
    sharpness: Tensor


def blocks_in(height: int, width: int) -> int:
    """Return the number of whole blocks in an image."""
    return (height // BLOCK) * (width // BLOCK)


def describe_blocks(luma: Tensor) -> Blocks:
    """Return the features of all whole blocks, rows and columns beyond them left out.

    Args:
        luma: (N, 1, H, W) float64 levels, whole numbers 0 ... 255, at least one block.
    """
    rows, columns = (side // BLOCK for side in luma.shape[-2:])
    plane = luma[..., : rows * BLOCK, : columns * BLOCK]
    normalised, deviation = _normalise(plane)
    sharpness = _cut(deviation, BLOCK).mean((-2, -1))
    features = [_features(_cut(normalised, BLOCK))]
    half, _ = _normalise(imresize(plane, 0.5, border="symmetric"))
    features.append(_features(_cut(half, BLOCK // 2)))
    return Blocks(torch.cat(features, -1), sharpness)


def _normalise(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Return the image with local mean 0 and deviation near 1, and its local deviation."""
    mean = _blur(plane)
    deviation = (_blur(plane.square()) - mean.square()).abs_().sqrt_()
    normalised = (plane - mean).div_(deviation + 1)
    return normalised.masked_fill_(normalised.abs() < ZERO, 0.0), deviation


def _blur(plane: Tensor) -> Tensor:
    """Gaussian means of 7x7 px, the edge pixel repeated outside."""
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    taps = torch.exp(-places.square() / (2 * SIGMA**2))
    weights = (taps / taps.sum()).tolist()
    for dim in (-2, -1):
        margins = (WINDOW // 2,) * 2
        padded = F.pad(plane, (*margins, 0, 0) if dim == -1 else (0, 0, *margins), mode="replicate")
        plane = padded.narrow(dim, 0, plane.shape[dim]) * weights[0]
        for number, weight in enumerate(weights[1:], start=1):
            plane.add_(padded.narrow(dim, number, plane.shape[dim]), alpha=weight)
    return plane


def _cut(plane: Tensor, side: int) -> Tensor:
    """(N, 1, rows * side, columns * side) -> (N, rows * columns, side, side)."""
    count, _, height, width = plane.shape
    grid = plane.view(count, height // side, side, width // side, side)
    return grid.transpose(2, 3).reshape(count, -1, side, side)


def _features(blocks: Tensor) -> Tensor:
    """(N, B, h, w) -> (N, B, 18): of the values, and of the products with each neighbour."""
    shape, left, right = _fit(blocks)
    features = [_tables(blocks.device)["shape"][shape], (left + right) / 2]
    for neighbour in NEIGHBOURS:
        shape, left, right = _fit(blocks * blocks.roll(neighbour, (-2, -1)))
        tables = _tables(blocks.device)
        features += [tables["shape"][shape], (right - left) * tables["mean"][shape], left, right]
    return torch.stack(features, -1)


def _fit(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian to each block by its moments.

    Returns:
        (N, B) each: the index of the shape in SHAPES, 0 where nothing can be fitted; the scales of
        the left and the right side, nan where a side has no values.
    """
    values = blocks.flatten(2)
    left = (values.clamp(max=0).square_().sum(-1) / (values < 0).sum(-1)).sqrt_()
    right = (values.clamp(min=0).square_().sum(-1) / (values > 0).sum(-1)).sqrt_()
    ratio = left / right
    moment = values.abs().mean(-1).square_() / values.square().mean(-1)
    moment = moment * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square_()
    tables = _tables(blocks.device)
    shape = _nearest(tables["moment"], moment)
    factor = tables["scale"][shape]
    return shape, left * factor, right * factor


def _nearest(rising: Tensor, values: Tensor) -> Tensor:
    """Return the index of the nearest of rising numbers, the lower of two; 0 for nan."""
    upper = torch.searchsorted(rising, values.contiguous()).clamp_(1, len(rising) - 1)
    is_lower = values - rising[upper - 1] <= rising[upper] - values
    return torch.where(values.isnan(), 0, upper - is_lower.long())


@cache
def _tables(device: torch.device) -> dict[str, Tensor]:
    """Return what follows from each shape, float64 on the device."""
    first, second, third = (gamma(count / SHAPES) for count in (1, 2, 3))
    tables = {
        "shape": SHAPES,
        "moment": second**2 / (first * third),
        "scale": np.sqrt(first / third),
        "mean": second / first,
    }
    with torch.inference_mode(False):
        return {name: torch.from_numpy(values).to(device) for name, values in tables.items()}
