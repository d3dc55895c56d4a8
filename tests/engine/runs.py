"""Helpers of the engine's tests: start, stop and compare tiny runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srtoolbox.config import Config
from srtoolbox.engine.evaluate import Evaluation
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.job.workdir import find_state
from srtoolbox.engine.loop import Runner, train
from srtoolbox.engine.stop import Stop
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


@HOOKS.register
class KillAtStart(Hook):
    """Sends this process a signal before the evaluation of a run's start."""

    phase = Phase.UPDATE

    def at_start(self, runner: Runner) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class Crash(Exception):  # noqa: N818 - what a bug in somebody's hook may raise
    """The exception of CrashHook."""


@HOOKS.register
class CrashHook(Hook):
    """Raises in the evaluation of iteration `at`, after the hooks named before it in the config."""

    def __init__(self, at: int) -> None:
        self.at = at

    def after_eval(self, runner: Runner, evaluation: Evaluation) -> None:
        if runner.iter == self.at:
            raise Crash


def build(config: Path, work_dir: Path, *overrides: str, resume: bool = False) -> Runner:
    """The runner of a config, not yet started."""
    work_dir.mkdir(parents=True, exist_ok=True)
    state, path = find_state(work_dir, resume=resume)
    return Runner(Config.fromfile(str(config), overrides), work_dir, resume=state, resumed_from=path)


def run(config: Path, work_dir: Path, *overrides: str, resume: bool = False) -> Runner:
    """One run of a config in this process; a run stopped by a signal or a crash returns like a finished one."""
    runner = build(config, work_dir, *overrides, resume=resume)
    try:
        with contextlib.suppress(Crash):
            train(runner)
    except Stop as stop:
        if not stop.signum:
            raise
    return runner


def listing(work_dir: Path, pattern: str = "iter_*") -> list[str]:
    """Names in the folder of checkpoints, sorted."""
    return sorted(path.name for path in (work_dir / "checkpoints").glob(pattern))


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def load(work_dir: Path, name: str) -> dict[str, Any]:
    """A checkpoint by its stem."""
    return torch.load(work_dir / "checkpoints" / f"{name}.pth", map_location="cpu", weights_only=True)


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Paths where two states differ, but for those of hooks that only the tests have."""
    keys = {key for key in expected.keys() | found.keys() if not key.startswith(("/hooks/kill", "/hooks/crash"))}
    return sorted(key for key in keys if expected.get(key) != found.get(key))


def final_state(work_dir: Path, iteration: int = 20) -> dict[str, bytes]:
    """Everything in a checkpoint as bytes, by path; but for the config, which names the hook that stopped the run."""
    state = torch.load(work_dir / f"checkpoints/iter_{iteration:06d}.pth", map_location="cpu", weights_only=True)
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


def events(work_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run, (step, value) by tag, without what depends on the clock."""
    accumulator = EventAccumulator(str(work_dir), size_guidance={"scalars": 0, "images": 0}).Reload()
    tags = [tag for tag in accumulator.Tags()["scalars"] if "seconds" not in tag]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}
