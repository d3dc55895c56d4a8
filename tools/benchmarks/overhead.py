"""What the runner costs per iteration: ESPCN by config against a bare PyTorch loop, interleaved in one process.

All use the same network, batches (raw LMDB made on the spot), loss, fused Adam and cosine schedule. The bare loop makes
the luma of a batch in the usual two steps, the runner in one, which is faster: part of what is compared. The runner has
its usual hooks: logger every 200 iterations, checkpoint and evaluation set up, not due. A second bare loop shows the
error of the measurement.

    python tools/benchmarks/overhead.py [--rounds 300] [--iters 20]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from srtoolbox.apps.quickstart import write_photos
from srtoolbox.cli import main as srtoolbox
from srtoolbox.config import Config
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.run import Run
from srtoolbox.image import batch_to_float, rgb_to_y
from srtoolbox.logger import LOGGER
from srtoolbox.registry import DATASETS, NETWORKS


class BareLoop:
    """The loop one would write by hand."""

    def __init__(self, config: Config) -> None:
        train = config["data"]["train"]
        self.network = NETWORKS.build(config["model"]["generator"])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=config["max_iters"])
        self.batches = build_train_loader(DATASETS.build(train["dataset"]), train["batch_size"])

    def run(self, iters: int) -> None:
        for _ in range(iters):
            batch = next(self.batches)
            lq, gt = (rgb_to_y(batch_to_float(batch[key])) for key in ("lq", "gt"))
            loss = F.mse_loss(self.network(lq), gt)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()


class RunnerLoop:
    """The same through the toolbox."""

    def __init__(self, config: Config, work_dir: Path) -> None:
        work_dir.mkdir()
        self.iterations = iterations(Run(config, work_dir))

    def run(self, iters: int) -> None:
        for _ in range(iters):
            next(self.iterations)


def main() -> None:
    """Time the three sides and print them against the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--iters", type=int, default=20)
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
            "hooks.patches=None",
        ]
        config = Config.fromfile("quickstart/espcn_x3_photos.py", overrides)
        sides = {"bare": BareLoop(config), "bare again": BareLoop(config), "runner": RunnerLoop(config, photos / "run")}
        times = interleave(sides, args.rounds, args.iters)
    for name, values in times.items():
        ratios = [value / bare for bare, value in zip(times["bare"], values, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name:10s} {statistics.median(values):7.3f} ms/iteration; against bare {middle:.4f} of median "
            f"(quartiles {low:.4f} - {high:.4f}), {sum(values) / sum(times['bare']):.4f} in all"
        )


def interleave(sides: dict[str, BareLoop | RunnerLoop], rounds: int, iters: int) -> dict[str, list[float]]:
    """Milliseconds per iteration of every side in every round; short rounds in turning order see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for number in range(rounds + 5):
        for name in order:
            start = time.perf_counter()
            sides[name].run(iters)
            if number >= 5:  # the first ones warm up
                times[name].append((time.perf_counter() - start) / iters * 1e3)
        order = [*order[1:], order[0]] if number % 2 else order[::-1]
    return times


if __name__ == "__main__":
    main()
