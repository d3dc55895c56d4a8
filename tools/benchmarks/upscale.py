"""Upscaling an image: whole, in tiles and with the upsampling in pieces, in time, memory and difference to the whole.

Each case runs in a process of its own, which reports its peak resident memory; the cases take turns. The round with the
least CPU time counts, and the ratios are of that: where others use the machine, it suffers less than the clock's.
`plain` is the usual way: the whole image, float32, the layout as it comes; `padded` tiles are the usual tiles: 128
pixels and a fixed margin around them (0: none), likewise. Weights are random, of gain 0.5, so that features have about
unit size (those of a fresh network are so small that no seam shows). It needs Linux.

`python tools/benchmarks/upscale.py [--networks MSRResNet ESPCN] [--size 512] [--rounds 2] [--threads 2]`
`python tools/benchmarks/upscale.py --limits`: 100 megapixels under 2 GB of address space, and a panorama.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn

from srtoolbox.image import to_image, to_tensor
from srtoolbox.inference.restore import PIECE, AutocastRestore, PiecewiseUpsampling
from srtoolbox.inference.tiling.planner import Overlap
from srtoolbox.inference.tiling.source import Source
from srtoolbox.inference.tiling.stitch import float_bands
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import Splittable
from srtoolbox.registry import NETWORKS

Case = Callable[[nn.Module, np.ndarray], Tensor | np.ndarray]
GB = 1 << 30


def build(name: str, scale: int) -> nn.Module:
    """The network with its default arguments and random weights under which seams show."""
    torch.manual_seed(0)
    network = NETWORKS.build({"type": name, "scale": scale, "colour": "rgb"}).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.5 / module.weight[0].numel() ** 0.5)
    return network


def photograph(height: int, width: int) -> np.ndarray:
    """A photograph, mirrored on until it has the size: (H, W, 3) uint8."""
    photo = skimage.data.chelsea()
    margins = ((0, max(0, height - photo.shape[0])), (0, max(0, width - photo.shape[1])), (0, 0))
    return np.ascontiguousarray(np.pad(photo, margins, mode="symmetric")[:height, :width])


def plain(network: nn.Module, image: np.ndarray) -> Tensor:
    """The whole image, the layout as it comes."""
    return network(to_tensor(image))


def whole(network: nn.Module, image: np.ndarray, dtype: str = "fp32") -> Tensor:
    """The whole image as `restore` does it: channels last."""
    return AutocastRestore(network, dtype)(to_tensor(image))


def padded(network: nn.Module, image: np.ndarray, margin: int, tile: int = 128) -> Tensor:
    """Tiles with `margin` pixels around them, cut off again."""
    lq, scale = to_tensor(image), network.scale
    result = torch.empty(1, lq.shape[1], lq.shape[2] * scale, lq.shape[3] * scale)
    for top in range(0, lq.shape[2], tile):
        for left in range(0, lq.shape[3], tile):
            start = max(0, top - margin), max(0, left - margin)
            part = network(lq[:, :, start[0] : top + tile + margin, start[1] : left + tile + margin])
            inner = part[:, :, (top - start[0]) * scale :, (left - start[1]) * scale :]
            target = result[:, :, top * scale : (top + tile) * scale, left * scale : (left + tile) * scale]
            target.copy_(inner[:, :, : target.shape[2], : target.shape[3]])
    return result


def pieces(network: nn.Module, image: np.ndarray, dtype: str = "fp32", piece: int = PIECE) -> Tensor:
    """The body on the whole image, the upsampling in pieces."""
    upsampling = PiecewiseUpsampling(network)
    upsampling.piece = piece
    return AutocastRestore(upsampling, dtype)(to_tensor(image))


def tiles(network: nn.Module, image: np.ndarray, tile: int = 128, batch: int = 1) -> Tensor:
    """Exact tiles."""
    overlap = Overlap(network.receptive_field, network.size_multiple, False)
    grid = overlap.grid(image.shape[:2], (tile, tile), batch)
    source = Source(image, torch.device("cpu"))
    return torch.cat(list(float_bands(AutocastRestore(network, "fp32"), source, network.scale, grid)), 2)


def auto(network: nn.Module, image: np.ndarray) -> np.ndarray:
    """What a user gets who says nothing, in 8 bit."""
    return Upscaler(network)(image)


CASES: dict[str, Case] = {
    "plain: whole, contiguous, fp32": plain,
    "whole, channels last": whole,
    "whole, channels last, bf16": partial(whole, dtype="bf16"),
    **{f"padded tiles of 128, margin {margin}": partial(padded, margin=margin) for margin in (0, 10, 16, 32)},
    "our tiles of 128, exact": tiles,
    "our tiles of 128, exact, batches of 4": partial(tiles, batch=4),
    "body whole, upsampling in pieces of 8192": pieces,
    "the same, pieces of 32768 LR pixels": partial(pieces, piece=32768),
    "body whole, pieces of 8192, bf16": partial(pieces, dtype="bf16"),
    "tile='auto', 8 bit": auto,
}


def run_case(name: str, network_name: str, size: int, reference: str) -> dict[str, float]:
    """Run a case in this process: seconds, peak MB above what the libraries take, difference to the reference."""
    network, image = build(network_name, 4), photograph(size, size)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, start, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
    with torch.inference_mode():
        result = CASES[name](network, image)
    seconds, cpu, peak = time.perf_counter() - start, time.process_time() - cpu, status("VmHWM")
    array = result if isinstance(result, np.ndarray) else result.float().numpy()
    if not Path(reference).exists():
        np.save(reference, array)
    truth = np.load(reference)
    if array.dtype == np.uint8:
        truth = to_image(torch.from_numpy(truth)).astype(float)
    difference = float(np.abs(truth - array).max())
    return {"seconds": seconds, "cpu": cpu, "mb": peak, "before": before, "difference": difference}


def status(key: str) -> float:
    """A line of /proc/self/status, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / 1e6


def compare(names: Sequence[str], size: int, rounds: int, threads: int) -> None:
    """Print a table for each network."""
    print(f"{size} x {size} x4, {threads} threads; busy before: {os.getloadavg()[0]:.2f}")
    for network in names:
        with tempfile.TemporaryDirectory() as folder:
            splits = isinstance(build(network, 4), Splittable)
            cases = [name for name, case in CASES.items() if splits or getattr(case, "func", case) is not pieces]
            results: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
            for _ in range(rounds):
                for name in cases:
                    results[name].append(child(["--case", name, network, str(size), f"{folder}/plain.npy"], threads))
        print(f"\n{network:42} {'s':>7} {'CPU s':>7} {'ratio':>6} {'peak MB':>8} {'ratio':>6}  max difference")
        best = {name: min(found, key=lambda r: r["cpu"]) for name, found in results.items()}
        base = best["plain: whole, contiguous, fp32"]
        for name, r in best.items():
            ratios = base["cpu"] / r["cpu"], r["mb"] / base["mb"]
            shown = f"{r['seconds']:7.2f} {r['cpu']:7.2f} {ratios[0]:6.2f} {r['mb']:8.0f} {ratios[1]:6.2f}"
            print(f"{name:42} {shown}  {r['difference']:.1e}")
    print(f"\nbusy after: {os.getloadavg()[0]:.2f}")


def child(arguments: Sequence[str], threads: int, limit: int | None = None) -> dict[str, float]:
    """This script in another process, possibly with a limit to its address space; the JSON that it prints."""
    set_limit = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    command = [sys.executable, __file__, *arguments, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=set_limit, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


LIMITS = (("ESPCN", 2500, 2500), ("ESPCN", 1000, 20000), ("MSRResNet", 800, 5000), ("MSRResNet", 2500, 2500))


def limits(threads: int, limit: int) -> None:
    """Large images in a process that may map no more than `limit` bytes."""
    print(f"address space limited to {limit / 1e9:.2f} GB, {threads} threads; busy before: {os.getloadavg()[0]:.2f}")
    for name, height, width in LIMITS:
        r = child(["--large", name, str(height), str(width)], threads, limit)
        size = f"{width} x {height} -> {4 * width} x {4 * height} ({16e-6 * height * width:.0f} MP)"
        print(
            f"{name:10} {size:44} {r['seconds']:7.1f} s, peak {r['mb']:.0f} MB resident, {r['mapped']:.0f} MB mapped, "
            f"{r['bands']:.0f} bands, crop differs in {r['wrong']:.0f} values"
        )


def run_large(name: str, height: int, width: int) -> dict[str, float]:
    """Write an image band by band to a file; compare a piece of it with what the network makes of that piece."""
    network, image = build(name, 4), photograph(height, width)
    upscaler, start, count = Upscaler(network), time.perf_counter(), 0
    with tempfile.TemporaryFile() as file:
        for band in upscaler.bands(image):
            file.write(band.data)
            count += 1
            del band
        seconds, mapped = time.perf_counter() - start, status("VmPeak")
        assert file.tell() == height * width * 48
        top, left, halo = height // 2 - 20, width // 2 - 20, network.receptive_field
        around = image[top - halo : top + 40 + halo, left - halo : left + 40 + halo]
        with torch.inference_mode():
            expected = to_image(whole(network, around))[4 * halo :, 4 * halo :][:160, :160]
        found = np.empty_like(expected)
        for row in range(160):
            file.seek(((4 * top + row) * width * 4 + 4 * left) * 3)
            found[row] = np.frombuffer(file.read(480), np.uint8).reshape(160, 3)
    wrong = int((found != expected).sum())
    return {"seconds": seconds, "mb": status("VmHWM"), "mapped": mapped, "bands": count, "wrong": wrong}


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["MSRResNet", "ESPCN"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limits", action="store_true", help="large images under a limit of the address space")
    parser.add_argument("--limit", type=int, default=2 * GB, metavar="BYTES", help="the limit (default: 2 GiB)")
    parser.add_argument("--case", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--large", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.case:
        name, network, size, reference = args.case
        print(json.dumps(run_case(name, network, int(size), reference)))
    elif args.large:
        print(json.dumps(run_large(args.large[0], int(args.large[1]), int(args.large[2]))))
    elif args.limits:
        limits(args.threads, args.limit)
    else:
        compare(args.networks, args.size, args.rounds, args.threads)


if __name__ == "__main__":
    main()
