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
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

from srtoolbox.resize.floats import resize_floats
from srtoolbox.resize.integers import resize_integers
from srtoolbox.resize.matrix import order_of, output_length, upsampling_kernel
from srtoolbox.resize.parts import Part, imresize_part

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
        scale: factor for both axes, above 1 to enlarge; the result has ceil(H * scale) x ceil(W *
            scale) pixels.
        size: (height, width) of the result instead of `scale`; each axis then has its own factor.
        border: what lies outside the image: the edge pixel ("replicate": the MATLAB that made the
            published LR sets) or the mirrored image ("symmetric": MATLAB of today).
        antialias: widen the kernel when shrinking.

    Returns:
        The same kind and dtype. Arrays are rounded (half up) and clipped after *each* pass, the
        axis with the smaller factor first, vertical first if equal, as MATLAB does with integers.
        Tensors are neither rounded nor clipped, and the result is differentiable, any number of
        times; float16 and bfloat16 are summed in float32.

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
        key = (before[axis], after[axis], factor, is_symmetric, antialias)
        image = resize_integers(image, axis, key)
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
