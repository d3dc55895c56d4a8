"""Images as tensors, float in [0, 1], (N, C, H, W), RGB; and their colour."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from srtoolbox import devices
from srtoolbox.errors import SrtoolboxError


def to_tensor(image: np.ndarray, device: torch.device | str | None = None) -> Tensor:
    """HWC (or HW) uint8 or uint16 -> (1, C, H, W) float32 in [0, 1]."""
    # a store's views are read-only
    image = np.array(image if image.ndim == 3 else image[..., None])
    return batch_to_float(carry(torch.from_numpy(image)[None], device))


def carry(tensor: Tensor, device: torch.device | str | None, *, non_blocking: bool = False) -> Tensor:
    """Move a batch of pixels to a device: 16-bit ones to MPS as int32 (see `batch_to_float`)."""
    if tensor.dtype == torch.uint16 and devices.lacks_float64(device):
        devices.tell_once("MPS has no 16-bit pixels: they go there as 32-bit ones")
        tensor = tensor.to(torch.int32)
    return tensor.to(device, non_blocking=non_blocking)


def batch_to_float(batch: Tensor) -> Tensor:
    """uint8 or uint16 (N, H, W, C) -> float32 (N, C, H, W) in [0, 1], on the batch's device.

    Raises:
        SrtoolboxError: another dtype or shape.
    """
    peak = _peak(batch)
    return batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(peak)


def _peak(batch: Tensor) -> int:
    # int32: by `carry`
    if batch.ndim != 4 or batch.dtype not in (torch.uint8, torch.uint16, torch.int32):
        raise SrtoolboxError(f"a batch of images is (N, H, W, C) uint8 or uint16, got {batch.dtype} {batch.shape}")
    return 255 if batch.dtype == torch.uint8 else 65535


def to_image(tensor: Tensor, bits: int = 8) -> np.ndarray:
    """([1, ]C, H, W) float in [0, 1] -> HWC uint8 (uint16 for bits=16), rounded and clipped.

    Raises:
        SrtoolboxError: another shape, or bits that are neither 8 nor 16.
    """
    levels = to_levels(tensor, bits).cpu().numpy()
    return levels.astype(np.uint16, copy=False) if bits == 16 else levels


def to_levels(tensor: Tensor, bits: int = 8) -> Tensor:
    """Do what `to_image` does, on the device: (H, W, C) uint8, or uint16 (int32 on MPS)."""
    image = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if image.ndim != 3 or bits not in (8, 16):
        raise SrtoolboxError(f"to_image takes one image (C, H, W) and 8 or 16 bits, got {tensor.shape}, {bits}")
    peak, dtype = (255, torch.uint8) if bits == 8 else (65535, torch.uint16)
    # MPS, which has no 16-bit pixels either
    if bits == 16 and devices.lacks_float64(tensor.device):
        dtype = torch.int32
    levels = image.detach().float().mul(peak).round_().clamp_(0, peak).permute(1, 2, 0)
    if levels.is_cpu:  # numpy takes half the time
        return torch.from_numpy(np.ascontiguousarray(levels.numpy().astype(np.uint8 if bits == 8 else np.uint16)))
    return levels.to(dtype, memory_format=torch.contiguous_format)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """A uint8 or uint16 image in 8 bits, rounded: to look at, not to measure on."""
    return image if image.dtype == np.uint8 else ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def expand_gray(image: np.ndarray) -> np.ndarray:
    """HW1 -> HW3 with three equal channels; a colour image as it is."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


# ---- colour: BT.601 with headroom, as MATLAB's rgb2ycbcr (levels of 8 bit / 255)

_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_OFFSET = np.array([16.0, 128.0, 128.0]) / 255
_TO_RGB = np.linalg.inv(_TO_YCBCR)


def rgb_to_y(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> luma (N, 1, H, W) in [16/255, 235/255], unrounded."""
    return _weigh(rgb, _TO_YCBCR[0], _OFFSET[0])


def batch_to_y(batch: Tensor) -> Tensor:
    """uint8 or uint16 RGB (N, H, W, 3) -> luma (N, 1, H, W).

    It is `rgb_to_y(batch_to_float(batch))` to 2e-7, in half the time on a CPU: no RGB floats.

    Raises:
        SrtoolboxError: another dtype or shape.
    """
    peak = _peak(batch)
    if not batch.is_cpu or torch.is_autocast_enabled("cpu"):
        return rgb_to_y(batch_to_float(batch))
    if batch.shape[3] != 3:
        raise SrtoolboxError(f"a batch of colour images is (N, H, W, 3), got {tuple(batch.shape)}")
    weights = torch.tensor(_TO_YCBCR[0] / peak, dtype=torch.float32)
    offset = torch.tensor([_OFFSET[0]], dtype=torch.float32)
    luma = torch.addmv(offset, batch.to(torch.float32, memory_format=torch.contiguous_format).view(-1, 3), weights)
    return luma.view(batch.shape[0], 1, *batch.shape[1:3])


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> YCbCr (N, 3, H, W).

    Y as `rgb_to_y`, the rest in [16/255, 240/255].
    """
    return torch.cat([_weigh(rgb, row, offset) for row, offset in zip(_TO_YCBCR, _OFFSET, strict=True)], dim=1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """The inverse of `rgb_to_ycbcr`, unclipped: colours that RGB does not have leave [0, 1]."""
    offsets = -_TO_RGB @ _OFFSET
    return torch.cat([_weigh(ycbcr, row, offset) for row, offset in zip(_TO_RGB, offsets, strict=True)], dim=1)


def _weigh(planes: Tensor, weights: np.ndarray, offset: float) -> Tensor:
    """Weighted sum over channels, by additions: a matrix product might run in TF32 or bfloat16."""
    if planes.ndim != 4 or planes.shape[1] != 3:
        raise SrtoolboxError(f"a colour tensor is (N, 3, H, W), got {tuple(planes.shape)}")
    first, second, third = planes.split(1, dim=1)
    total = (first * float(weights[0])).add(second, alpha=float(weights[1])).add(third, alpha=float(weights[2]))
    return total.add(float(offset))
