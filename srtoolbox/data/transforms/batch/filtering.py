"""Filters of batches: each image correlated with a kernel of its own, mirrored at its own edge."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.transforms.batch.base import Images, take, upload
from srtoolbox.image.filtering import correlate, mirrored


def filter_images(images: Images, kernels: np.ndarray) -> Images:
    """Correlate each image with its kernel; unclipped.

    Beyond its edge an image goes on mirrored, the edge pixel not repeated, back and forth where it
    is smaller than the kernel: `np.pad(mode='reflect')`, `scipy.ndimage`'s 'mirror'.

    Args:
        images: the images; they stay as they are.
        kernels: (N, k, k) float64, k odd, each adding up to 1; or (1, k, k), the same for all.
    """
    if images.batched:
        return images.like(_filter_batch(images, kernels))
    each = np.broadcast_to(kernels, (len(images), *kernels.shape[1:]))
    return images.map(lambda image, number: filter_image(image, each[number]))


def filter_image(image: Tensor, kernel: np.ndarray) -> Tensor:
    """Correlate one image (C, h, w) on the CPU with a kernel (k, k)."""
    return torch.from_numpy(correlate(image.numpy(), kernel))


def _filter_batch(images: Images, kernels: np.ndarray) -> Tensor:
    """Filter all at once by Fourier transforms, each image on a canvas with its border."""
    height, width = images.pixels.shape[-2:]
    border = kernels.shape[-1] // 2
    shape = [_canvas(length + 2 * border) for length in (height, width)]
    rows, columns = (
        upload(mirrored(np.arange(-border, longer - border), images.sizes[:, axis, None]), images.device)
        for axis, longer in enumerate(shape)
    )
    padded = take(images.pixels, rows[:, :, None] * width + columns[:, None, :])
    turned = upload(kernels[:, ::-1, ::-1].astype(np.float32), images.device)  # a correlation is a convolution with it
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(turned, s=shape)[:, None]
    filtered = torch.fft.irfft2(spectrum, s=shape)
    return filtered[..., 2 * border : 2 * border + height, 2 * border : 2 * border + width]


def _canvas(length: int) -> int:
    """Return a size from this on, one of few and fast ones: each new size costs a GPU a plan."""
    step = 1 << max(length.bit_length() - 4, 0)
    return next(share * step for share in (8, 9, 10, 12, 14, 16) if share * step >= length)
