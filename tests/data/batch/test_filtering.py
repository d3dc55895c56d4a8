"""Filters of batches: as scipy's, each image with its own kernel, mirrored at its own edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from srtoolbox.data.transforms.batch import kernels
from srtoolbox.data.transforms.batch.base import Images, stack
from srtoolbox.data.transforms.batch.filtering import filter_images
from srtoolbox.image.filtering import mirrored

SIZES = [(45, 60), (60, 33), (3, 7), (1, 60), (9, 1), (60, 60), (2, 2)]


def some_kernels(count: int) -> np.ndarray:
    """Those that each of the ways is for: of rank one, small, large, without symmetry, one pixel."""
    one, few = np.ones(1), np.array([9])
    made = [
        kernels.gaussian(np.array([21]), 3 * one, 3 * one, 0 * one, 21),
        kernels.sinc(few, 1.2 * one, 21),
        kernels.plateau(np.array([21]), 2 * one, one, 0.4 * one, one, 21),
        kernels.motion(9 * one, 0.5 * one, 1.5 * one, 21),
        kernels.sinc(np.array([1]), one, 21),
        kernels.gaussian(few, one, 0.3 * one, 0 * one, 21),
        np.random.default_rng(1).random((1, 21, 21)),
    ]
    return np.concatenate([(kernel / kernel.sum()) for kernel in (made * count)[:count]])


@pytest.mark.parametrize("batched", [False, True])
def test_every_kernel_on_every_size_is_scipys(batched: bool) -> None:
    rng = np.random.default_rng(0)
    each = [rng.random((3, *size), np.float32) for size in SIZES]
    for turn in range(len(SIZES)):
        weights = np.roll(some_kernels(len(SIZES)), turn, axis=0)
        images = stack([torch.from_numpy(image) for image in each])
        for pixels, (height, width) in zip(images.pixels, SIZES, strict=True):
            pixels[:, height:], pixels[:, :, width:] = torch.nan, torch.nan
        result = filter_images(Images(images.pixels, images.sizes, batched=batched), weights)
        assert (result.sizes == SIZES).all()
        for image, kernel, filtered in zip(each, weights, result.each(), strict=True):
            expected = correlate(image.astype(np.float64), kernel[None], mode="mirror")
            assert np.abs(filtered.numpy() - expected).max() < 1e-6


def test_one_kernel_for_all_images() -> None:
    images = stack([torch.rand(1, *size) for size in SIZES])
    kernel = some_kernels(3)[2:]
    for batched in (False, True):
        given = Images(images.pixels, images.sizes, batched=batched)
        one, many = filter_images(given, kernel), filter_images(given, np.repeat(kernel, len(SIZES), 0))
        for first, second in zip(one.each(), many.each(), strict=True):
            assert torch.allclose(first, second, atol=1e-7)


def test_mirrored_places_are_numpys() -> None:
    for length in (1, 2, 3, 10):
        expected = np.pad(np.arange(length), 25, mode="reflect")
        assert (mirrored(np.arange(-25, length + 25), length) == expected).all()
