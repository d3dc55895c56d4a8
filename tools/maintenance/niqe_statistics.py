"""Fit the statistics of natural images that NIQE compares with, and compare two of them.

    python tools/maintenance/niqe_statistics.py fit DATA/General100 DATA/T91
    python tools/maintenance/niqe_statistics.py compare DATA/Set14/HR_full DATA/BSDS500/test --to niqe_pris_params.npz

`fit` writes srtoolbox/metrics/niqe_statistics.npz (-o FILE another one) from all images of the folders, 8-bit and as
good as can be had. `compare` degrades the images of folders by blur, noise, JPEG and bicubic shrinking, scores each
with both statistics, and prints the means and Spearman's rank correlation: within each degradation, and over all.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from srtoolbox.image import read_image
from srtoolbox.image.file_types import list_images
from srtoolbox.image.pixels import compress_jpeg, gaussian_blur
from srtoolbox.io.files import write_bytes
from srtoolbox.metrics.natural_scenes import blocks_in
from srtoolbox.metrics.niqe import KEYS, NIQE, OWN, fit_statistics
from srtoolbox.resize import imresize

BLUR, NOISE, QUALITY, FACTOR = (0.5, 1.0, 2.0, 4.0), (5, 10, 20, 40), (80, 50, 30, 10), (2, 3, 4)


def images_of(folders: Sequence[Path], limit: int | None = None) -> Iterator[np.ndarray]:
    """Yield the RGB images of folders, (H, W, 3) uint8, at most `limit` of each."""
    for folder in folders:
        for path in list_images(folder)[:limit]:
            image = read_image(folder / path)
            yield np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[2] == 1 else image


def batch(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def degraded(image: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return versions of an image by the degradation's name."""
    versions = {"none": image}
    versions |= {f"blur, sigma {sigma:g}": gaussian_blur(image, sigma) for sigma in BLUR}
    for sigma in NOISE:
        noisy = image + rng.normal(0, sigma, image.shape)
        versions[f"noise, sigma {sigma}"] = noisy.round().clip(0, 255).astype(np.uint8)
    versions |= {f"JPEG, quality {quality}": compress_jpeg(image, quality) for quality in QUALITY}
    for factor in FACTOR:
        small = imresize(image, 1 / factor)
        versions[f"bicubic x{factor}"] = imresize(small, size=image.shape[:2])
    return versions


def fit(args: argparse.Namespace) -> None:
    """Write the statistics of all images of the folders."""
    statistics = fit_statistics(batch(image) for image in images_of(args.folders))
    file = io.BytesIO()
    np.savez(file, **dict(zip(KEYS[0], statistics, strict=True)))
    write_bytes(args.output, file.getvalue())
    print(f"wrote {args.output}")


def compare(args: argparse.Namespace) -> None:
    """Print both statistics' scores of degraded images and how well they agree."""
    metrics = [NIQE(statistics=str(file)) for file in (args.statistics, args.to)]
    scores: dict[str, list[list[float]]] = {}
    rng, count = np.random.default_rng(0), 0
    for image in images_of(args.folders, args.limit):
        if blocks_in(*image.shape[:2]) < 2:
            continue
        count += 1
        for name, version in degraded(image, rng).items():
            pixels = batch(version)
            scores.setdefault(name, []).append([metric(pixels).item() for metric in metrics])
    print(f"{count} images, {args.statistics.name} against {args.to.name}\n")
    print("| degradation | mean | the other's mean | Spearman |\n|---|---|---|---|")
    for name, rows in scores.items():
        own, other = np.asarray(rows).T
        print(f"| {name} | {own.mean():.2f} | {other.mean():.2f} | {spearmanr(own, other)[0]:.3f} |")
    own, other = np.asarray([row for rows in scores.values() for row in rows]).T
    print(f"| all | {own.mean():.2f} | {other.mean():.2f} | {spearmanr(own, other)[0]:.3f} |")
    means = spearmanr(*np.asarray([np.mean(rows, axis=0) for rows in scores.values()]).T)[0]
    print(f"\nPearson over all {pearsonr(own, other)[0]:.3f}; Spearman of the degradations' means {means:.3f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fitting = commands.add_parser("fit", help="write the statistics of images")
    fitting.add_argument(
        "-o", "--output", type=Path, default=OWN, metavar="FILE", help="where to (default: the package)"
    )
    comparing = commands.add_parser("compare", help="score degraded images with two statistics")
    comparing.add_argument("--to", type=Path, required=True, metavar="FILE", help="the other statistics, .npz or .mat")
    comparing.add_argument("--statistics", type=Path, default=OWN, metavar="FILE", help="default: the package's")
    comparing.add_argument("--limit", type=int, metavar="N", help="take the first N images of each folder")
    for command, action in ((fitting, fit), (comparing, compare)):
        command.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="images")
        command.set_defaults(action=action)
    args = parser.parse_args(argv)
    args.action(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
