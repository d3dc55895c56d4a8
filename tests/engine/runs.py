"""Helpers of the engine's tests: start, stop and compare tiny runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch

from srtoolbox.config import Config
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.runner import Runner
from srtoolbox.engine.signals import StopRequested
from srtoolbox.engine.workdir import find_state
from srtoolbox.registry import HOOKS


@HOOKS.register
class KillHook(Hook):
    """Sends this process a signal before iteration `at` (2 or later), which is then the last."""

    phase = Phase.UPDATE

    def __init__(self, at: int, signum: int = signal.SIGTERM) -> None:
        self.at, self.signum = at, signum

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at - 1:
            os.kill(os.getpid(), self.signum)


def run(config: Path, work_dir: Path, *overrides: str, resume: bool = False) -> Runner:
    """One run of a config in this process; a run stopped by a signal returns like a finished one."""
    work_dir.mkdir(parents=True, exist_ok=True)
    state, path = find_state(work_dir, resume=resume)
    runner = Runner(Config.fromfile(str(config), overrides), work_dir, resume=state, resumed_from=path)
    with contextlib.suppress(StopRequested):
        runner.train()
    return runner


def final_state(work_dir: Path, iteration: int = 20) -> dict[str, bytes]:
    """Everything in a checkpoint as bytes, by path; but for the config, which names the hook that stopped the run."""
    state = torch.load(work_dir / f"checkpoints/iter_{iteration:06d}.pth", weights_only=True)
    state.pop("config")
    return flatten(state)


def flatten(value: Any, prefix: str = "") -> dict[str, bytes]:
    """Nested dicts and lists as one dict of bytes: exact, -0.0 and NaN payloads too."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple) and not all(isinstance(item, int) for item in value):
        items = enumerate(value)
    elif isinstance(value, torch.Tensor):
        return {prefix: str(value.dtype).encode() + value.contiguous().numpy().tobytes()}
    else:
        return {prefix: repr(value).encode()}
    return {path: item for key, part in items for path, item in flatten(part, f"{prefix}/{key}").items()}


def records(work_dir: Path) -> list[dict[str, Any]]:
    """The log of a run without what depends on the clock."""
    lines = [json.loads(line) for line in (work_dir / "scores.jsonl").read_text().splitlines()]
    for line in lines:
        for key in ("time", "data_time", "eta"):
            line.pop(key, None)
        line["scores"] = {key: value for key, value in line.get("scores", {}).items() if not key.endswith("seconds")}
    return lines
