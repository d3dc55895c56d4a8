"""Filters of batches: each image correlated with a kernel of its own, mirrored at its own edge."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from srtoolbox.data.transforms.batch.base import Images, upload
from srtoolbox.image.filtering import DIRECT_TAPS, correlate, correlate_separably

_NEGLIGIBLE = 1e-7  # of the sum of a kernel's weights


def filter_images(images: Images, kernels: np.ndarray) -> Images:
    """Correlate each image with its kernel; unclipped.

    Beyond its edge an image goes on mirrored, the edge pixel not repeated, back and forth where it
    is smaller than the kernel: `np.pad(mode='reflect')`, `scipy.ndimage`'s 'mirror'.

    Args:
        images: the images; they stay as they are.
        kernels: (N, k, k) float64, k odd, each adding up to 1; or (1, k, k), the same for all.
    """
    kernels = np.broadcast_to(kernels, (len(images), *kernels.shape[1:]))
    if images.batched:
        return Images(_filter_batch(images, kernels), images.sizes, batched=True)
    return images.map(lambda image, number: filter_image(image, kernels[number]))


def filter_image(image: Tensor, kernel: np.ndarray) -> Tensor:
    """Correlate one image (C, h, w) on the CPU with a kernel, in the fastest of three ways."""
    kernel = _trim(kernel)
    if kernel.size == 1:
        return image * float(kernel[0, 0])
    rows, columns = kernel.sum(1), kernel.sum(0)
    columns = columns / columns.sum()
    if np.abs(kernel - rows[:, None] * columns).sum() < _NEGLIGIBLE:
        return torch.from_numpy(correlate_separably(image.numpy(), rows, columns))
    if kernel.size <= DIRECT_TAPS:
        return torch.from_numpy(correlate(image.numpy(), kernel))
    return _filter_by_fourier(image, kernel)


def mirrored(length: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return where whole-numbered positions lie in rows of these lengths that go on mirrored."""
    period = np.maximum(2 * length - 2, 1)
    place = np.mod(positions, period)
    return np.minimum(place, period - place) * (length > 1)


def _filter_by_fourier(image: Tensor, kernel: np.ndarray) -> Tensor:
    height, width = image.shape[1:]
    border = kernel.shape[0] // 2
    shape = [next_fast_len(length + 2 * border, real=True) for length in (height, width)]
    rows, columns = (
        torch.from_numpy(mirrored(np.array(length), np.arange(-border, longer - border)))
        for length, longer in zip((height, width), shape, strict=True)
    )
    padded = image.index_select(1, rows).index_select(2, columns)
    weights = torch.from_numpy(kernel.astype(np.float32))
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(weights, s=shape).conj()
    return torch.fft.irfft2(spectrum, s=shape)[:, :height, :width]


def _filter_batch(images: Images, kernels: np.ndarray) -> Tensor:
    """Filter all at once by Fourier transforms, each image on a canvas with its border."""
    count, channels, height, width = images.pixels.shape
    border = kernels.shape[-1] // 2
    shape = [_canvas(length + 2 * border) for length in (height, width)]
    rows, columns = (
        upload(mirrored(images.sizes[:, axis, None], np.arange(-border, longer - border)), images.device)
        for axis, longer in enumerate(shape)
    )
    places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, -1).expand(-1, channels, -1)
    padded = images.pixels.reshape(count, channels, -1).gather(2, places).view(count, channels, *shape)
    weights = upload(kernels.astype(np.float32), images.device)
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(weights, s=shape).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=shape)[..., :height, :width]


def _canvas(length: int) -> int:
    """Return a size from this on, one of few and fast ones: each new size costs a GPU a plan."""
    step = 1 << max(length.bit_length() - 4, 0)
    return next(share * step for share in (8, 9, 10, 12, 14, 16) if share * step >= length)


def _trim(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel without the outer rings that weigh nothing."""
    side = kernel.shape[0]
    offsets = np.abs(np.arange(side) - side // 2)
    rings = np.bincount(np.maximum(offsets[:, None], offsets).ravel(), np.abs(kernel).ravel())
    beyond = np.cumsum(rings[::-1])[::-1]
    cut = int((beyond < _NEGLIGIBLE).sum())
    return kernel[cut : side - cut, cut : side - cut]
