"""PSNR and SSIM of srtoolbox against the same measures written as toolboxes usually write them.

Those: numpy in float64, the 11x11 window as a full two-dimensional filter, five filterings per channel.

Both sides start from uint8 pictures. The candidates of a comparison take turns in one process, in rotating order; the
ratio is the median of the per-round ratios. `python tools/benchmarks/metrics.py [--rounds 15] [--threads 1]`
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import skimage.data
import torch

from srtoolbox.registry import METRICS

CROP = 4
WINDOW = np.outer(cv2.getGaussianKernel(11, 1.5), cv2.getGaussianKernel(11, 1.5))


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma, float64."""
    return image.astype(np.float64) / 255 @ np.array([65.481, 128.553, 24.966]) + 16


def plain_psnr(pred: np.ndarray, target: np.ndarray, y_channel: bool) -> float:
    """HWC uint8, borders cut."""
    pred, target = (luma(i) if y_channel else i.astype(np.float64) for i in (pred, target))
    return 10 * np.log10(255**2 / np.mean((pred - target) ** 2))


def plain_ssim(pred: np.ndarray, target: np.ndarray, y_channel: bool) -> float:
    """HWC uint8, borders cut."""
    pred, target = (luma(i)[..., None] if y_channel else i.astype(np.float64) for i in (pred, target))
    return float(np.mean([_plain_plane(pred[..., c], target[..., c]) for c in range(pred.shape[-1])]))


def _plain_plane(pred: np.ndarray, target: np.ndarray) -> float:
    def blur(plane: np.ndarray) -> np.ndarray:
        return cv2.filter2D(plane, -1, WINDOW)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_p, mean_t = blur(pred), blur(target)
    var_p = blur(pred**2) - mean_p**2
    var_t = blur(target**2) - mean_t**2
    covariance = blur(pred * target) - mean_p * mean_t
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    return float((luminance * (2 * covariance + c2) / (var_p + var_t + c2)).mean())


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """(pred, target), 1024 x 680 real pixels and the same with noise."""
    target = np.ascontiguousarray(np.tile(skimage.data.astronaut(), (2, 2, 1))[:680, :1024])
    noise = np.random.default_rng(0).normal(0, 8, target.shape)
    return np.clip(np.round(target + noise), 0, 255).astype(np.uint8), target


def compare(plain: Callable[[], float], ours: Callable[[], float], rounds: int) -> tuple[float, float, float, float]:
    """Median ms of both, median ratio, difference of the values."""
    sides = [plain, ours]
    values = [side() for side in sides]
    times: list[list[float]] = [[], []]
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            sides[side]()
            times[side].append((time.perf_counter() - start) * 1e3)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    return statistics.median(times[0]), statistics.median(times[1]), ratio, abs(values[0] - values[1])


def main() -> None:
    """Print one line per metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    arrays = pictures()
    inner = [image[CROP:-CROP, CROP:-CROP] for image in arrays]
    tensors = [torch.from_numpy(image).permute(2, 0, 1).contiguous()[None] for image in arrays]
    print(f"{'metric':22} {'plain ms':>9} {'ours ms':>9} {'ratio':>7} {'difference':>11}")
    for name, plain, options in (
        ("PSNR", plain_psnr, {}),
        ("SSIM", plain_ssim, {}),
        ("SSIM", plain_ssim, {"dtype": "float64"}),
    ):
        for y_channel in (False, True):
            metric = METRICS.build({"type": name, "crop_border": CROP, "y_channel": y_channel, **options})
            row = compare(
                lambda plain=plain, y=y_channel: plain(*inner, y),
                lambda metric=metric: metric(*tensors).item(),
                arguments.rounds,
            )
            label = f"{name} {'Y' if y_channel else 'RGB'} {options.get('dtype', '')}"
            print(f"{label:22} {row[0]:9.2f} {row[1]:9.2f} {row[2]:7.1f} {row[3]:11.1e}")


if __name__ == "__main__":
    main()
