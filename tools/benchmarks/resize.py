"""Bicubic shrinking and enlarging by srtoolbox against the same written as toolboxes usually write it.

That: weights made anew in every call, symmetric border, float32, one small product per output row and channel.

The candidates take turns in one process, in rotating order; the ratio is the median of the per-round ratios. Where
SRTOOLBOX_DATA names a folder with Set5 and Set14, both are also compared with MATLAB's LR pictures, value by value.
`python tools/benchmarks/resize.py [--rounds 21] [--threads 1]`
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
from torch import Tensor

from srtoolbox.image import read_image
from srtoolbox.resize import imresize


def plain_weights(length: int, scale: float) -> tuple[Tensor, Tensor, int]:
    """Weights (outputs, taps), the first tap of each output in the padded axis, and the padding."""
    outputs = math.ceil(length * scale - 1e-9)
    shrink = min(scale, 1.0)
    centre = (torch.arange(outputs, dtype=torch.float64) + 0.5) / scale - 0.5
    first = torch.floor(centre - 2 / shrink)
    taps = first[:, None] + torch.arange(math.ceil(4 / shrink) + 2)
    x = ((centre[:, None] - taps) * shrink).abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))
    padding = int(max(-first.min(), taps.max() - length + 1, 0))
    return (weights / weights.sum(1, keepdim=True)).float(), (first + padding).long(), padding


def plain_resize(image: Tensor, scale: float) -> Tensor:
    """(C, H, W) float32, one row or column of one channel at a time."""
    for turn in range(2):  # vertical, then the same on the transposed picture
        weights, first, padding = plain_weights(image.shape[1], scale)
        padded = torch.cat([image[:, :padding].flip(1), image, image[:, image.shape[1] - padding :].flip(1)], 1)
        result = torch.empty(image.shape[0], len(weights), image.shape[2])
        for row, start in enumerate(first.tolist()):
            for channel in range(image.shape[0]):
                part = padded[channel, start : start + weights.shape[1]]
                result[channel, row] = part.transpose(0, 1).mv(weights[row])
        image = result.transpose(1, 2)
        if turn == 0:
            image = image.contiguous()
    return image.contiguous()


def plain_resize_array(image: np.ndarray, scale: float) -> np.ndarray:
    """HWC uint8, resized as float and rounded once."""
    values = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)
    result = (plain_resize(values, scale) * 255).round().clamp(0, 255)
    return result.permute(1, 2, 0).to(torch.uint8).numpy()


def compare(plain: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median ms of both, median ratio."""
    times: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for side in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            (plain, ours)[side]()
            times[side].append((time.perf_counter() - start) * 1e3)
    plain_times, our_times = (side[1:] for side in times)  # the first round fills caches
    ratio = statistics.median(a / b for a, b in zip(plain_times, our_times, strict=True))
    return statistics.median(plain_times), statistics.median(our_times), ratio


def differing_values(root: Path, resize: Callable[[np.ndarray, float], np.ndarray], scale: int) -> tuple[int, int, int]:
    """(differing, all, largest difference) over the LR pictures of Set5 and Set14."""
    differing = total = largest = 0
    for folder in (root / "Set5", root / "Set14"):
        for path in sorted((folder / f"HR/X{scale}").iterdir()):
            lr = read_image(folder / f"LR_bicubic/X{scale}" / path.name).astype(int)
            gap = np.abs(resize(read_image(path), 1 / scale).reshape(lr.shape) - lr)
            differing, total = differing + np.count_nonzero(gap), total + gap.size
            largest = max(largest, int(gap.max()))
    return differing, total, largest


def print_speed(image: np.ndarray, scale: float, rounds: int) -> None:
    """Two lines: an array of 8 bits, and a float tensor, whose border both mirror for the comparison of values."""
    name = f"x{scale:g}" if scale > 1 else f"x1/{round(1 / scale)}"
    name += f" {image.shape[1]}x{image.shape[0]} RGB"
    row = compare(lambda: plain_resize_array(image, scale), lambda: imresize(image, scale), rounds)
    print(f"{name + ' uint8':34} {row[0]:9.2f} {row[1]:9.2f} {row[2]:7.1f}")
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous()[None] / 255
    row = compare(lambda: plain_resize(tensor[0], scale), lambda: imresize(tensor, scale), rounds)
    gap = (plain_resize(tensor[0], scale) - imresize(tensor, scale, border="symmetric")[0]).abs().max().item()
    print(f"{name + ' float32':34} {row[0]:9.2f} {row[1]:9.2f} {row[2]:7.1f} {gap:11.1e}")


def main() -> None:
    """Print speed, and agreement with MATLAB where its pictures are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photo = np.ascontiguousarray(np.tile(skimage.data.astronaut(), (2, 2, 1))[:680, :1020])
    print(f"{'':34} {'plain ms':>9} {'ours ms':>9} {'ratio':>7} {'difference':>11}")
    for scale, image in ((1 / 2, photo), (1 / 3, photo), (1 / 4, photo), (4, np.ascontiguousarray(photo[:170, :255]))):
        print_speed(image, scale, arguments.rounds)
    root = Path(os.environ.get("SRTOOLBOX_DATA", ""))
    if not (root / "Set5").is_dir():
        print("SRTOOLBOX_DATA names no folder with Set5 and Set14: no comparison with MATLAB's pictures")
        return
    for scale in (2, 3, 4):
        for label, resize in (("plain", plain_resize_array), ("ours", imresize)):
            differing, total, largest = differing_values(root, resize, scale)
            print(f"x1/{scale} {label:5} differs from MATLAB in {differing} of {total} values, by at most {largest}")


if __name__ == "__main__":
    main()
