"""The halt of a run whose steps are skipped again and again, with a dump to replay the fault."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from srtoolbox import dist
from srtoolbox.config import Config
from srtoolbox.data.loading.loader import TrainLoader
from srtoolbox.engine.device import random_state, set_random_state, to_device
from srtoolbox.engine.run import Run
from srtoolbox.engine.stop import Stop
from srtoolbox.errors import RunError, WriteError
from srtoolbox.image import to_image, write_image
from srtoolbox.interfaces import BEGUN, IMAGE_KEYS
from srtoolbox.io.files import read_json, write_json, write_text
from srtoolbox.logger import LOGGER
from srtoolbox.optim.wrapper import learning_rates
from srtoolbox.plugins import load_plugins
from srtoolbox.text import counted, reason_of
from srtoolbox.weights.checkpoint import load_checkpoint, save_checkpoint


def check_steps(run: Run) -> None:
    """Warn of a step left out; halt after too many in a row, but not while fp16's scale falls.

    At the end of the run, when no step can show that the weights are sound, the next one is tried.
    """
    limit = run.runtime.get("max_skipped", 10)
    is_last = run.iter == run.max_iters
    for name, optim in run.optims.items():
        steps = optim.skipped_steps
        if is_last:
            steps.settle()
        is_beyond = steps.in_a_row >= limit and not optim.is_recovering
        if is_beyond or (is_last and steps.in_a_row and not _is_sound(run, name)):
            halt(run, name)
        if steps.in_a_row == 1:
            LOGGER.warning(
                "iteration %d: a step of %s left out, its loss or gradients are not finite (%d so far); "
                "saving waits for a step that succeeds", run.iter, name, steps.total
            )  # fmt: skip


def _is_sound(run: Run, name: str) -> bool:
    """True if a network's next step would succeed, or would once fp16's scale is low enough.

    Every rank must call it. It changes nothing.
    """
    buffers = [buffer for network in run.networks.values() for buffer in network.buffers()]
    values = [buffer.clone() for buffer in buffers]
    result = _probe(run, run.draws, run.iter)
    for buffer, value in zip(buffers, values, strict=True):
        buffer.copy_(value)
    terms = [value for part in result["rank"]["terms"] for value in part.values()]
    norms = [] if run.optims[name].is_recovering else result["gradient_norms"][name].values()
    return all(dist.all_gather_object(all(map(math.isfinite, [*terms, *norms]))))


def halt(run: Run, name: str) -> None:
    """Write the dump and end the run by a `Stop`. Every rank must call it.

    The dump `faults/iter_000123/` holds `state.pth` (a checkpoint), `config.py`, `report.json` and
    the crops of the batch. The last batches are tried again, newest first, until one shows the
    fault: that is the one reported.
    """
    skipped = run.optims[name].skipped_steps.in_a_row
    folder = run.work_dir / "faults" / f"iter_{run.iter:06d}"
    state = run.state_dict()
    fault = _find_fault(run, state, skipped)
    if dist.is_main():
        try:
            save_checkpoint(folder / "state.pth", state)
            for rank, part in enumerate(fault["ranks"]):
                for number, (_, lq, gt) in enumerate(part.pop("images")):
                    write_image(folder / f"rank{rank}_{number:02d}_lq.png", lq)
                    write_image(folder / f"rank{rank}_{number:02d}_gt.png", gt)
            write_text(folder / "config.py", run.config.dump())
            facts = {"world": run.world, "network": name, "skipped_in_a_row": skipped}
            write_json(folder / "report.json", {**facts, **fault})
        except WriteError as error:  # users must still hear of the fault itself
            LOGGER.error("the dump of this fault is incomplete: %s", error)
    dist.barrier()
    is_passing = all(part["finite"] for part in fault["ranks"])
    passing = " (those batches tried again are fine)" if is_passing else ""
    steps = counted(skipped, f"step of {name} was", f"steps of {name} were")
    raise Stop(
        f"iteration {run.iter}: the last {steps} left out, since loss or gradients are no "
        f"longer finite{passing}. Lower the learning rate, clip the gradients (optim.{name}.clip) or "
        f"train without amp; earlier checkpoints are intact. {folder} holds the state, the batch and a "
        f"report; look into it with\n  srtoolbox replay {folder}",
        may_go_back=True,
    )


def _find_fault(run: Run, state: Mapping[str, Any], skipped: int) -> dict[str, Any]:
    """Return the results of the newest batch that shows the fault, or of the oldest skipped one."""
    per_iteration = run.config["data"]["train"]["batch_size"] * run.world * run.accumulation
    result: dict[str, Any] = {}
    for back in range(1, min(skipped, run.iter) + 1):
        draws, iteration = run.draws - back * per_iteration, run.iter - back
        step = _probe(run, draws, iteration, start=state["rng"][dist.rank()])
        result = {"iteration": iteration, "draws": draws, **step}
        result["ranks"] = dist.all_gather_object(result.pop("rank"))
        if not all(rank["finite"] for rank in result["ranks"]):
            break
    return result


@contextlib.contextmanager
def _probing(run: Run, start: dict[str, Any] | None) -> Iterator[None]:
    """Let training steps compute gradients and change no weights, from a random state if given."""
    before = random_state(run.device)
    set_random_state(start or before, run.device)
    for optim in run.optims.values():
        optim.is_probing = True
    try:
        yield
    finally:
        for optim in run.optims.values():
            optim.is_probing = False
        set_random_state(before, run.device)


def _probe(
    run: Run,
    draws: int,
    iteration: int,
    *,
    start: dict[str, Any] | None = None,
    place: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Take one training step that changes no weights, and leave the random state as it is.

    Args:
        draws, iteration: samples drawn and iterations finished before that step.
        start: the random state that the step begins with (default: the present one).
        place: rank and number of ranks whose part of the batch it is (default: of this process).
    """
    run.average_gradients()
    rank, world = place or (dist.rank(), run.world)
    sampler = run.sampler(draws, rank, world)
    batches = TrainLoader(run.dataset, sampler, 0, lambda: False, run.begin(world))
    run.model.iteration = iteration
    terms: list[dict[str, float]] = []
    images: list[tuple[str, Any, Any]] = []
    with _probing(run, start):
        for part in range(run.accumulation):
            batch = next(batches)
            finished = run.finish(to_device(batch, run.device))
            images += zip(batch["key"], *_pixels(batch, finished), strict=True)
            for optim in run.optims.values():
                optim.accumulate(part, run.accumulation)
            step = run.model.train_step(finished, run.optims)
            terms.append({name: float(value) for name, value in step.items()})
    norms = {name: _gradient_norms(run.networks[name]) for name in run.optims}
    numbers = [value for part in (*terms, *norms.values()) for value in part.values()]
    finite, keys = all(map(math.isfinite, numbers)), [key for key, _, _ in images]
    return {
        "lr": learning_rates(run.optims),
        "scale": {name: optim.scaler.get_scale() for name, optim in run.optims.items()},
        "gradient_norms": norms,
        "rank": {"finite": finite, "terms": terms, "keys": keys, "images": images},
    }


def _pixels(batch: Mapping[str, Any], finished: Mapping[str, Any]) -> list[Sequence[np.ndarray]]:
    """Return LQ and GT (h, w, C) of a batch, as read or as the degradations have left them."""
    if BEGUN not in batch:
        return [batch[name].numpy() for name in IMAGE_KEYS]
    return [[to_image(image) for image in finished[name]] for name in IMAGE_KEYS]


def replay_dump(
    dump: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    device: str | None = None,
    plugins: Sequence[str] = (),
) -> tuple[bool, list[str]]:
    """Repeat the step of a dump, the folder faults/iter_... of a run, in one process.

    Args:
        overrides: 'key.sub=value' texts for the dump's config.
        device: where it runs; None: as the config says.
        plugins: Python files with components.

    Returns:
        whether the fault is gone, and lines that tell of the step.

    Raises:
        RunError: no dump of a fault.
    """
    folder = Path(dump)
    try:
        report = read_json(folder / "report.json")
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no dump of a fault (report.json cannot be read: {reason_of(error)})") from error
    texts = [*overrides, *([f"runtime.device={device!r}"] if device else [])]
    config = Config.fromfile(folder / "config.py", texts)
    load_plugins(config, plugins)
    state = load_checkpoint(folder / "state.pth")
    run = Run(config, folder, resume=state, resumed_from=folder / "state.pth")
    rank = next((number for number, part in enumerate(report["ranks"]) if not part["finite"]), 0)
    run.set_training_mode()
    place, start = (rank, report["world"]), state["rng"][rank]
    result = _probe(run, report["draws"], report["iteration"], start=start, place=place)
    return result["rank"]["finite"], _lines(report, rank, result)


def _lines(report: Mapping[str, Any], rank: int, result: Mapping[str, Any]) -> list[str]:
    """Return loss terms and gradient norms, the worst first, and in words if the fault is there."""
    batch = result["rank"]
    skipped = counted(report["skipped_in_a_row"], "step")
    lines = [f"iteration {report['iteration']}, rank {rank} of {report['world']}, {skipped} left out in a row"]
    lines.append("batch: " + ", ".join(batch["keys"]))
    for terms in batch["terms"]:
        lines.append("terms: " + "  ".join(f"{name} {value:.6g}" for name, value in terms.items()))
    for network, norms in result["gradient_norms"].items():
        bad = [name for name, value in norms.items() if not math.isfinite(value)]
        largest = sorted(set(norms) - set(bad), key=norms.__getitem__, reverse=True)[:5]
        lines.append(f"{network}: gradients not finite in {len(bad)} of {len(norms)} parameters {' '.join(bad[:5])}")
        lines.append("  largest finite norms: " + "  ".join(f"{name} {norms[name]:.4g}" for name in largest))
    return [*lines, "all is finite: the fault is gone" if batch["finite"] else "the fault is there"]


def _gradient_norms(network: nn.Module) -> dict[str, float]:
    gradients = {name: value.grad for name, value in network.named_parameters()}
    return {name: float(value.norm()) for name, value in gradients.items() if value is not None}
