"""MATLAB's bicubic `imresize`: bit for bit on integer images, differentiable on float tensors.

The kernel is Keys' cubic convolution with a = -0.5 (Keys 1981), widened by the factor when
shrinking (antialiasing). Each axis is one sparse matrix, cached, and applied in the form that is
fastest where the data lies: scipy's CSR or dense blocks on the CPU, one gather per tap on a GPU (a
matrix product could run in TF32). All are deterministic. 8-bit images are shrunk by 2, 4 and 8 by
torch's own kernel, after a proof that it sums exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.resize.floats import Part, imresize_part, resize_floats
from srtoolbox.resize.matrix import Matrix, matrix_of, order_of, output_length, upsampling_kernel, with_length

__all__ = ["Part", "imresize", "imresize_part", "output_length", "upsampling_kernel"]

Border = Literal["replicate", "symmetric"]
Image = TypeVar("Image", np.ndarray, Tensor)


def imresize(
    image: Image,
    scale: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    border: Border = "replicate",
    antialias: bool = True,
) -> Image:
    """Resize like MATLAB's `imresize(image, scale, 'bicubic')`.

    Args:
        image: HW or HWC array of uint8 or uint16, or a float tensor (N, C, H, W) on any device.
        scale: factor for both axes; the result has ceil(H * scale) x ceil(W * scale) pixels.
        size: (height, width) of the result instead of `scale`; each axis then has its own factor.
        border: outside the image lies the edge pixel ("replicate": the MATLAB that made the
            published LR sets) or the mirrored image ("symmetric": MATLAB of today).
        antialias: widen the kernel when shrinking.

    Returns:
        The same kind and dtype. Arrays are rounded (half up) and clipped after *each* pass, the
        axis with the smaller factor first, vertical first if equal, as MATLAB does with integers.
        Tensors are neither, and differentiable any number of times; float16 and bfloat16 are summed
        in float32.

    Raises:
        ValueError: an image, scale, size or border that is not one of the above.
    """
    _check_image(image)
    if border not in ("replicate", "symmetric"):
        raise ValueError(f"border is 'replicate' or 'symmetric', got {border!r}")
    before: Sequence[int] = image.shape[2:] if isinstance(image, Tensor) else image.shape[:2]
    after = _target(before, scale, size)
    factor, is_symmetric = None if scale is None else float(scale), border == "symmetric"
    if isinstance(image, Tensor):
        return resize_floats(image, *before, *after, factor, is_symmetric, antialias, False)
    for axis in order_of(before, after, factor):
        image = resize_integers(image, axis, (before[axis], after[axis], factor, is_symmetric, antialias))
    return image


def _check_image(image: object) -> None:
    if isinstance(image, Tensor):
        if image.ndim != 4 or not image.is_floating_point() or 0 in image.shape[2:]:
            raise ValueError(f"a tensor to resize is float (N, C, H, W), got {image.dtype} {tuple(image.shape)}")
    elif not isinstance(image, np.ndarray):
        raise ValueError(f"imresize takes an array or a tensor, got {type(image).__name__}")
    elif image.ndim not in (2, 3) or image.dtype not in (np.uint8, np.uint16) or 0 in image.shape:
        raise ValueError(f"an array to resize is HW or HWC uint8 or uint16, got {image.dtype} {image.shape}")


def _target(before: Sequence[int], scale: float | None, size: tuple[int, int] | None) -> tuple[int, int]:
    if scale is not None and size is None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale is a finite number above 0, got {scale!r}")
        return output_length(before[0], scale), output_length(before[1], scale)
    if size is None or scale is not None:
        raise ValueError("imresize needs either a scale or a size")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is (height, width) in pixels, got {size!r}")
    return size[0], size[1]


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
    # (H, W * C) -> (W, C * H): a plain transposition, which torch does in cache-sized pieces
    if axis == 1:
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
