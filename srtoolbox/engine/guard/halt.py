"""When steps are left out again and again: halt, keep all that is needed to look into it, and replay it."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.engine.device import to_device
from srtoolbox.engine.hooks import Phase
from srtoolbox.engine.random_state import random_state, set_random_state
from srtoolbox.engine.run_state import run_state
from srtoolbox.errors import RunError, WriteError
from srtoolbox.image import write_image
from srtoolbox.io.files import write_json, write_text
from srtoolbox.logger import LOGGER
from srtoolbox.optim.wrapper import learning_rates
from srtoolbox.text import counted
from srtoolbox.weights.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from srtoolbox.engine.runner import Runner

MAX_SKIPPED = 10
"""Steps left out in a row that end a run, where the config says nothing (`runtime.max_skipped`)."""


class SkippedStepsError(RunError):
    """The run was halted. `draws`: samples drawn so far, so that a run that goes back need not meet them again."""

    def __init__(self, message: str, draws: int) -> None:
        self.draws = draws
        super().__init__(message)


def check_steps(runner: Runner) -> None:
    """Halt where a network's steps were left out too often in a row, and are not because fp16's scale is yet too high.

    At the end of the run, when no step can show whether the weights are sound, the next one is tried.

    Raises:
        SkippedStepsError: with the folder of the dump and the command that replays it.
    """
    limit = runner.runtime.get("max_skipped", MAX_SKIPPED)
    last = runner.iter == runner.max_iters
    for name, optim in runner.optims.items():
        if last:
            optim.skipped_steps.settle()
        too_many = optim.skipped_steps.in_a_row >= limit and not optim.is_recovering
        if too_many or (last and optim.skipped_steps.in_a_row and not _is_sound(runner, name)):
            halt(runner, name)


def _is_sound(runner: Runner, name: str) -> bool:
    """Whether a network's next step would succeed, or would once fp16's scale is low enough. Changes nothing.

    Every rank must call it.
    """
    buffers = [buffer for network in runner.networks.values() for buffer in network.buffers()]
    before, values = random_state(runner.device), [buffer.clone() for buffer in buffers]
    for optim in runner.optims.values():
        optim.is_probing = True
    found = probe(runner, runner.draws, runner.iter)
    for optim in runner.optims.values():
        optim.is_probing = False
    for buffer, value in zip(buffers, values, strict=True):
        buffer.copy_(value)
    set_random_state(before, runner.device)
    terms = [value for part in found["rank"]["terms"] for value in part.values()]
    norms = [] if runner.optims[name].is_recovering else found["gradient_norms"][name].values()
    return all(dist.all_gather_object(all(map(math.isfinite, [*terms, *norms]))))


def halt(runner: Runner, name: str) -> None:
    """Write the dump and end the run. Every rank must call it.

    The dump `faults/iter_000123/` holds `state.pth` (a checkpoint), `config.py`, `report.json` and the crops of the
    batch. The last batches are tried again, newest first, until one shows the fault: that is the one reported.

    Raises:
        SkippedStepsError: always.
    """
    skipped = runner.optims[name].skipped_steps.in_a_row
    folder = runner.work_dir / "faults" / f"iter_{runner.iter:06d}"
    state = run_state(runner)
    for optim in runner.optims.values():
        optim.is_probing = True
    per_iteration = runner.config["data"]["train"]["batch_size"] * runner.world * runner.accumulation
    tries = []
    for back in range(1, min(skipped, runner.iter) + 1):
        set_random_state(state["rng"][dist.rank()], runner.device)
        draws, iteration = runner.draws - back * per_iteration, runner.iter - back
        tries.append({"iteration": iteration, "draws": draws, **probe(runner, draws, iteration)})
        tries[-1]["ranks"] = dist.all_gather_object(tries[-1].pop("rank"))
        if not all(rank["finite"] for rank in tries[-1]["ranks"]):
            break
    found = tries[-1]
    if dist.is_main():
        try:
            _write_dump(runner, folder, state, {"network": name, "skipped_in_a_row": skipped, **found})
        except WriteError as error:  # the fault that brought us here is the one to tell
            LOGGER.error("the dump of this fault is incomplete: %s", error)
    dist.barrier()
    passing = "" if any(not part["finite"] for part in found["ranks"]) else " (those batches tried again are fine)"
    steps = counted(skipped, f"step of {name} was", f"steps of {name} were")
    raise SkippedStepsError(
        f"iteration {runner.iter}: the last {steps} left out, since loss or gradients are no "
        f"longer finite{passing}. {folder} holds the state, the batch and a report; look into it with\n"
        f"  srtoolbox replay {folder}\n"
        f"Lower the learning rate, clip the gradients (optim.{name}.clip) or train without amp; earlier checkpoints "
        f"are intact",
        runner.draws,
    )


def _write_dump(runner: Runner, folder: Path, state: dict[str, Any], found: dict[str, Any]) -> None:
    save_checkpoint(folder / "state.pth", state)
    for rank, part in enumerate(found["ranks"]):
        _write_crops(folder, rank, part.pop("pictures"))
    write_text(folder / "config.py", runner.config.dump())
    write_json(folder / "report.json", {"world": runner.world, **found})


def out_of_memory(runner: Runner, *, stepping: bool) -> str:
    """After the device's memory ran out: save the last whole iteration if that can be done, and say what to do.

    Args:
        stepping: whether it was in a training step, not after one (in an evaluation).
    """
    half = stepping and any(optim.nonfinite_flag is not None for optim in runner.optims.values())
    for optim in runner.optims.values():
        optim.optimizer.zero_grad(set_to_none=True)
    if runner.device.type == "cuda":
        torch.cuda.empty_cache()
    if runner.world > 1 or half or runner.iter == 0:  # others are in a collective; one network is a step ahead; nothing
        saved = "Earlier checkpoints are intact; --resume continues from the newest"
    else:
        runner.stop_signal = signal.SIGTERM  # what makes the hooks save now
        try:
            runner.call("after_iter", phases=(Phase.SAVE,))
            saved = f"The state after iteration {runner.iter} is saved; --resume continues"
        except WriteError as error:
            saved = (
                f"The state after iteration {runner.iter} could not be saved ({error}); --resume continues before it"
            )
    size, parts = runner.config["data"]["train"]["batch_size"], runner.accumulation
    advice = (
        f"Try data.train.batch_size={max(size // 2, 1)} accumulate={2 * parts} (the same batch in smaller parts), a "
        f"smaller data.train.dataset.gt_size, or runtime.amp=bf16"
    )
    where = "a training step" if stepping else "what follows it (an evaluation, most likely)"
    return f"iteration {runner.iter + stepping}: {runner.device} is out of memory in {where}. {saved}. {advice}"


def probe(
    runner: Runner, draws: int, iteration: int, *, rank: int | None = None, world: int | None = None
) -> dict[str, Any]:
    """One training step that changes no weights, from the batch that begins at `draws`.

    The random state it begins with is the caller's.

    Args:
        runner: its optimizers are probing.
        draws, iteration: samples drawn and iterations finished before that step.
        rank, world: whose part of the batch (default: this process's).
    """
    train = runner.config["data"]["train"]
    batches = build_train_loader(
        runner.dataset,
        train["batch_size"],
        seed=runner.seed,
        start=draws,
        rank=dist.rank() if rank is None else rank,
        world=runner.world if world is None else world,
    )
    runner.model.iteration = iteration
    terms: list[dict[str, Tensor]] = []
    pictures: list[tuple[str, Any, Any]] = []
    for part in range(runner.accumulation):
        batch = next(batches)
        pictures += [(key, batch["lq"][i].numpy(), batch["gt"][i].numpy()) for i, key in enumerate(batch["key"])]
        for optim in runner.optims.values():
            optim.accumulate(part, runner.accumulation)
        terms.append(runner.model.train_step(to_device(batch, runner.device), runner.optims))
    norms = {name: _gradient_norms(runner, name) for name in runner.optims}
    values = [{name: float(value) for name, value in part.items()} for part in terms]
    numbers = [value for part in (*values, *norms.values()) for value in part.values()]
    return {
        "lr": learning_rates(runner.optims),
        "scale": {name: optim.scaler.get_scale() for name, optim in runner.optims.items()},
        "gradient_norms": norms,
        "rank": {
            "finite": all(map(math.isfinite, numbers)),
            "terms": values,
            "keys": [key for key, _, _ in pictures],
            "pictures": pictures,
        },
    }


def replay(runner: Runner, state: dict[str, Any], report: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The step a dump tells of, in one process: (rank whose batch it was, what `probe` finds).

    Args:
        runner: built from `state`, the dump's `state.pth`.
        report: the dump's `report.json`.
    """
    rank = next((number for number, part in enumerate(report["ranks"]) if not part["finite"]), 0)
    for optim in runner.optims.values():
        optim.is_probing = True
    runner.set_training_mode()
    before = random_state(runner.device)
    set_random_state(state["rng"][rank], runner.device)
    found = probe(runner, report["draws"], report["iteration"], rank=rank, world=report["world"])
    set_random_state(before, runner.device)
    return rank, found


def _gradient_norms(runner: Runner, name: str) -> dict[str, float]:
    parameters = runner.networks[name].named_parameters()
    return {key: float(value.grad.norm()) for key, value in parameters if value.grad is not None}


def _write_crops(folder: Path, rank: int, pictures: list[tuple[str, Any, Any]]) -> None:
    for number, (_, lq, gt) in enumerate(pictures):
        write_image(folder / f"rank{rank}_{number:02d}_lq.png", lq)
        write_image(folder / f"rank{rank}_{number:02d}_gt.png", gt)
