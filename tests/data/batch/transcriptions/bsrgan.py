"""BSRGAN's degradations (Zhang et al., ICCV 2021, arXiv:2103.14006) a second time, for tests.

Written from the paper and from what the published code does: slow and plain, in float64, with none
of the toolbox's code and with a generator of its own. `draw` gives all parameters of an image by
name, `degrade` applies them in the order of their places. The noise of a camera's processing, for
which the authors train a network, is left out, as it is in their code without that network.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from scipy.linalg import orth
from scipy.ndimage import convolve

Drawn = dict[str, Any]
MODES = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}
STEPS = ("blur1", "blur2", "resize1", "resize2", "noise", "jpeg")
KERNEL_SIZES = tuple(range(7, 26, 2))
HALF_PROBABILITY = 0.25
JPEG_PROBABILITY = 0.9
SCALED_PROBABILITY = 0.75
NOISE_LEVELS = (2, 25)
QUALITY = (30, 95)

# ---- drawing


def draw(rng: np.random.Generator, scale: int = 4) -> Drawn:
    """Return the parameters of one image."""
    drawn: Drawn = {"half_kind": "none"}
    if scale == 4 and rng.random() < HALF_PROBABILITY:
        drawn["half_kind"] = draw_mode(rng) if rng.random() < 0.5 else "matlab"
        scale = 2
    order = list(rng.permutation(STEPS))
    first, second = order.index("resize1"), order.index("resize2")
    if first > second:
        order[first], order[second] = order[second], order[first]
    jpeg_kind = "codec" if rng.random() < JPEG_PROBABILITY else "none"
    parts = {
        "blur1": draw_blur(rng, scale),
        "blur2": draw_blur(rng, scale),
        "resize1": draw_resize(rng, scale),
        "resize2": {"mode": draw_mode(rng)},
        "noise": draw_noise(rng),
        "jpeg": {"kind": jpeg_kind, "quality": draw_quality(rng)},
        "last": {"quality": draw_quality(rng)},
    }
    named = {f"{part}_{name}": value for part, values in parts.items() for name, value in values.items()}
    return drawn | named | {f"{step}_place": order.index(step) for step in STEPS} | {"scale": scale}


def draw_mode(rng: np.random.Generator) -> str:
    return str(rng.choice(list(MODES)))


def draw_quality(rng: np.random.Generator) -> int:
    return int(rng.integers(QUALITY[0], QUALITY[1] + 1))


def draw_blur(rng: np.random.Generator, scale: int) -> Drawn:
    """Return a Gaussian kernel: half are anisotropic, with two variances, half isotropic."""
    size = int(rng.choice(KERNEL_SIZES))
    if rng.random() < 0.5:
        variances = rng.uniform(0, 4 + scale, 2)
        angle = rng.uniform(0, np.pi)
        return {"kind": "aniso", "size": size, "variance1": variances[0], "variance2": variances[1], "angle": angle}
    return {"kind": "iso", "size": size, "sigma": rng.uniform(0, 2 + 0.2 * scale)}


def draw_resize(rng: np.random.Generator, scale: int) -> Drawn:
    if rng.random() < SCALED_PROBABILITY:
        return {"kind": "scaled", "divisor": rng.uniform(1, 2 * scale), "mode": draw_mode(rng)}
    return {"kind": "filtered", "sigma": rng.uniform(0.1, 0.6 * scale)}


def draw_noise(rng: np.random.Generator) -> Drawn:
    """Return the kind of normal noise: of colours alone, of all alike, or of correlated ones at the highest level."""
    kind = str(rng.choice(("colour", "gray", "correlated"), p=(0.4, 0.4, 0.2)))
    if kind != "correlated":
        return {"kind": kind, "level": int(rng.integers(NOISE_LEVELS[0], NOISE_LEVELS[1] + 1))}
    basis = orth(rng.random((3, 3)))
    return {"kind": kind, "level": NOISE_LEVELS[1], "covariance": np.abs(basis.T @ np.diag(rng.random(3)) @ basis)}


# ---- kernels


def anisotropic_kernel(size: int, variance1: float, variance2: float, angle: float) -> np.ndarray:
    """Return a Gaussian with `variance1` along `angle` and `variance2` across, of sum 1; x goes right, y down."""
    kernel = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            x, y = column - size // 2, row - size // 2
            along = math.cos(angle) * x + math.sin(angle) * y
            across = -math.sin(angle) * x + math.cos(angle) * y
            kernel[row, column] = math.exp(-(along**2) / (2 * variance1) - across**2 / (2 * variance2))
    return kernel / kernel.sum()


def isotropic_kernel(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian of sum 1, without its least values as MATLAB leaves them out."""
    kernel = anisotropic_kernel(size, sigma**2, sigma**2, 0.0)
    kernel[kernel < np.finfo(float).eps * kernel.max()] = 0
    return kernel / kernel.sum()


def shifted_kernel(sigma: float, scale: int) -> np.ndarray:
    """Return a Gaussian of 25 x 25, shifted up and left by half of `scale` less one, by linear interpolation."""
    kernel, shift = isotropic_kernel(25, sigma), (scale - 1) / 2
    places = np.minimum(np.arange(25) + shift, 24)
    for _ in range(2):  # along the rows, then along the columns
        kernel = np.array([np.interp(places, np.arange(25), line) for line in kernel]).T
    return kernel / kernel.sum()


# ---- steps, each on an image (h, w, 3) float64


def blur(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return convolve(image, kernel[:, :, None], mode="mirror")


def resize(image: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """Return the image at (height, width), in [0, 1]."""
    return cv2.resize(image, size[::-1], interpolation=MODES[mode]).clip(0, 1)


def halve(image: np.ndarray) -> np.ndarray:
    """Return the image at half its size by MATLAB's bicubic interpolation, which filters, in [0, 1]."""
    taps = np.abs(np.arange(-3.5, 4)) / 2
    near, far = 1.5 * taps**3 - 2.5 * taps**2 + 1, -0.5 * taps**3 + 2.5 * taps**2 - 4 * taps + 2
    weights = np.where(taps <= 1, near, far)
    weights /= weights.sum()
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        padded = np.pad(lines, ((3, 3), (0, 0), (0, 0)), mode="symmetric")
        halves = [sum(weights[tap] * padded[start + tap] for tap in range(8)) for start in range(0, len(lines) - 1, 2)]
        image = np.moveaxis(np.stack(halves), 0, axis)
    return image.clip(0, 1)


def noisy(image: np.ndarray, drawn: Drawn, rng: np.random.Generator) -> np.ndarray:
    if drawn["noise_kind"] == "correlated":
        noise = rng.multivariate_normal(np.zeros(3), drawn["noise_covariance"], image.shape[:2], check_valid="ignore")
        return (image + noise * drawn["noise_level"] / 255).clip(0, 1)
    channels = 1 if drawn["noise_kind"] == "gray" else 3
    return (image + rng.normal(0, drawn["noise_level"] / 255, (*image.shape[:2], channels))).clip(0, 1)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the image of 8 bits that OpenCV's codec gives back."""
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    written = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(written, cv2.IMREAD_COLOR)[:, :, ::-1] / 255


# ---- the whole


def degrade(gt: np.ndarray, drawn: Drawn, rng: np.random.Generator) -> np.ndarray:
    """Return LQ of GT (H, W, 3) float64, in 8 bits; `rng` is for the noise alone."""
    image, scale = gt, drawn["scale"]
    height, width = image.shape[:2]
    if drawn["half_kind"] == "matlab":
        image = halve(image)
    elif drawn["half_kind"] != "none":
        image = resize(image, (height // 2, width // 2), drawn["half_kind"])
    height, width = image.shape[:2]
    for step in sorted(STEPS, key=lambda step: drawn[f"{step}_place"]):
        if step in ("blur1", "blur2"):
            image = blur(image, kernel_of(drawn, step))
        elif step == "resize1" and drawn["resize1_kind"] == "scaled":
            divisor = drawn["resize1_divisor"]
            image = resize(image, (int(height / divisor), int(width / divisor)), drawn["resize1_mode"])
        elif step == "resize1":
            image = blur(image, shifted_kernel(drawn["resize1_sigma"], scale))[::scale, ::scale].clip(0, 1)
        elif step == "resize2":
            image = resize(image, (height // scale, width // scale), drawn["resize2_mode"])
        elif step == "noise":
            image = noisy(image, drawn, rng)
        elif drawn["jpeg_kind"] != "none":
            image = jpeg(image, drawn["jpeg_quality"])
    return jpeg(image, drawn["last_quality"])


def kernel_of(drawn: Drawn, name: str) -> np.ndarray:
    """Return the kernel of 'blur1' or 'blur2'."""
    if drawn[f"{name}_kind"] == "iso":
        return isotropic_kernel(drawn[f"{name}_size"], drawn[f"{name}_sigma"])
    return anisotropic_kernel(*(drawn[f"{name}_{each}"] for each in ("size", "variance1", "variance2", "angle")))
