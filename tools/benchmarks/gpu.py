"""Training and upscaling on a GPU: the toolbox against the same written by hand, in one process.

Training (batch 16, GT 128, x4, L1, fused Adam, EMA, batches from a raw LMDB): by hand operator by operator, in float32
and in bfloat16 with channels_last; the toolbox operator by operator (runtime.graph=False), with the step as one graph,
and with that and compilation. ESRGAN: RRDBNet, VGG discriminator, perceptual loss of a random VGG19. Ratios are against
the loop by hand in bfloat16, medians of rounds in which the sides take turns. "idle" is the share of an iteration in
which no kernel runs, "100th" the time from the start of a run to the end of its 100th iteration.

Upscaling: a 960 x 540 frame to 4K, uint8 in, uint8 out: `Upscaler` against upload, network, rounding and download by
hand. A side that cannot run here says why in its row. Everything takes less than six minutes; what does not fit into
--seconds is left out and named.

    python tools/benchmarks/gpu.py [--json FILE] [--networks ESPCN MSRResNet] [--skip-upscaling]
    python tools/benchmarks/gpu.py --device cpu --quick            # tiny: only to see that it runs
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity

from srtoolbox.cli import main as srtoolbox
from srtoolbox.compat.pytorch import foreach_lerp_
from srtoolbox.config import resolve_config
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.engine.device import process_restored, to_device
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.run import Run
from srtoolbox.image import batch_to_float, write_image
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.logger import LOGGER
from srtoolbox.registry import DATASETS, LOSSES, NETWORKS

SCALE = 4
BASE = "by hand bf16 channels_last"
Row = dict[str, Any]


class Size(NamedTuple):
    """How much is done."""

    batch: int
    gt: int
    frame: tuple[int, int]
    rounds: int
    start: int  # iterations of the start that is timed
    iters: Mapping[str, int]  # of a round


FULL = Size(16, 128, (540, 960), 3, 100, {"ESPCN": 200, "MSRResNet": 50, "RRDBNet": 8, "ESRGAN": 5})
QUICK = Size(2, 32, (36, 64), 1, 2, dict.fromkeys(FULL.iters, 1))
SMALL = {
    "ESPCN": {"channels": [4, 4]},
    "MSRResNet": {"num_features": 4, "num_blocks": 1},
    "RRDBNet": {"num_features": 4, "growth_channels": 4, "num_blocks": 1},
    "SRVGGNetCompact": {"num_features": 4, "num_blocks": 1},
}


class Deadline:
    """The time that is left."""

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self._end


class Setting(NamedTuple):
    """Where and how much, for all parts."""

    device: torch.device
    size: Size
    is_quick: bool
    folder: Path
    deadline: Deadline

    def network(self, name: str) -> dict[str, Any]:
        """Return the config of a network."""
        colour = {"colour": "rgb"} if name == "ESPCN" else {}
        return {"type": name, "scale": SCALE, **colour, **(SMALL[name] if self.is_quick else {})}

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


# ---- training


def config_of(name: str, setting: Setting) -> dict[str, Any]:
    """Return the config of a training; without hooks but EMA and log."""
    folder, size = setting.folder, setting.size
    adam = {"optimizer": {"type": "Adam", "lr": 1e-4}}
    flips = [{"type": "RandomHorizontalFlip"}, {"type": "RandomTranspose"}]
    dataset = {"type": "PairedDataset", "gt": f"{folder}/gt.lmdb", "lq": f"{folder}/lq.lmdb", "scale": SCALE}
    dataset |= {"gt_size": size.gt, "transforms": flips}
    model: dict[str, Any] = {"type": "Restorer", "losses": {"pixel": {"type": "L1Loss"}}}
    model["generator"] = setting.network("RRDBNet" if name == "ESRGAN" else name)
    optim = {"generator": adam}
    if name == "ESRGAN":
        small = {"channels": [4, 4, 4, 4], "fc": [4]} if setting.is_quick else {}
        layer = {"relu1_1": 1.0} if setting.is_quick else {"conv5_4": 1.0}
        backbone = "vgg11" if setting.is_quick else "vgg19"
        perceptual = {"type": "PerceptualLoss", "layers": layer, "backbone": backbone, "weights": "random"}
        model |= {"type": "GANRestorer", "gan_loss": {"type": "RelativisticGANLoss", "weight": 5e-3}}
        model["discriminator"] = {"type": "VGGDiscriminator", "input_size": size.gt, **small}
        model["losses"]["perceptual"] = perceptual
        optim["discriminator"] = adam
    hooks = {"ema": {"type": "EMAHook"}, "logger": {"type": "LoggerHook", "interval": 100, "tensorboard": False}}
    hooks |= dict.fromkeys(("checkpoint", "evaluate", "scheduler"))
    data = {"train": {"dataset": dataset, "batch_size": size.batch}}
    return {"model": model, "optim": optim, "data": data, "hooks": hooks, "max_iters": 10**9, "scale": SCALE}


class Side(Protocol):
    """A way to train."""

    def run(self, iters: int) -> None:
        """Train some iterations; need not wait for the device."""

    def close(self) -> None:
        """End what runs beside the loop."""


class ByHand:
    """The loop that one writes by hand, operator by operator."""

    def __init__(self, config: Mapping[str, Any], device: torch.device, *, is_fast: bool) -> None:
        model, train = config["model"], config["data"]["train"]
        layout = torch.channels_last if is_fast else torch.contiguous_format
        self.device, self.is_fast = device, is_fast
        names = [name for name in ("generator", "discriminator") if name in model]
        self.networks = [NETWORKS.build(model[name]).to(device, memory_format=layout) for name in names]
        self.optimizers = [torch.optim.Adam(each.parameters(), lr=1e-4, fused=True) for each in self.networks]
        self.average = copy.deepcopy(self.networks[0]).requires_grad_(False)
        self.losses = [LOSSES.build(cfg).to(device) for cfg in model["losses"].values()]
        self.gan = LOSSES.build(model["gan_loss"]).to(device) if "gan_loss" in model else None
        self.batches = build_train_loader(DATASETS.build(train["dataset"]), train["batch_size"])
        self.total = torch.zeros((), device=device)

    def run(self, iters: int) -> None:
        for _ in range(iters):
            batch = next(self.batches)
            if self.device.type == "cuda":
                batch = {key: batch[key].pin_memory() for key in ("lq", "gt")}
            batch = to_device(batch, self.device)
            self.step(batch_to_float(batch["lq"]), batch_to_float(batch["gt"]))

    def close(self) -> None:
        self.batches.close()

    def step(self, lq: Tensor, gt: Tensor) -> None:
        generator, *judges = self.networks
        with self.autocast():
            sr = generator(lq)
        sr = sr.float()
        loss = sum((loss(sr, gt) for loss in self.losses), start=torch.zeros((), device=self.device))
        for judge in judges:
            judge.requires_grad_(requires_grad=False)
            with self.autocast():
                loss = loss + self.gan.generator(judge(gt), judge(sr))  # type: ignore[union-attr]
            judge.requires_grad_(requires_grad=True)
        self.update(loss, self.optimizers[0])
        for judge in judges:
            with self.autocast():
                real, fake = judge(gt), judge(sr.detach())
            self.update(self.gan.discriminator(real, fake), self.optimizers[1])  # type: ignore[union-attr]
        with torch.no_grad():
            foreach_lerp_(list(self.average.parameters()), list(generator.parameters()), 0.001)
            self.total += loss.detach()

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_fast)

    def update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


class Toolbox:
    """The loop of the toolbox."""

    def __init__(self, config: Mapping[str, Any], device: torch.device, work_dir: Path, **runtime: object) -> None:
        runtime = {"device": str(device), "amp": "bf16", "channels_last": True, "compile": False, **runtime}
        self._run = Run(resolve_config({**config, "runtime": runtime}), work_dir)
        self._iterations = iterations(self._run)

    def run(self, iters: int) -> None:
        for _ in range(iters):
            next(self._iterations)

    def close(self) -> None:
        self._run.close()


def sides_of(name: str, setting: Setting) -> dict[str, Callable[[], Side] | str]:
    """Return the ways to train a network, or why one is not possible here."""
    config, device = config_of(name, setting), setting.device

    def toolbox(**runtime: object) -> Callable[[], Side]:
        return lambda: Toolbox(config, device, Path(tempfile.mkdtemp(dir=setting.folder)), **runtime)

    missing = "" if device.type == "cuda" else "graphs are of CUDA devices"
    return {
        "by hand fp32": lambda: ByHand(config, device, is_fast=False),
        BASE: lambda: ByHand(config, device, is_fast=True),
        "toolbox, graph=False": toolbox(graph=False),
        "toolbox, graph": missing or toolbox(graph="auto"),
        "toolbox, graph and compile": missing or toolbox(graph="auto", compile="blocks"),
    }


def train(name: str, setting: Setting) -> Iterator[Row]:
    """Yield a row for each way to train a network."""
    size, sides, rows = setting.size, dict[str, Side](), dict[str, Row]()
    for side, build in sides_of(name, setting).items():
        rows[side] = {"network": name, "side": side}
        if isinstance(build, str) or setting.deadline.is_over:
            rows[side]["missing"] = build if isinstance(build, str) else "the time is over"
            continue
        start = time.perf_counter()
        try:
            sides[side] = build()
            sides[side].run(size.start)
            setting.wait()
        except Exception as error:  # whatever a device may refuse: the others still count
            sides.pop(side, None)
            rows[side]["missing"] = " ".join(f"{type(error).__name__}: {error}".split())[:150]
            continue
        rows[side]["100th"] = time.perf_counter() - start
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(size.rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            times[side].append(_seconds(lambda side=side: sides[side].run(size.iters[name]), setting))  # type: ignore[misc]
    for side, values in times.items():
        rows[side]["ms"] = statistics.median(values) / size.iters[name] * 1e3
        if BASE in times:
            rows[side]["ratio"] = statistics.median(a / b for a, b in zip(times[BASE], values, strict=True))
        busy = _busy(sides[side], setting)
        if busy is not None:
            rows[side]["busy"], rows[side]["idle"] = busy, max(0.0, 1 - busy / rows[side]["ms"])
    for side in sides.values():
        side.close()
    yield from rows.values()


def _seconds(work: Callable[[], object], setting: Setting) -> float:
    setting.wait()
    start = time.perf_counter()
    work()
    setting.wait()
    return time.perf_counter() - start


def _busy(side: Side, setting: Setting, iters: int = 5) -> float | None:
    """Return the ms of an iteration in which kernels run; None on the CPU."""
    if setting.device.type != "cuda":
        return None
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as profiler:
        side.run(iters)
        setting.wait()
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e3 / iters


# ---- upscaling


@torch.inference_mode()
def upscale(name: str, setting: Setting) -> Iterator[Row]:
    """Yield a row for each precision: the frame by hand, and by `Upscaler`."""
    torch.manual_seed(0)
    network: nn.Module = NETWORKS.build(setting.network(name)).eval().to(setting.device)
    frame = np.random.default_rng(0).integers(0, 256, (*setting.size.frame, 3), np.uint8)
    dtypes = ["fp32", "fp16"] if setting.device.type == "cuda" else ["fp32"]
    for dtype in dtypes:
        row: Row = {"network": name, "side": dtype}
        if setting.deadline.is_over:
            yield {**row, "missing": "the time is over"}
            continue
        sides = {"by hand": lambda dtype=dtype: by_hand(network, frame, setting.device, dtype)}
        upscaler = Upscaler(network, device=setting.device, dtype=dtype)
        sides["toolbox"] = lambda upscaler=upscaler: upscaler(frame)
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(1 + (1 if setting.is_quick else 15)):
            for side, work in sides.items():
                seconds = _seconds(work, setting)
                if number:
                    times[side].append(seconds)
        for side, work in sides.items():
            row[f"{side} ms"] = statistics.median(times[side]) * 1e3
            if setting.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(setting.device)
                work()
                row[f"{side} MB"] = torch.cuda.max_memory_allocated(setting.device) / 1e6
        row["ratio"] = statistics.median(a / b for a, b in zip(times["toolbox"], times["by hand"], strict=True))
        yield row


def by_hand(network: nn.Module, frame: np.ndarray, device: torch.device, dtype: str) -> np.ndarray:
    """Upload, network, round on the device, download."""
    lq = batch_to_float(torch.from_numpy(frame)[None].to(device))
    with torch.autocast(device.type, dtype=torch.float16, enabled=dtype == "fp16"):
        sr = network(lq)
    return sr.float().mul_(255).round_().clamp_(0, 255).to(torch.uint8)[0].permute(1, 2, 0).cpu().numpy()


# ---- all


def print_table(title: str, columns: Mapping[str, str], rows: list[Row]) -> None:
    """Print rows as a Markdown table; `columns` holds the format of each."""
    print(f"\n## {title}\n| network | side | {' | '.join(columns)} |\n|---|---|{'--:|' * len(columns)}")
    for row in rows:
        cells = [format(row[name], form) if name in row else "" for name, form in columns.items()]
        print(f"| {row['network']} | {row['side']} | {row.get('missing') or ' | '.join(cells)} |")


def write_data(folder: Path, count: int, side: int) -> None:
    """Write raw stores of noise: nothing is decoded, so that what is in the images does not matter."""
    rng = np.random.default_rng(0)
    for number in range(count):
        write_image(folder / "images" / f"{number:03d}.png", rng.integers(0, 256, (side, side, 3), np.uint8))
    with contextlib.redirect_stdout(io.StringIO()):
        srtoolbox(["convert_lmdb", str(folder / "images"), "--scale", str(SCALE), "-o", str(folder / "lmdb")])


def main() -> None:
    """Measure all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny networks and sizes")
    parser.add_argument("--networks", nargs="*", default=list(FULL.iters), choices=list(FULL.iters))
    parser.add_argument("--skip-upscaling", action="store_true")
    parser.add_argument("--seconds", type=float, default=330, help="nothing new begins after that (default: 330)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    LOGGER.setLevel(logging.ERROR)
    torch.backends.cudnn.benchmark = True  # as runs have it
    device, size = torch.device(args.device), QUICK if args.quick else FULL
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    machine = f"{machine}, PyTorch {torch.__version__}"
    print(machine)
    rows: dict[str, list[Row]] = {"training": [], "upscaling": []}
    with tempfile.TemporaryDirectory() as name:
        write_data(Path(name), 4 if args.quick else 64, 64 if args.quick else 512)
        setting = Setting(device, size, args.quick, Path(name) / "lmdb", Deadline(args.seconds))
        frames = [] if args.skip_upscaling else ["ESPCN", "SRVGGNetCompact", "MSRResNet", "RRDBNet"]
        for network in frames:  # first: they are short
            rows["upscaling"] += upscale(network, setting)
        for network in args.networks:
            with process_restored():
                rows["training"] += train(network, setting)
    columns = {"ms": ".2f", "ratio": ".2f", "busy": ".2f", "idle": ".0%", "100th": ".1f"}
    print_table(f"Training, batch {size.batch}, GT {size.gt}, ms per iteration", columns, rows["training"])
    columns = {"by hand ms": ".1f", "toolbox ms": ".1f", "ratio": ".2f", "by hand MB": ".0f", "toolbox MB": ".0f"}
    print_table("Upscaling a frame of {1} x {0}".format(*size.frame), columns, rows["upscaling"])
    if args.json:
        args.json.write_text(json.dumps({"machine": machine, **rows}, indent=1))


if __name__ == "__main__":
    main()
