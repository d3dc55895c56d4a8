"""Lines that a run says of itself before it begins, and warnings: of a run that would save or score nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srtoolbox import dist
from srtoolbox.engine.hooks import Phase
from srtoolbox.logger import LOGGER
from srtoolbox.text import counted

if TYPE_CHECKING:
    from srtoolbox.engine.runner import Runner


def describe(runner: Runner) -> None:
    """Log what is about to run: the batch over all processes, images, epochs, networks, device and precision."""
    batch, world = runner.config["data"]["train"]["batch_size"], dist.world_size()
    parts = [f"{world} processes"] * (world > 1) + [f"{runner.accumulation} batches"] * (runner.accumulation > 1)
    LOGGER.info("work dir %s, device %s, seed %d", runner.work_dir, _device(runner), runner.seed)
    LOGGER.info(
        "batch %s = %s per iteration; %s from %d",
        " x ".join([f"{batch} per process", *parts]),
        counted(batch * world * runner.accumulation, "sample"),
        counted(runner.max_iters, "iteration"),
        runner.iter,
    )
    LOGGER.info("%s", _data(runner))
    for name, network in runner.networks.items():
        parameters = sum(parameter.numel() for parameter in network.parameters())
        LOGGER.info("%s: %s, %s", name, type(network).__name__, counted(parameters, "parameter"))
    for warning in _warnings(runner):
        LOGGER.warning("%s", warning)


def _device(runner: Runner) -> str:
    """The device, and of a CPU how many threads compute and who says so."""
    if runner.device.type != "cpu":
        return str(runner.device)
    threads = counted(torch.get_num_threads(), "thread")
    hint = ": a network this small is slower with more beside other work; runtime.threads=N takes N"
    return f"cpu ({threads}{hint if runner.default_threads else ''})"


def _data(runner: Runner) -> str:
    """Return how many images there are, how often each is drawn, and in which precision the networks compute."""
    images = len(runner.dataset)
    samples = runner.config["data"]["train"]["batch_size"] * runner.accumulation * dist.world_size()
    validation = ", ".join(f"{name} ({counted(len(dataset), 'image')})" for name, dataset in _sets(runner).items())
    amp = runner.runtime.get("amp")
    return (
        f"training on {counted(images, 'image')} for {runner.max_iters * samples / images:.4g} epochs, validation on "
        f"{validation or 'nothing'}, precision {f'{amp}, where it is safe, and float32' if amp else 'float32'}"
    )


def _sets(runner: Runner) -> dict[str, object]:
    """The validation sets that are evaluated."""
    hooks = runner.hooks.values()
    return {name: dataset for hook in hooks for name, dataset in getattr(hook, "datasets", {}).items()}


def _warnings(runner: Runner) -> list[str]:
    """Return a sentence for each thing that a run would leave undone."""
    warnings = []
    if not any(hook.phase is Phase.SAVE for hook in runner.hooks.values()):
        warnings.append("nothing of this run will be saved: hooks has no CheckpointHook")
    val = runner.config["data"].get("val") or {}
    if val.get("datasets") and not any(hasattr(hook, "datasets") for hook in runner.hooks.values()):
        warnings.append("data.val is never used: hooks has no EvaluateHook")
    if _sets(runner) and not val.get("metrics"):
        warnings.append("nothing is scored: data.val has sets and no metrics")
    return warnings
