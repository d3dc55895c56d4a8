"""Resizing one axis of an integer image, rounded and clipped as MATLAB does after each."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from srtoolbox.resize.matrix import Matrix, matrix_of, with_length


def resize_integers(image: np.ndarray, axis: int, key: tuple[int, int, float | None, bool, bool]) -> np.ndarray:
    """One pass over an HW or HWC array, rounded and clipped."""
    inputs, outputs, scale, symmetric, antialias = key
    factor = round(1 / scale) if scale else inputs // outputs
    is_plain = not symmetric and antialias and image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] <= 4)
    if factor in (2, 4, 8) and (scale or outputs / inputs) == 1 / factor and is_plain and _torch_is_exact(factor):
        return _by_torch(image, axis, outputs, factor)
    return _by_csr(image, axis, matrix_of(*key))


def _by_csr(image: np.ndarray, axis: int, matrix: Matrix) -> np.ndarray:
    fast = image.dtype == np.uint8 and matrix.is_safe_in_float32
    csr = matrix.csr32 if fast else matrix.csr64
    rows = image.reshape(image.shape[0], -1).astype(csr.dtype)
    if axis == 1:  # (H, W * C) -> (W, C * H): a plain transposition, which torch does in cache-sized pieces
        rows = torch.from_numpy(rows).t().contiguous().view(image.shape[1], -1).numpy()
    sums = torch.from_numpy(csr @ rows)
    peak = np.iinfo(image.dtype).max
    sums.add_(0.5).clamp_(0, peak + 0.5)  # then cutting off the fraction rounds half up
    if axis == 1:
        sums = sums.view(-1, image.shape[0]).t()
    values = sums.to(getattr(torch, image.dtype.name), memory_format=torch.contiguous_format).numpy()
    return values.reshape(*with_length(image.shape, axis, matrix.outputs))


def _by_torch(image: np.ndarray, axis: int, outputs: int, factor: int) -> np.ndarray:
    """Shrinking uint8 by 2, 4 or 8: torch's 8-bit kernel sums in integers, with weights of 15 bits,
    which hold these factors' weights exactly. Only its border is another, so two outputs more are
    made at each end, and cut off."""
    margin = 2 * factor
    missing = outputs * factor - image.shape[axis]
    widths = [(margin, margin + missing) if dim == axis else (0, 0) for dim in range(image.ndim)]
    padded = np.pad(image, widths, mode="edge")
    planes = torch.from_numpy(padded if image.ndim == 3 else padded[..., None]).permute(2, 0, 1)[None]
    size = with_length(padded.shape[:2], axis, outputs + 4)
    result = F.interpolate(planes, size=size, mode="bicubic", antialias=True).narrow(axis + 2, 2, outputs)
    return np.ascontiguousarray(result[0].permute(1, 2, 0).numpy()).reshape(with_length(image.shape, axis, outputs))


@cache
def _torch_is_exact(factor: int) -> bool:
    """True if this build of torch keeps the promise of `_by_torch`, tried once on noise."""
    noise = np.random.default_rng(0).integers(0, 256, (16 * factor + 1, 9 * factor, 3), dtype=np.uint8)
    noise[: 4 * factor] = noise[: 4 * factor] // 128 * 255  # overshoots are clipped
    for axis in (0, 1):
        outputs = -(-noise.shape[axis] // factor)
        exact = _by_csr(noise, axis, matrix_of(noise.shape[axis], outputs, 1 / factor, False, True))
        if not np.array_equal(_by_torch(noise, axis, outputs, factor), exact):
            return False
    return True
