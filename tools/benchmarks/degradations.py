"""Real-ESRGAN's degradations: ours against what is usual, in one process; on a GPU, against a training step.

A batch of 12 GT of 400 pixels becomes LQ, GT and sharpened GT of 256 pixels. What is usual is usual_degradations.py
beside this file: kernels and sharpening image by image, the steps batch by batch. Ours is the pipeline of
configs/realesrgan, once with a factor, a mode and a kind of noise of each image and once with share='batch'.

The sides take turns. As the work depends on what is drawn, a ratio is that of the means over all rounds, with its 90 %
interval by resampling rounds. "rest" is what belongs to no step: bytes to floats, crops, rounding. With one thread
times are the processor's, which other work on the machine changes little; with several they are the clock's.

On a GPU the other side is a training step of RRDBNet with 23 blocks on that batch: forward, L1, backward and a fused
Adam, in bfloat16; and no step of ours is told alone, as that would wait for the device after each.

    python tools/benchmarks/degradations.py [--rounds 30] [--threads 1] [--json FILE]
    python tools/benchmarks/degradations.py --device cuda
    python tools/benchmarks/degradations.py --quick           # tiny: only to see that it runs
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from usual_degradations import degrade, load

from srtoolbox.config import Config
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.engine.device import select_device
from srtoolbox.registry import NETWORKS, TRANSFORMS

ROOT = Path(__file__).parents[2]
STEPS = {
    "USMSharpening": "sharpen",
    "Blur": "blur",
    "SincFilter": "blur",
    "Resize": "resize",
    "GaussianNoise": "noise",
    "PoissonNoise": "noise",
    "DiffJPEG": "jpeg",
}
"""Which of the usual steps each of ours is."""
Times = dict[str, float]
Row = dict[str, Any]


class Setting(NamedTuple):
    """Where and how much."""

    device: torch.device
    batch: int
    side: int  # of GT as it is read
    crop: int  # of GT as it is trained with
    scale: int
    rounds: int
    blocks: int  # of the network


class Clock:
    """Milliseconds by name; waits for the device."""

    def __init__(self, setting: Setting) -> None:
        self.times: Times = defaultdict(float)
        self._device = setting.device
        is_alone = setting.device.type == "cpu" and torch.get_num_threads() == 1
        self._seconds = time.process_time if is_alone else time.perf_counter

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        self.times[name] += self._now() - start

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._seconds() * 1e3


# ---- the sides


def pipeline(setting: Setting, share: str | None) -> DegradationPipeline:
    """That of a config."""
    cfg = Config.fromfile(ROOT / "configs/realesrgan/realesrnet_x4_df2k_ost_1000k.py").model.preprocess
    return TRANSFORMS.build({**cfg, "gt_size": setting.crop, "share": share})


def ours(setting: Setting, gt: np.ndarray, share: str | None = None) -> Callable[[int], Times]:
    """A round of our pipeline on images (N, H, W, 3) uint8."""
    whole, images = pipeline(setting, share), torch.from_numpy(gt).to(setting.device)

    def run(number: int) -> Times:
        clock = Clock(setting)
        draws = [Draw(0, number * len(gt) + place, 0) for place in range(len(gt))]
        with clock("all"), timed_steps(clock) if setting.device.type == "cpu" else nullcontext():
            with clock("draw"):
                begun = whole.begin({"gt": images}, draws, len(gt))
            whole.finish(begun)
        return clock.times

    return run


@contextmanager
def timed_steps(clock: Clock) -> Iterator[None]:
    """Let the clock know of each step of ours."""
    with ExitStack() as stack:
        for kind, name in STEPS.items():
            step = TRANSFORMS.get(kind)
            stack.enter_context(patch.object(step, "apply", _timed(step.apply, name, clock)))
        yield


def _timed(apply: Callable[..., Images], name: str, clock: Clock) -> Callable[..., Images]:
    def run(step: BatchDegradation, images: Images, parameters: Parameters) -> Images:
        with clock(name):
            return apply(step, images, parameters)

    return run


def usual(setting: Setting, gt: np.ndarray) -> Callable[[int], Times]:
    """A round of the usual implementation."""

    def run(number: int) -> Times:
        clock = Clock(setting)
        with clock("all"):
            degrade([load(image, clock) for image in gt], setting.crop, setting.scale, clock)
        return clock.times

    return run


def training_step(setting: Setting) -> Callable[[int], Times]:
    """A training step of the network, its batch at hand."""
    network = NETWORKS.build({"type": "RRDBNet", "scale": setting.scale, "num_blocks": setting.blocks})
    network.to(setting.device, memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    shape = setting.batch, 3, setting.crop, setting.crop
    gt = torch.rand(shape, device=setting.device).to(memory_format=torch.channels_last)
    lq = F.avg_pool2d(gt, setting.scale)

    def run(number: int) -> Times:
        clock = Clock(setting)
        with clock("all"):
            adam.zero_grad(set_to_none=True)
            with torch.autocast(setting.device.type, torch.bfloat16):
                loss = F.l1_loss(network(lq).float(), gt)
            loss.backward()
            adam.step()
        return clock.times

    return run


# ---- the comparison


def measure(sides: Mapping[str, Callable[[int], Times]], rounds: int) -> dict[str, list[Times]]:
    """Times of each side, in turns, after two rounds that fill caches."""
    found: dict[str, list[Times]] = {name: [] for name in sides}
    for number in range(-2, rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            times = sides[name](number + 2)
            if number >= 0:
                found[name].append(times)
    return found


def rows_of(found: Mapping[str, list[Times]], against: str) -> list[Row]:
    """A row a side and step: mean milliseconds, and the ratio to the other side's with its 90 % interval."""
    picked = np.random.default_rng(0).integers(0, len(found[against]), (1000, len(found[against])))
    rows = []
    for side, rounds in found.items():
        for step in ("all", *sorted({name for times in rounds for name in times} - {"all"}), "rest"):
            theirs = np.array([_of_step(times, step) for times in found[against]])
            times = np.array([_of_step(each, step) for each in rounds])
            row = {"side": side, "step": step, "ms": float(times.mean())}
            if side != against and theirs.mean() > 0:
                low, high = np.quantile(times[picked].mean(1) / theirs[picked].mean(1), [0.05, 0.95])
                row |= {"ratio": float(times.mean() / theirs.mean()), "interval": [float(low), float(high)]}
            rows.append(row)
    return rows


def _of_step(times: Times, step: str) -> float:
    return 2 * times["all"] - sum(times.values()) if step == "rest" else times.get(step, 0.0)


def line(row: Row) -> str:
    """A row of the table."""
    cells = [row["side"], row["step"], f"{row['ms']:.1f}"]
    if "ratio" in row:
        cells.append(f"{row['ratio']:.2f} ({row['interval'][0]:.2f} - {row['interval'][1]:.2f})")
    return f"| {' | '.join(cells + [''] * (4 - len(cells)))} |"


def photographs(setting: Setting) -> np.ndarray:
    """Crops of real photographs, (N, side, side, 3) uint8."""
    sources, rng = (skimage.data.astronaut(), skimage.data.coffee()), np.random.default_rng(0)
    crops = []
    for number in range(setting.batch):
        image = sources[number % 2]
        top, left = (rng.integers(length - setting.side + 1) for length in image.shape[:2])
        crops.append(image[top : top + setting.side, left : left + setting.side])
    return np.stack(crops)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="2 images of 96 pixels, one round")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print the table."""
    args = parse()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.manual_seed(0)
    setting = Setting(select_device(args.device), 12, 400, 256, 4, args.rounds, 23)
    if args.quick:
        setting = setting._replace(batch=2, side=96, crop=64, rounds=1, blocks=1)
    gt = photographs(setting)
    sides = {"ours": ours(setting, gt), "ours, share='batch'": ours(setting, gt, "batch")}
    if setting.device.type == "cpu":
        against, sides["usual"] = "usual", usual(setting, gt)
    else:
        against, sides["training step"] = "training step", training_step(setting)
    rows = rows_of(measure(sides, setting.rounds), against)
    load_now = f"; load {os.getloadavg()[0]:.1f} of {os.cpu_count()}" if hasattr(os, "getloadavg") else ""
    print(f"{setting.device}, {args.threads} threads, torch {torch.__version__}{load_now}; {setting.batch} images,")
    print(f"GT {setting.side} to {setting.crop}, {setting.rounds} rounds\n")
    print(f"| side | step | ms | of {against} |\n|---|---|--:|--:|")
    for row in rows:
        print(line(row))
    if args.json:
        args.json.write_text(json.dumps({"setting": vars(args), "rows": rows}, default=str))


if __name__ == "__main__":
    main()
