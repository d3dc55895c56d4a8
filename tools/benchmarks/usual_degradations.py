"""Real-ESRGAN's degradations as they are usually run on a CPU: what degradations.py measures ours against.

A loader makes three kernels and the sharpened GT of each image; then a batch goes through the steps of
arXiv:2107.10833, whose factors, modes and kinds of noise all its images share, as in the published code. Written for
speed where that leaves the procedure as it is: unsharp masking by OpenCV's separable blur, not by a kernel of 51 x 51.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import j1
from torch import Tensor

KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
WEIGHTS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
MODES = ("area", "bilinear", "bicubic")
SIZES = range(7, 22, 2)
RNG = np.random.default_rng(0)
Timer = Callable[[str], AbstractContextManager[None]]


class Order(NamedTuple):
    """Probabilities and ranges of one of the two orders."""

    blur: float
    updown: tuple[float, float, float]
    factors: tuple[float, float]
    sigmas: tuple[float, float]
    scales: tuple[float, float]


FIRST = Order(1.0, (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3))
SECOND = Order(0.8, (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5))

# ---- the loader's part, image by image


class Loaded(NamedTuple):
    """A sample of the loader."""

    gt: Tensor  # (3, H, W), as the others
    sharp: Tensor
    kernels: Tensor  # (3, 21, 21): of both orders, and the last


def load(gt: np.ndarray, timer: Timer) -> Loaded:
    """Make a sample of an image (H, W, 3) uint8."""
    pixels = gt.astype(np.float32) / 255
    with timer("sharpen"):
        sharp = sharpened(pixels)
    with timer("draw"):
        last = sinc(RNG.uniform(np.pi / 3, np.pi), RNG.choice(SIZES)) if RNG.random() < 0.8 else PULSE
        kernels = np.stack([padded(kernel) for kernel in (blur_kernel(0.2, 3), blur_kernel(0.2, 1.5), last)])
    arrays = pixels.transpose(2, 0, 1), sharp.transpose(2, 0, 1), kernels
    return Loaded(*(torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in arrays))


def sharpened(pixels: np.ndarray) -> np.ndarray:
    """Unsharp masking of (H, W, 3) float32: half of what a blur over 51 takes away, where that is over 10 of 255."""
    residual = pixels - cv2.GaussianBlur(pixels, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(residual) * 255 > 10).astype(np.float32), (51, 51), 0)
    return mask * np.clip(pixels + 0.5 * residual, 0, 1) + (1 - mask) * pixels


def blur_kernel(low: float, high: float) -> np.ndarray:
    """Draw a kernel of one of the two orders, of any of SIZES."""
    size = RNG.choice(SIZES)
    if RNG.random() < 0.1:
        return sinc(RNG.uniform(np.pi / (3 if size < 13 else 5), np.pi), size)
    kind = RNG.choice(KINDS, p=WEIGHTS)
    sigmas, angle = RNG.uniform(low, high, 2), RNG.uniform(-np.pi, np.pi)
    if "aniso" not in kind:
        sigmas, angle = sigmas[[0, 0]], 0.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(sigmas**2) @ turn.T)
    places = np.stack(np.meshgrid(*[np.arange(size) - size // 2] * 2), 2)
    lengths = ((places @ inverse) * places).sum(2)
    shapes = (0.5, 4) if "generalized" in kind else (1, 2)
    beta = RNG.uniform(shapes[0], 1) if RNG.random() < 0.5 else RNG.uniform(1, shapes[1])
    if "plateau" in kind:
        kernel = 1 / (1 + lengths**beta)
    else:
        kernel = np.exp(-0.5 * (lengths**beta if "generalized" in kind else lengths))
    return kernel / kernel.sum()


def sinc(cutoff: float, size: int) -> np.ndarray:
    """Make a circular low-pass filter (size, size)."""
    places = np.arange(size) - size // 2
    radius = np.hypot(places[:, None], places)
    radius[size // 2, size // 2] = 1
    kernel = cutoff * j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    return kernel / kernel.sum()


def padded(kernel: np.ndarray) -> np.ndarray:
    """Fill a kernel up to 21 x 21."""
    return np.pad(kernel, (21 - len(kernel)) // 2)


PULSE = np.ones((1, 1))

# ---- the batch's part


def degrade(samples: list[Loaded], crop: int, scale: int, timer: Timer) -> tuple[Tensor, Tensor, Tensor]:
    """LQ, GT and sharpened GT of a batch, cut to `crop` GT pixels."""
    gt, sharp, kernels = (torch.stack(parts) for parts in zip(*samples, strict=True))
    height, width = gt.shape[-2:]
    lq = _one_order(sharp, kernels[:, 0], FIRST, (height, width), timer, by_factor=True)
    with timer("jpeg"):
        lq = jpeg(lq.clamp(0, 1), lq.new_empty(len(lq)).uniform_(30, 95))
    lq = _one_order(lq, kernels[:, 1], SECOND, (height // scale, width // scale), timer, by_factor=False)
    steps = [_end, _last_jpeg]
    for step in steps if RNG.random() < 0.5 else steps[::-1]:
        lq = step(lq, kernels[:, 2], (height // scale, width // scale), timer)
    lq = (lq * 255).round().clamp(0, 255) / 255
    top, left = (int(RNG.integers((length - crop) // scale + 1)) for length in (height, width))
    lq = lq[..., top : top + crop // scale, left : left + crop // scale].contiguous()
    window = (..., slice(top * scale, top * scale + crop), slice(left * scale, left * scale + crop))
    return lq, gt[window].contiguous(), sharp[window].contiguous()


def _one_order(
    images: Tensor, kernels: Tensor, order: Order, size: tuple[int, int], timer: Timer, *, by_factor: bool
) -> Tensor:
    """Blur, resize and noise; the first order resizes by a factor, the second to a part of `size`."""
    if RNG.random() < order.blur:
        with timer("blur"):
            images = blurred(images, kernels)
    direction = RNG.choice(("up", "down", "keep"), p=order.updown)
    low, high = {"up": (1.0, order.factors[1]), "down": (order.factors[0], 1.0), "keep": (1.0, 1.0)}[direction]
    factor, mode = RNG.uniform(low, high), str(RNG.choice(MODES))
    with timer("resize"):
        if by_factor:
            images = F.interpolate(images, scale_factor=factor, mode=mode)
        else:
            images = F.interpolate(images, size=(int(size[0] * factor), int(size[1] * factor)), mode=mode)
    with timer("noise"):
        gray = (torch.rand(len(images)) < 0.4).float().view(-1, 1, 1, 1)
        if RNG.random() < 0.5:
            noise = gaussian_noise(images, gray) * torch.empty(len(images), 1, 1, 1).uniform_(*order.sigmas) / 255
        else:
            noise = poisson_noise(images, gray) * torch.empty(len(images), 1, 1, 1).uniform_(*order.scales)
        return (images + noise).clamp(0, 1)


def _end(images: Tensor, kernels: Tensor, size: tuple[int, int], timer: Timer) -> Tensor:
    with timer("resize"):
        images = F.interpolate(images, size=size, mode=str(RNG.choice(MODES)))
    with timer("blur"):
        return blurred(images, kernels)


def _last_jpeg(images: Tensor, kernels: Tensor, size: tuple[int, int], timer: Timer) -> Tensor:
    with timer("jpeg"):
        return jpeg(images.clamp(0, 1), images.new_empty(len(images)).uniform_(30, 95))


def blurred(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter each image by its own kernel (N, k, k)."""
    count, channels, height, width = images.shape
    size = kernels.shape[-1]
    images = F.pad(images, [size // 2] * 4, mode="reflect").flatten(0, 1)[None]
    weights = kernels[:, None, None].expand(-1, channels, -1, -1, -1).flatten(0, 1)
    return F.conv2d(images, weights, groups=count * channels).view(count, channels, height, width)


def gaussian_noise(images: Tensor, gray: Tensor) -> Tensor:
    """Normal noise of standard deviation 1; both kinds are made where any image wants gray noise."""
    noise = torch.randn_like(images)
    return noise * (1 - gray) + torch.randn_like(images[:, :1]) * gray if gray.any() else noise


def poisson_noise(images: Tensor, gray: Tensor) -> Tensor:
    """Shot noise by the number of different values of each image."""
    noise = _shots(images)
    if gray.any():
        luma = (images * images.new_tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
        noise = noise * (1 - gray) + _shots(luma) * gray
    return noise


def _shots(images: Tensor) -> Tensor:
    images = (images * 255).round().clamp(0, 255) / 255
    counts = [2 ** math.ceil(math.log2(len(torch.unique(image)))) for image in images]
    photons = images.new_tensor(counts).view(-1, 1, 1, 1)
    return torch.poisson(images * photons) / photons - images


COSINES = torch.cos((2 * torch.arange(8.0)[:, None] + 1) * torch.arange(8.0) * math.pi / 16)  # (place, frequency)
NORMS = torch.tensor([math.sqrt(0.5)] + [1.0] * 7) / 2
BASIS = torch.einsum("xu,yv,u,v->xyuv", COSINES, COSINES, NORMS, NORMS)
# fmt: off
LUMA = torch.tensor([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]).float().view(8, 8).T
# fmt: on
CHROMA = torch.full((8, 8), 99.0)
CHROMA[:4, :4] = torch.tensor([[17.0, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]])
TO_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
TO_RGB = torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
SHIFT = torch.tensor([0.0, 128, 128])


def jpeg(images: Tensor, qualities: Tensor) -> Tensor:
    """Compress as DiffJPEG does, by products with a basis (8, 8, 8, 8)."""
    height, width = images.shape[-2:]
    images = F.pad(images, (0, -width % 16, 0, -height % 16))
    factors = torch.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities).view(-1, 1, 1, 1) / 100
    ycc = torch.tensordot((images * 255).permute(0, 2, 3, 1), TO_YCBCR.T, dims=1) + SHIFT
    planes = [_rounded(ycc[..., 0], LUMA * factors)]
    for channel in (1, 2):
        halves = F.avg_pool2d(ycc[..., channel][:, None], 2)[:, 0]
        halves = _rounded(halves, CHROMA * factors)
        planes.append(halves.repeat_interleave(2, 1).repeat_interleave(2, 2))
    rgb = torch.tensordot(torch.stack(planes, 3) - SHIFT, TO_RGB.T, dims=1).permute(0, 3, 1, 2)
    return rgb[..., :height, :width].clamp(0, 255) / 255


def _rounded(planes: Tensor, tables: Tensor) -> Tensor:
    count, height, width = planes.shape
    blocks = planes.view(count, height // 8, 8, width // 8, 8).transpose(2, 3).flatten(1, 2)
    coefficients = torch.tensordot(blocks - 128, BASIS, dims=2)
    coefficients = (coefficients / tables).round() * tables
    blocks = torch.tensordot(coefficients, BASIS.permute(2, 3, 0, 1), dims=2) + 128
    return blocks.view(count, height // 8, width // 8, 8, 8).transpose(2, 3).reshape(count, height, width)
