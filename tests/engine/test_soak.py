"""A long run uses no more memory, files or threads than a short one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.registry import HOOKS
from tests.engine.runs import run

LENGTHS = [10_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
PAGE = os.sysconf("SC_PAGE_SIZE")


@HOOKS.register
class UsageHook(Hook):
    """Notes memory (bytes), open files and threads of this process every `interval` iterations."""

    phase = Phase.LOG

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.usage: list[tuple[int, int, int, int]] = []

    def after_iter(self, runner: Runner) -> None:
        if runner.iter % self.interval == 0:
            memory = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
            files, threads = len(os.listdir("/proc/self/fd")), [thread.name for thread in threading.enumerate()]
            saving = threads.count("save")  # a save at hand is no growth
            self.usage.append((runner.iter, memory, files - saving, len(threads) - saving))


@pytest.mark.slow
@pytest.mark.parametrize("iterations", LENGTHS)
def test_usage_does_not_grow(iterations: int, tiny_config: Path, tmp_path: Path) -> None:
    """With a save, an evaluation and log lines every few hundred iterations, TensorBoard's too."""
    settings = (f"hooks.usage={{'type': 'UsageHook', 'interval': {iterations // 100}}}", f"max_iters={iterations}")
    settings += ("hooks.checkpoint.interval=500", "hooks.checkpoint.keep_last=2", "data.val.interval=500")
    settings += ("hooks.logger.interval=100", "hooks.logger.tensorboard=True", "data.train.batch_size=1")
    usage = np.array(run(tiny_config, tmp_path, *settings).hooks["usage"].usage, float)[20:]  # once it is warm
    slope = np.polyfit(usage[:, 0], usage[:, 1], 1)[0] * 10_000 / 1e6
    print(f"{slope:.3f} MB in 10,000 iterations; files {set(usage[:, 2])}, threads {set(usage[:, 3])}")
    assert slope < (1 if iterations >= 100_000 else 5)  # a short run's line is a rough one
    assert np.ptp(usage[:, 2]) <= 2 and np.ptp(usage[:, 3]) == 0  # TensorBoard opens its file for each write
