"""Real-ESRGAN's degradations (Wang et al., ICCVW 2021, arXiv:2107.10833) a second time, for tests.

Written from the paper and from what the published code and its option files for x4 do with a batch
of one image: slow and plain, in float64, with none of the toolbox's code and with a generator of its
own. `draw` gives all parameters of an image by name, `degrade` applies them.

Names of parameters end in 1 or 2, the order of the degradation, or begin with 'final'. What does
not exist for an image (the sigma of a sinc filter) is not in the record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dctn, idctn
from scipy.ndimage import correlate1d
from scipy.signal import fftconvolve
from scipy.special import j1
from torch import Tensor

Drawn = dict[str, Any]
KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
KIND_WEIGHTS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
KERNEL_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
MODES = ("area", "bilinear", "bicubic")
SINC_PROBABILITY = 0.1
FINAL_SINC_PROBABILITY = 0.8
BETA_GENERALIZED = (0.5, 4.0)
BETA_PLATEAU = (1.0, 2.0)
GAUSSIAN_PROBABILITY = 0.5
GRAY_PROBABILITY = 0.4
QUALITY = (30.0, 95.0)


@dataclass(frozen=True)
class Order:
    """The ranges in which the two orders differ."""

    blur_probability: float
    sigma: tuple[float, float]
    updown: tuple[float, float, float]  # probabilities of up, down, keep
    factor: tuple[float, float]
    noise_sigma: tuple[float, float]  # of 255
    poisson_scale: tuple[float, float]


FIRST = Order(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1.0, 30.0), (0.05, 3.0))
SECOND = Order(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1.0, 25.0), (0.05, 2.5))

# ---- drawing


def draw(rng: np.random.Generator) -> Drawn:
    """Return the parameters of one image."""
    drawn: Drawn = {}
    for number, order in ((1, FIRST), (2, SECOND)):
        if rng.random() < order.blur_probability:
            blur = draw_blur(rng, order.sigma)
        else:
            blur = {"kind": "none"}
        parts = {
            "blur": blur,
            "resize": draw_resize(rng, order),
            "noise": draw_noise(rng, order),
            "jpeg": {"quality": rng.uniform(*QUALITY)},
        }
        for part, values in parts.items():
            drawn |= {f"{part}{number}_{name}": value for name, value in values.items()}
    drawn["final_order"] = "sinc first" if rng.random() < 0.5 else "jpeg first"
    drawn["final_mode"] = str(rng.choice(MODES))
    drawn["final_kind"] = "sinc" if rng.random() < FINAL_SINC_PROBABILITY else "none"
    if drawn["final_kind"] == "sinc":
        drawn["final_size"] = int(rng.choice(KERNEL_SIZES))
        drawn["final_omega"] = rng.uniform(np.pi / 3, np.pi)
    return drawn


def draw_blur(rng: np.random.Generator, sigma: tuple[float, float]) -> Drawn:
    """Return kind, size and shape of a kernel."""
    size = int(rng.choice(KERNEL_SIZES))
    if rng.random() < SINC_PROBABILITY:
        lowest = np.pi / 3 if size < 13 else np.pi / 5
        return {"kind": "sinc", "size": size, "omega": rng.uniform(lowest, np.pi)}
    kind = str(rng.choice(KINDS, p=KIND_WEIGHTS))
    drawn = {"kind": kind, "size": size, "sigma_x": rng.uniform(*sigma)}
    if "aniso" in kind:
        drawn["sigma_y"] = rng.uniform(*sigma)
        drawn["angle"] = rng.uniform(-np.pi, np.pi)
    if "generalized" in kind or "plateau" in kind:
        low, high = BETA_GENERALIZED if "generalized" in kind else BETA_PLATEAU
        drawn["beta"] = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    return drawn


def draw_resize(rng: np.random.Generator, order: Order) -> Drawn:
    """Return direction, factor and mode of a resize."""
    direction = str(rng.choice(("up", "down", "keep"), p=order.updown))
    low, high = {"up": (1.0, order.factor[1]), "down": (order.factor[0], 1.0), "keep": (1.0, 1.0)}[direction]
    return {"direction": direction, "factor": rng.uniform(low, high), "mode": str(rng.choice(MODES))}


def draw_noise(rng: np.random.Generator, order: Order) -> Drawn:
    """Return kind and level of noise, and whether all colours get the same."""
    kind = "gaussian" if rng.random() < GAUSSIAN_PROBABILITY else "poisson"
    level = rng.uniform(*(order.noise_sigma if kind == "gaussian" else order.poisson_scale))
    return {"kind": kind, "level": level, "gray": bool(rng.random() < GRAY_PROBABILITY)}


# ---- kernels


def mixed_kernel(kind: str, size: int, sigma_x: float, sigma_y: float, angle: float, beta: float) -> np.ndarray:
    """Return a Gaussian, generalised Gaussian or plateau kernel of sum 1, (size, size).

    At (x, y) from the centre, x to the right, with q the squared Mahalanobis length under the
    covariance: exp(-q / 2), exp(-q^beta / 2) or 1 / (1 + q^beta). An isotropic one has `sigma_x` alone.
    """
    if "aniso" not in kind:
        sigma_y, angle = sigma_x, 0.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    covariance = turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T
    inverse = np.linalg.inv(covariance)
    kernel = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            place = np.array([column - size // 2, row - size // 2])
            q = float(place @ inverse @ place)
            if "plateau" in kind:
                kernel[row, column] = 1 / (1 + q**beta)
            elif "generalized" in kind:
                kernel[row, column] = math.exp(-(q**beta) / 2)
            else:
                kernel[row, column] = math.exp(-q / 2)
    return kernel / kernel.sum()


def sinc_kernel(omega: float, size: int) -> np.ndarray:
    """Return the circular low-pass filter with its cutoff at `omega` radians, of sum 1."""
    kernel = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            r = math.hypot(row - size // 2, column - size // 2)
            kernel[row, column] = omega * j1(omega * r) / (2 * math.pi * r) if r else omega**2 / (4 * math.pi)
    return kernel / kernel.sum()


def kernel_of(drawn: Drawn, name: str) -> np.ndarray | None:
    """Return the kernel of 'blur1', 'blur2' or 'final'; None where there is none."""
    kind = drawn[f"{name}_kind"]
    if kind == "none":
        return None
    if kind == "sinc":
        return sinc_kernel(drawn[f"{name}_omega"], drawn[f"{name}_size"])
    shape = [drawn.get(f"{name}_{each}", 1.0) for each in ("sigma_x", "sigma_y", "angle", "beta")]
    return mixed_kernel(kind, drawn[f"{name}_size"], *shape)


# ---- steps, each on an image (3, h, w) float64


def blur(image: Tensor, kernel: np.ndarray | None) -> Tensor:
    """Return the correlation with a kernel; the border is reflected, without its last pixel."""
    if kernel is None:
        return image
    padded = F.pad(image, [len(kernel) // 2] * 4, mode="reflect").numpy()
    return torch.from_numpy(fftconvolve(padded, kernel[None, ::-1, ::-1], mode="valid", axes=(1, 2)))


def sharpen(image: Tensor, weight: float = 0.5, radius: int = 50, threshold: float = 10) -> Tensor:
    """Return the image after unsharp masking where it differs by more than `threshold` from its blur."""
    size = radius + 1 - radius % 2
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8  # what OpenCV takes for a size alone
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    line /= line.sum()

    def blurred(values: Tensor) -> Tensor:  # along rows, then along columns: the same as by the product
        rows = correlate1d(values.numpy(), line, axis=2, mode="mirror")
        return torch.from_numpy(correlate1d(rows, line, axis=1, mode="mirror"))

    residual = image - blurred(image)
    mask = blurred((residual.abs() * 255 > threshold).to(image.dtype))
    return mask * (image + weight * residual).clamp(0, 1) + (1 - mask) * image


def resize_by(image: Tensor, factor: float, mode: str) -> Tensor:
    """Return the image `factor` times as large, rounded down; pixels are mapped by the factor itself."""
    return F.interpolate(image[None], scale_factor=factor, mode=mode)[0]


def resize_to(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Return the image at a size; pixels are mapped by the ratio of sizes."""
    return F.interpolate(image[None], size=size, mode=mode)[0]


def noisy(image: Tensor, kind: str, level: float, gray: bool, rng: np.random.Generator) -> Tensor:
    """Return the image with noise, clipped to [0, 1]."""
    noise = gaussian_noise(image, level, gray, rng) if kind == "gaussian" else poisson_noise(image, level, gray, rng)
    return (image + noise).clamp(0, 1)


def gaussian_noise(image: Tensor, sigma: float, gray: bool, rng: np.random.Generator) -> Tensor:
    """Return normal noise, `sigma` of 255 strong."""
    shape = (1, *image.shape[1:]) if gray else tuple(image.shape)
    return torch.from_numpy(rng.normal(size=shape)).expand_as(image) * sigma / 255


def poisson_noise(image: Tensor, scale: float, gray: bool, rng: np.random.Generator) -> Tensor:
    """Return shot noise, `scale` times as strong as that of as many photons as there are levels.

    White has as many photons as the image has different values of 8 bits, the next power of two.
    """
    if gray:
        red, green, blue = image
        image = (0.2989 * red + 0.587 * green + 0.114 * blue)[None]
    image = (image * 255).round().clamp(0, 255) / 255
    photons = 2 ** math.ceil(math.log2(len(image.unique())))
    counted = torch.from_numpy(rng.poisson(image.numpy() * photons)).to(image.dtype) / photons
    return ((counted - image) * scale).expand(3, -1, -1)


# fmt: off
LUMA_TABLE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])
# fmt: on
CHROMA_TABLE = np.full((8, 8), 99.0)
CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])


def jpeg(image: Tensor, quality: float) -> Tensor:
    """Return the image as a JPEG of this quality would, without its rounding to whole pixel values.

    Filled up with black to multiples of 16; chroma in half size, by the mean of 2 x 2, and enlarged by
    repetition. The tables stay unrounded, whatever the quality.

    The published code divides a coefficient of frequency u down and v across by entry (v, u) of the
    standard's table of luma, which is not symmetric: so the two directions are swapped here, too.
    """
    height, width = image.shape[1:]
    padded = np.pad(image.clamp(0, 1).numpy(), ((0, 0), (0, -height % 16), (0, -width % 16)))
    y, *chroma = np.tensordot(TO_YCBCR, padded * 255, 1) + np.array([0.0, 128, 128])[:, None, None]
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    y = quantised(y, LUMA_TABLE.T * factor)
    for number, plane in enumerate(chroma):
        halves = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2).mean((1, 3))
        chroma[number] = quantised(halves, CHROMA_TABLE * factor).repeat(2, 0).repeat(2, 1)
    rgb = np.tensordot(TO_RGB, np.stack([y, *chroma]) - np.array([0.0, 128, 128])[:, None, None], 1)
    return torch.from_numpy(rgb[:, :height, :width].clip(0, 255) / 255)


def quantised(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return a plane after its blocks of 8 x 8 have been transformed, rounded by a table and transformed back."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane.reshape(rows, 8, columns, 8).swapaxes(1, 2) - 128
    coefficients = dctn(blocks, axes=(2, 3), norm="ortho")
    blocks = idctn(np.round(coefficients / table) * table, axes=(2, 3), norm="ortho") + 128
    return blocks.swapaxes(1, 2).reshape(plane.shape)


# ---- the whole


def degrade(gt: Tensor, drawn: Drawn, rng: np.random.Generator, scale: int = 4) -> Tensor:
    """Return LQ of GT (3, H, W) float64, rounded to 8 bits; `rng` is for the noise alone."""
    height, width = gt.shape[1:]
    image = sharpen(gt)

    image = blur(image, kernel_of(drawn, "blur1"))
    image = resize_by(image, drawn["resize1_factor"], drawn["resize1_mode"])
    image = noisy(image, drawn["noise1_kind"], drawn["noise1_level"], drawn["noise1_gray"], rng)
    image = jpeg(image, drawn["jpeg1_quality"])

    image = blur(image, kernel_of(drawn, "blur2"))
    factor = drawn["resize2_factor"]
    image = resize_to(image, (int(height / scale * factor), int(width / scale * factor)), drawn["resize2_mode"])
    image = noisy(image, drawn["noise2_kind"], drawn["noise2_level"], drawn["noise2_gray"], rng)

    size = height // scale, width // scale
    if drawn["final_order"] == "sinc first":
        image = blur(resize_to(image, size, drawn["final_mode"]), kernel_of(drawn, "final"))
        image = jpeg(image, drawn["jpeg2_quality"])
    else:
        image = jpeg(image, drawn["jpeg2_quality"])
        image = blur(resize_to(image, size, drawn["final_mode"]), kernel_of(drawn, "final"))
    return (image * 255).round().clamp(0, 255) / 255
