"""What `upscale_folder` costs for many small images, against a bare loop: read, network, write, one after another.

The bare loop reads and writes by cv2, knows no alpha and no metadata, and flushes nothing to the disk. A second one
reads and writes by this toolbox's own functions, as safely as `upscale_folder`. All use one network and the same
images (crops of a photograph); each round runs all sides, in turn, in one process. Ratios are medians of those of a
round, and of the least of all rounds, in which other work of the machine counts less.

The weights are random; what the network gives is a small part of a result, beside the interpolated image: results are
to be packed like those of trained networks. A random network's own results repeat themselves as no photograph does,
which the choice of the packing looks for.

    python tools/benchmarks/upscale_folder.py [--network ESPCN] [--images 300] [--side 64] [--rounds 9] [--threads 1]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from srtoolbox import upscale_folder
from srtoolbox.image import read_image, write_image
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.interfaces import NetworkWrapper
from srtoolbox.registry import NETWORKS


def write_crops(folder: Path, count: int, side: int) -> None:
    """Write crops of a photograph, from places spread over it."""
    photo = skimage.data.chelsea()
    places = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        top, left = (int(places.integers(0, length - side + 1)) for length in photo.shape[:2])
        write_image(folder / f"{number:04}.png", np.ascontiguousarray(photo[top : top + side, left : left + side]))


class Residual(NetworkWrapper):
    """An interpolated image, and a little of what a network makes of it."""

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        return F.interpolate(lq, scale_factor=self.scale, mode="bilinear").add_(self.network(lq), alpha=0.05)


def bare(network: nn.Module, source: Path, target: Path) -> None:
    """The loop one would write by hand."""
    target.mkdir()
    with torch.inference_mode():
        for path in sorted(source.iterdir()):
            rgb = np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
            lq = torch.from_numpy(rgb).permute(2, 0, 1)[None].float().div(255)
            sr = network(lq)[0].mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            cv2.imwrite(str(target / path.name), cv2.cvtColor(sr, cv2.COLOR_RGB2BGR))


def by_own_functions(network: nn.Module, source: Path, target: Path) -> None:
    """The same by functions of the toolbox."""
    for path in sorted(source.iterdir()):
        write_image(target / path.name, upscale_whole(network, read_image(path)))


def ours(network: nn.Module, source: Path, target: Path, workers: int = 2) -> None:
    """All that `upscale_folder` does, its lines included."""
    console = Console(file=io.StringIO(), width=200)
    result = upscale_folder(network, source, target, suffix="", console=console, workers=workers)
    assert not result.failed, result.failed


def seconds_of(side: Callable[[Path], None], folder: Path) -> tuple[float, float]:
    """Run a side once into a new folder: seconds, and those of all threads on a CPU."""
    with tempfile.TemporaryDirectory(dir=folder) as target:
        start, cpu = time.perf_counter(), time.process_time()
        side(Path(target) / "out")
        seconds = time.perf_counter() - start, time.process_time() - cpu
        os.sync()  # the next one does not wait for what this one wrote
    return seconds


def main() -> None:
    """Time the sides in turn, and print them against the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="ESPCN")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.manual_seed(0)
    network = Residual(NETWORKS.build({"type": args.network, "scale": 4, "colour": "rgb"})).eval()
    with tempfile.TemporaryDirectory(dir=args.folder) as name, contextlib.suppress(KeyboardInterrupt):
        folder = Path(name)
        source = folder / "images"
        write_crops(source, args.images, args.side)
        sides: dict[str, Callable[[Path], None]] = {
            "bare loop, by cv2": partial(bare, network, source),
            "bare loop, by own functions": partial(by_own_functions, network, source),
            "upscale_folder, 1 worker": partial(ours, network, source, workers=1),
            "upscale_folder, 2 workers": partial(ours, network, source),
        }
        times: dict[str, list[tuple[float, float]]] = {label: [] for label in sides}
        for number in range(args.rounds + 1):
            order = [*sides][number % len(sides) :] + [*sides][: number % len(sides)]
            for label in order:
                seconds = seconds_of(sides[label], folder)
                if number:  # the first round warms up
                    times[label].append(seconds)
    print(f"{args.images} images of {args.side} x {args.side}, {args.network} x4, {args.threads} threads of torch")
    report(times, args.images)


def report(times: dict[str, list[tuple[float, float]]], images: int) -> None:
    """Print each side's seconds and CPU seconds against those of the first."""
    first, *_ = times.values()
    for label, found in times.items():
        pairs = [*zip(first, found, strict=True)]
        speed, work = (statistics.median(own[kind] / base[kind] for base, own in pairs) for kind in (0, 1))
        seconds, cpu = (min(own[kind] for own in found) for kind in (0, 1))
        best, best_work = (min(base[kind] for base in first) for kind in (0, 1))
        print(
            f"{label:30} {1000 * seconds / images:7.3f} ms an image at least; of the bare loop's speed "
            f"{1 / speed:.2f}, at best {best / seconds:.2f}; of its CPU time {work:.2f}, at best {cpu / best_work:.2f}"
        )


if __name__ == "__main__":
    main()
