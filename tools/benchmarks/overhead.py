"""What the runner costs per iteration: ESPCN by config against a bare PyTorch loop, interleaved in one process.

Both sides use the same network, batches (raw LMDB made on the spot), preprocessing, loss and fused Adam. The runner's
side has its usual hooks: schedule, logger every 100 iterations, checkpoint and evaluation set up but not due.

    python tools/benchmarks/overhead.py [--rounds 30] [--iters 100]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from srtoolbox.cli import main as srtoolbox
from srtoolbox.cli.quickstart import write_photos
from srtoolbox.config import Config
from srtoolbox.data.loader import build_train_loader
from srtoolbox.engine.runner import Runner
from srtoolbox.image import batch_to_float, rgb_to_y
from srtoolbox.logger import LOGGER
from srtoolbox.registry import DATASETS, NETWORKS


class BareLoop:
    """The loop one would write by hand."""

    def __init__(self, config: Config) -> None:
        train = config["data"]["train"]
        self.network = NETWORKS.build(config["model"]["generator"])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)
        self.batches = build_train_loader(DATASETS.build(train["dataset"]), train["batch_size"])

    def run(self, iters: int) -> None:
        for _ in range(iters):
            batch = next(self.batches)
            lq, gt = (rgb_to_y(batch_to_float(batch[key])) for key in ("lq", "gt"))
            loss = F.mse_loss(self.network(lq), gt)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()


class RunnerLoop:
    """The same through the toolbox."""

    def __init__(self, config: Config, work_dir: Path) -> None:
        work_dir.mkdir()
        self.runner = Runner(config, work_dir)
        self.runner.call("before_train")

    def run(self, iters: int) -> None:
        for _ in range(iters):
            self.runner.run_iter()


def main() -> None:
    """Print the median milliseconds of both sides and the median of the per-round ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--iters", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    LOGGER.disabled = True
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder)
        write_photos(photos)
        srtoolbox(["convert_lmdb", str(photos / "train"), "--scale", "3", "-o", str(photos / "train_lmdb")])
        overrides = [
            f"photos={photos}",
            "max_iters=1000000000",
            "data.val.interval=1000000000",
            "hooks.logger.tensorboard=False",
        ]
        config = Config.fromfile("quickstart/espcn_x3_photos.py", overrides)
        sides = {"bare": BareLoop(config), "runner": RunnerLoop(config, photos / "run")}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(args.rounds + 1):
            for name in list(sides) if number % 2 else reversed(sides):
                start = time.perf_counter()
                sides[name].run(args.iters)
                if number:  # the first round warms up
                    times[name].append((time.perf_counter() - start) / args.iters * 1e3)
    ratios = [runner / bare for bare, runner in zip(times["bare"], times["runner"], strict=True)]
    for name, values in times.items():
        print(f"{name:7s} {statistics.median(values):7.3f} ms/iteration")
    quartiles = statistics.quantiles(ratios, n=4)
    print(f"runner / bare: median {statistics.median(ratios):.4f} (quartiles {quartiles[0]:.4f} - {quartiles[2]:.4f})")


if __name__ == "__main__":
    main()
