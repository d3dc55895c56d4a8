"""How long a save stops a run, and what it costs the iterations beside it, against plain `torch.save`; in one process.

Each round trains some iterations without a save; then saves and trains on until the thread that writes has ended; then
trains beside another process that writes as much, which shows what of that is Python's lock and what the machine; then
does what one would write by hand, `torch.save` of the same state, with and without an fsync, and a copy of as many
bytes, which is the floor of any pause. Ratios are of one round, their median over all is printed, and of times the
least, too, which a busy machine disturbs least. By default the network is RRDBNet with 23 blocks, with Adam and EMA:
268 MB. Batches are small, so that iterations are short against a save.

    python tools/benchmarks/save.py [--rounds 9] [--blocks 23] [--threads 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from srtoolbox.apps.quickstart import write_photos
from srtoolbox.config import Config, resolve_config
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.run import Run
from srtoolbox.logger import LOGGER

FEW = 6
"""Iterations without a save in each round."""


def config_of(images: Path, blocks: int, threads: int) -> Config:
    """RRDBNet x4 on crops of 8 x 8 pixels, with Adam, EMA and nothing else that takes time."""
    crops = {"type": "GTOnlyDataset", "gt": str(images), "scale": 4, "gt_size": 32}
    generator = {"type": "RRDBNet", "scale": 4, "num_blocks": blocks}
    hooks = {"ema": {"type": "EMAHook"}, "checkpoint": {"interval": 10**9, "keep_last": 3}}
    return resolve_config(
        {
            "scale": 4,
            "max_iters": 10**9,
            "model": {"type": "Restorer", "generator": generator, "losses": {"pixel": {"type": "L1Loss"}}},
            "optim": {"generator": {"optimizer": {"type": "Adam", "lr": 1e-4}}},
            "data": {"train": {"dataset": crops, "batch_size": 1}},
            "runtime": {"device": "cpu", "threads": threads},
            "hooks": {**hooks, "logger": {"interval": 10**9, "tensorboard": False}},
        }
    )


class Side:
    """A run whose iterations, saves and state are timed one by one."""

    def __init__(self, config: Config, folder: Path) -> None:
        folder.mkdir()
        self.run, self.folder = Run(config, folder), folder
        self.steps: Iterator[int] = iterations(self.run)
        self.hook: Any = self.run.hooks["checkpoint"]

    def train(self, count: int) -> float:
        """Seconds of an iteration, on average."""
        start = time.perf_counter()
        for _ in range(count):
            next(self.steps)
        return (time.perf_counter() - start) / count

    def save(self) -> tuple[float, float, float, int]:
        """The pause of a save, the seconds of an iteration while it is written, of the writing, and how many fit."""
        self.hook.interval, paused = self.run.iter + 1, self.run.paused_seconds
        next(self.steps)
        self.hook.interval = 10**9
        pause, start, count = self.run.paused_seconds - paused, time.perf_counter(), 0
        while any(thread.name == "save" for thread in threading.enumerate()):
            next(self.steps)
            count += 1
        seconds = time.perf_counter() - start
        return pause, seconds / max(count, 1), seconds, count

    def train_beside(self, other: Other) -> float:
        """Seconds of an iteration while another process writes as much."""
        other.begin(self.folder / "plain.pth")
        start, count = time.perf_counter(), 0
        while not other.has_ended():
            next(self.steps)
            count += 1
        return (time.perf_counter() - start) / max(count, 1)

    def save_plainly(self, *, sync: bool) -> float:
        """Seconds of `torch.save`, which stops whatever calls it."""
        path = self.folder / "plain.pth"
        return timed(lambda: plainly(self.run.state_dict(), path, sync=sync))


class Other:
    """A process that does for so many bytes what the thread of a save does, without this one's lock."""

    WORK = """
import hashlib, os, sys, zlib
data = bytes(range(256)) * (int(sys.argv[1]) // 256)
for path in map(str.strip, sys.stdin):
    zlib.crc32(data), hashlib.sha256(data)
    with open(path, "wb") as file:
        file.write(data), file.flush(), os.fsync(file.fileno())
    with open(path, "rb") as file:
        hashlib.file_digest(file, "sha256")
    print(flush=True)
"""

    def __init__(self, size: int) -> None:
        command = [sys.executable, "-c", self.WORK, str(size)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def begin(self, path: Path) -> None:
        """Let it write once."""
        self._process.stdin.write(f"{path}\n".encode())

    def has_ended(self) -> bool:
        """True, once, when that is done."""
        is_done = bool(select.select([self._process.stdout], [], [], 0)[0])
        return is_done and bool(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait()


def plainly(state: dict[str, Any], path: Path, *, sync: bool) -> None:
    """`torch.save`, flushed to the disk or not."""
    with open(path, "wb") as file:
        torch.save(state, file)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Time the rounds and print medians, in milliseconds, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--blocks", type=int, default=23, help="of RRDBNet; 23 is the usual network (default)")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default: 1)")
    parser.add_argument("--folder", type=Path, help="write below this folder, on the disk to be measured")
    args = parser.parse_args()
    LOGGER.disabled = True
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        write_photos(Path(folder))
        side = Side(config_of(Path(folder) / "train", args.blocks, args.threads), Path(folder) / "run")
        report(measure(side, args.rounds))


def measure(side: Side, rounds: int) -> dict[str, list[float]]:
    """Seconds of everything in each round, and of the first save."""
    side.train(2)
    times: dict[str, list[float]] = {"first": [side.save()[0]]}
    size = next(side.folder.glob("checkpoints/iter_*.pth")).stat().st_size
    source, target = torch.zeros(2, size, dtype=torch.uint8)
    times["MB"], other = [size / 1e6], Other(size)
    for _ in range(rounds):
        before = side.train(FEW)
        pause, beside, writing, count = side.save()
        after = side.train(FEW)
        alone = (before + after) / 2
        row = {
            "pause": pause,
            "copy": timed(lambda: target.copy_(source)),
            "plain": side.save_plainly(sync=False),
            "synced": side.save_plainly(sync=True),
            "writing": writing,
            "alone": alone,
            "beside": beside,
            "process": side.train_beside(other),
            "lost": pause + (beside - alone) * count,
        }
        for name, value in row.items():
            times.setdefault(name, []).append(value)
    other.close()
    return times


def report(times: dict[str, list[float]]) -> None:
    """Print a row for each way to save."""

    def ratio(name: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(times[name], times[to], strict=True))

    rows = {
        "pause": ("pause of a save", f"the first one {times['first'][0] * 1e3:.0f} ms"),
        "copy": ("a copy of as many bytes", f"the pause is {ratio('pause', 'copy'):.2f} times as long"),
        "plain": ("plain torch.save", f"{ratio('plain', 'pause'):.1f} times the pause"),
        "synced": ("torch.save and fsync", f"{ratio('synced', 'pause'):.1f} times the pause"),
        "alone": ("an iteration without a save", ""),
        "beside": ("while a thread writes one", f"{ratio('beside', 'alone'):.2f} times as long"),
        "process": ("while a process writes one", f"{ratio('process', 'alone'):.2f} times as long"),
        "writing": ("writing, beside the training", ""),
        "lost": ("a save costs in all", f"{ratio('lost', 'synced'):.2f} of torch.save and fsync"),
    }
    print(f"a checkpoint of {times['MB'][0]:.0f} MB, {len(times['pause'])} rounds; ratios within a round, their median")
    print(f"{'ms':30s} {'least':>7s} {'median':>7s}")
    for name, (title, note) in rows.items():
        print(f"{title:30s} {min(times[name]) * 1e3:7.0f} {statistics.median(times[name]) * 1e3:7.0f}  {note}".rstrip())


if __name__ == "__main__":
    main()
