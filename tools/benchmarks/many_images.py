"""Stores of very many images: opening, memory, batches and resuming, and a store in shards against one file.

For each number of images a pair of raw stores of tiny images (GT 16 x 16, LQ 8 x 8) is written straight as
columns, and of the largest number one in 8 shards, among which the images are dealt out. Each measurement is a
process of its own, which opens the pair as a training set (small='skip', sampling='area'), asks for the keys, makes
batches of 16 crops of 8 px in random order, and begins once more far on, as a resumed run does. Memory is above that
of a process that opens a pair of one image: once opened what is private to the process (USS), after training what is
no page of a file, which the system takes back at will. Rounds are interleaved; the table has medians.

    python tools/benchmarks/many_images.py [--images 10000 100000 1000000] [--rounds 3] [--folder DIR] [--version-1]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np

from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.data.stores.index import Index, Texts, to_bytes
from srtoolbox.data.stores.lmdb_contents import FORMAT, INDEX_KEY, META_KEY, VERSION
from srtoolbox.data.stores.sharded import shard_path
from srtoolbox.io.pieces import Shard

SCALE, GT_SIZE, BATCH = 2, 16, 16
CROP = 8  # px of GT
BATCHES, SHARDS = 400, 8
CHUNK = 20_000  # images in a transaction


class Measurement(NamedTuple):
    """Seconds to open, to the first batch of a resumed run; milliseconds of a batch; bytes."""

    open: float
    batch: float
    resume: float
    opened_bytes: int
    trained_bytes: int


# ---- stores


def key_of(number: int) -> str:
    return f"part {number // 1000:04d}/{number:07d}"


def write_store(path: Path, numbers: range, size: int, *, version: int = VERSION) -> None:
    """A raw store of images of `size` px, each of one value, without a conversion's safety."""
    path.mkdir(parents=True)
    value = size * size * 3
    pixels = np.arange(251, dtype=np.uint8)[:, None].repeat(value, 1)
    hashes = np.stack([np.frombuffer(hashlib.sha256(row).digest(), np.uint8) for row in pixels])
    count, kinds = len(numbers), np.array(numbers) % 251
    with lmdb.open(str(path), map_size=(value + 700) * count * 2 + (1 << 26), sync=False, readahead=False) as env:
        for start in range(0, count, CHUNK):
            chunk = numbers[start : start + CHUNK]
            entries = [(key_of(number).encode(), pixels[number % 251].tobytes()) for number in chunk]
            with env.begin(write=True) as txn:
                txn.cursor().putmulti(entries, append=True)
        index = Index(
            keys=Texts.of(map(key_of, numbers)),
            sources=Texts.of(f"{key_of(number)}.png" for number in numbers),
            **{name: np.full(count, size, "<u4") for name in ("heights", "widths")},
            channels=np.full(count, 3, "u1"),
            dtypes=np.zeros(count, "u1"),
            kinds=("uint8",),
            hashes=hashes[kinds],
            stamps=np.zeros((count, 2), "<i8"),
        )
        meta = {"format": FORMAT, "version": version, "encoding": "raw", "count": count, "digest": str(count)}
        with env.begin(write=True) as txn:
            if version == 1:
                meta["pictures"] = {key: record._asdict() for key, record in index.records().items()}
            else:
                meta["index"], data = to_bytes(index)
                txn.put(INDEX_KEY, data)
            txn.put(META_KEY, json.dumps(meta).encode())


def write_pair(folder: Path, count: int, *, version: int = VERSION, shards: int = 1) -> None:
    """A pair of stores, gt.lmdb and lq.lmdb, unless it is there."""
    for name, size in (("gt", GT_SIZE), ("lq", GT_SIZE // SCALE)):
        path = folder / f"{name}.lmdb"
        if path.exists():
            continue
        if shards == 1:
            write_store(path, range(count), size, version=version)
        for number in range(shards if shards > 1 else 0):
            write_store(shard_path(path, Shard(number + 1, shards)), range(number, count, shards), size)


# ---- measurements


def private_bytes() -> tuple[int, int]:
    """The memory of this process that no other shares, and what of it is no page of a file (Linux)."""
    kinds = dict.fromkeys(("Private_Clean", "Private_Dirty", "Anonymous"), 0)
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name = line.partition(":")[0]
        if name in kinds:
            kinds[name] = int(line.split()[1]) << 10
    return kinds["Private_Clean"] + kinds["Private_Dirty"], kinds["Anonymous"]


def open_pair(folder: Path) -> PairedDataset:
    gt, lq = (str(folder / f"{name}.lmdb") for name in ("gt", "lq"))
    dataset = PairedDataset(gt, lq, SCALE, gt_size=CROP, small="skip", sampling="area")
    keys = dataset.keys()
    assert len(keys) == len(dataset) and keys[-1]
    return dataset


def measure(folder: Path, batches: int = BATCHES) -> Measurement:
    """Open a pair of stores, make batches, and begin again far on."""
    start = time.perf_counter()
    dataset = open_pair(folder)
    opened, (opened_bytes, _) = time.perf_counter() - start, private_bytes()
    loader, times = build_train_loader(dataset, BATCH, seed=0), []
    next(loader)
    for _ in range(batches):
        start = time.perf_counter()
        next(loader)
        times.append(time.perf_counter() - start)
    _, trained_bytes = private_bytes()
    start = time.perf_counter()
    next(build_train_loader(dataset, BATCH, seed=0, start=10**9))
    resumed = time.perf_counter() - start
    return Measurement(opened, statistics.median(times) * 1e3, resumed, opened_bytes, trained_bytes)


def measure_alone(folder: Path) -> Measurement:
    """`measure` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (folder,))


def rows(folders: dict[str, Path], empty: Path, rounds: int) -> list[str]:
    """The lines of the table."""
    results: dict[str, list[Measurement]] = {name: [] for name in ("", *folders)}
    for _ in range(rounds):
        for name, folder in {"": empty, **folders}.items():
            results[name].append(measure_alone(folder))
    middle = {
        name: Measurement(*(statistics.median(column) for column in zip(*each, strict=True)))
        for name, each in results.items()
    }
    base, first = middle.pop(""), next(iter(folders))
    lines = ["| images | open, s | MB opened | MB after training | ms per batch | ratio | resume, s |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for name, each in middle.items():
        memory = [(ours - theirs) / 1e6 for ours, theirs in zip(each[3:], base[3:], strict=True)]
        ratio = statistics.median(a.batch / b.batch for a, b in zip(results[name], results[first], strict=True))
        lines.append(
            f"| {name} | {each.open:.3f} | {memory[0]:.0f} | {memory[1]:.0f} | {each.batch:.2f} | {ratio:.2f} "
            f"| {each.resume:.3f} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the stores are kept for another time")
    parser.add_argument("--version-1", action="store_true", help="stores whose description is JSON, too")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        write_pair(folder / "1", 1)
        folders = {}
        for count in args.images:
            for version in (VERSION, 1) if args.version_1 else (VERSION,):
                name = f"{count:,}" + (", version 1" if version == 1 else "")
                folders[name] = folder / f"{count}-{version}"
                start = time.perf_counter()
                write_pair(folders[name], count, version=version)
                print(f"{name}: written in {time.perf_counter() - start:.0f} s", flush=True)
        name = f"{max(args.images):,} in {SHARDS} shards"
        folders[name] = folder / f"{max(args.images)}-shards"
        write_pair(folders[name], max(args.images), shards=SHARDS)
        print("\n".join(rows(folders, folder / "1", args.rounds)))


if __name__ == "__main__":
    main()
