"""Crops of large images from the disk and from memory: `raw` against `raw_tiled`.

Each encoding has an LMDB of the same noise images, 2040 x 1356 like those of DIV2K. Crops of 128 px, copied, as a batch
has them, at random places of images in random order:

- the first of an image: nothing of the store is in memory, each image is read for the first time;
- later ones: the process has read each image before, but the system has given the memory to others, as it does
  where the data are larger than memory;
- from memory: all is in the system's cache.

Bytes are those that the process has brought from the disk (/proc/self/io, so on Linux alone). Rounds are interleaved;
the table has medians.

    python tools/benchmarks/crops.py [--images 24] [--rounds 5] [--folder DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.encodings import encode
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.lmdb_writer import LmdbWriter, Value
from srtoolbox.system import forget_pages

ENCODINGS = ("raw", "raw_tiled")
HEIGHT, WIDTH, CROP = 1356, 2040, 128


class Cost(NamedTuple):
    """The cost of a crop: milliseconds, and bytes from the disk."""

    time: float
    disk: float


def write_store(path: Path, encoding: str, count: int) -> None:
    """Write a store of noise images."""
    keys = [f"{number:04d}" for number in range(count)]
    with contextlib.closing(LmdbWriter(path, {"encoding": encoding}, keys)) as writer:
        for number, key in enumerate(keys):
            image = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            writer.add([Value(key, encode(encoding, image), image.shape, "uint8", key, "", (0, 0))])
        writer.finish()


def take_crops(store: LmdbStore, places: Iterable[int], random: np.random.Generator) -> Cost:
    """Return the mean cost of a crop of each of these images."""
    batch = np.empty((CROP, CROP, 3), np.uint8)
    number, before, start = 0, _read_bytes(), time.perf_counter()
    for place in places:
        top, left = random.integers(0, (HEIGHT - CROP, WIDTH - CROP))
        batch[:] = store.read_at(place, Window(int(top), int(left), CROP, CROP))
        number += 1
    seconds = time.perf_counter() - start
    return Cost(1000 * seconds / number, (_read_bytes() - before) / number)


def _read_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def give_back(store: LmdbStore) -> None:
    """Let the system forget the pages of a store, which stays open."""
    for key in list(store.keys()):
        value = np.frombuffer(store.value(key), np.uint8)
        forget_pages(value.ctypes.data, len(value))
    descriptor = os.open(os.path.join(store.path, "data.mdb"), os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def measure(path: Path, count: int, seed: int) -> list[Cost]:
    """Return the costs of first and of later crops, and of those from memory."""
    with contextlib.closing(LmdbStore(path)) as store:
        give_back(store)
    random = np.random.default_rng(seed)
    with contextlib.closing(LmdbStore(path)) as store:
        first = take_crops(store, random.permutation(count).tolist(), random)
        give_back(store)
        later = take_crops(store, random.permutation(count).tolist(), random)
        for key in list(store.keys()):
            store.verify(key)  # brings all of it into memory
        return [first, later, take_crops(store, random.integers(0, count, 2000).tolist(), random)]


def table(costs: dict[str, list[list[Cost]]]) -> str:
    """Return the medians as lines for the docs."""
    lines = ["| a crop of | first: ms, KiB | later: ms, KiB | from memory: ms |", "|---|--:|--:|--:|"]
    for encoding, rounds in costs.items():
        first, later, memory = (_median(column) for column in zip(*rounds, strict=True))
        shown = [f"{cost.time:.2f}, {cost.disk / 1024:,.0f}" for cost in (first, later)]
        lines.append(f"| `{encoding}` | {shown[0]} | {shown[1]} | {memory.time:.3f} |")
    return "\n".join(lines)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where to work, on the disk to measure (default: a temporary folder)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        costs: dict[str, list[list[Cost]]] = {encoding: [] for encoding in ENCODINGS}
        for encoding in ENCODINGS:
            write_store(Path(name, encoding), encoding, args.images)
        for number in range(args.rounds):
            for encoding in ENCODINGS:
                costs[encoding].append(measure(Path(name, encoding), args.images, number))
        print(table(costs))


if __name__ == "__main__":
    main()
