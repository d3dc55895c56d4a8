"""The log's first and last lines: what is about to run, and whether it made anything better."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from srtoolbox import dist
from srtoolbox.engine.hooks.checkpoint import best_path
from srtoolbox.engine.job.run_config import comparable_from
from srtoolbox.errors import DataError
from srtoolbox.image import batch_to_float, expand_gray
from srtoolbox.logger import LOGGER
from srtoolbox.plots.run_log import RunLog, read_run
from srtoolbox.registry import METRICS
from srtoolbox.resize import imresize
from srtoolbox.text import counted
from srtoolbox.weights.checkpoint import list_checkpoints

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

MARGIN, ADVERSARIAL_MARGIN = 0.5, 3.0
"""dB of PSNR that a network may lie below bicubic; under a discriminator it trades PSNR for texture."""
RISEN = 2.0
"""The last loss over the first one from which on a run has diverged."""
RELAPSED, FALLEN = 5.0, 3.0
"""The last loss over the lowest one, and dB of PSNR below the best evaluation: with either, a
network below bicubic has lost what it had learned; else it has not learned enough yet."""


class Ending(enum.StrEnum):
    """Ways in which a run ends."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    LEARNED_LITTLE = "learned too little"
    STOPPED = "stopped"
    NOTHING_LEFT = "nothing left to do"


def describe(run: Run) -> None:
    """Log what is about to run: batch, images, epochs, networks, device and precision."""
    batch, world = run.config["data"]["train"]["batch_size"], dist.world_size()
    parts = [f"{world} processes"] * (world > 1)
    parts += [f"{run.accumulation} batches"] * (run.accumulation > 1)
    LOGGER.info("work dir %s, device %s, seed %d", run.work_dir, _device(run), run.seed)
    LOGGER.info(
        "batch %s = %s per iteration; %s from %d",
        " x ".join([f"{batch} per process", *parts]),
        counted(batch * world * run.accumulation, "sample"),
        counted(run.max_iters, "iteration"),
        run.iter,
    )
    LOGGER.info("%s", _data(run))
    for name, network in run.networks.items():
        parameters = sum(parameter.numel() for parameter in network.parameters())
        LOGGER.info("%s: %s, %s", name, type(network).__name__, counted(parameters, "parameter"))
    for warning in _warnings(run):
        LOGGER.warning("%s", warning)


def _device(run: Run) -> str:
    """The device, and of a CPU how many threads compute and who says so."""
    if run.device.type != "cpu":
        return str(run.device)
    threads = counted(torch.get_num_threads(), "thread")
    hint = ": a network this small is slower with more beside other work; runtime.threads=N takes N"
    return f"cpu ({threads}{hint if run.default_threads else ''})"


def _data(run: Run) -> str:
    """Return the line on images, how often each is drawn, and the networks' precision."""
    images = len(run.dataset)
    samples = run.config["data"]["train"]["batch_size"] * run.accumulation * dist.world_size()
    sets = [f"{name} ({counted(len(dataset), 'image')})" for name, dataset in _sets(run).items()]
    amp = run.runtime.get("amp")
    precision = f"{amp}, where it is safe, and float32" if amp else "float32"
    epochs = run.max_iters * samples / images
    return (
        f"training on {counted(images, 'image')} for {epochs:.4g} epochs, "
        f"validation on {', '.join(sets) or 'nothing'}, precision {precision}"
    )


def _sets(run: Run) -> dict[str, Any]:
    """Return the validation sets that are evaluated."""
    hooks = run.hooks.values()
    return {name: dataset for hook in hooks for name, dataset in getattr(hook, "datasets", {}).items()}


def _warnings(run: Run) -> list[str]:
    """Return a sentence for each thing that a run would leave undone."""
    warnings = []
    val = run.config["data"].get("val") or {}
    if val.get("datasets") and not any(hasattr(hook, "datasets") for hook in run.hooks.values()):
        warnings.append("data.val is never used: hooks has no EvaluateHook")
    if _sets(run) and not val.get("metrics"):
        warnings.append("nothing is scored: data.val has sets and no metrics")
    return warnings


def worth_testing(run: Run) -> list[Path]:
    """Return the checkpoints to test: the best by the first score of bests, else the last.

    Of a run against a discriminator the last comes first: the best by PSNR is nearly the network it
    began with.
    """
    folder = run.work_dir / "checkpoints"
    last = list_checkpoints(folder)[-1:]
    bests = [best_path(folder, key) for hook in run.hooks.values() for key in getattr(hook, "best_keys", [])]
    best = [path for path in bests if path.exists()][:1]
    return last + best if is_adversarial(run) else best or last


def closing_sentence(run: Run, config: object) -> str:
    """Return the last sentence of a run that has finished: what was done, and how to test it.

    Args:
        run: it has trained.
        config: as its user would type it.
    """
    iteration, sentence = run.iter, f"done: {run.work_dir}"
    if run.start_iter == run.max_iters:
        of = f"iteration {iteration} of {run.max_iters}"
        sentence = f"nothing was left to train: {of} was reached before"
    files = " ".join(map(str, worth_testing(run)))
    return f"{sentence}. Test it: srtoolbox test {config} {files}" if files else sentence


def is_adversarial(run: Run) -> bool:
    """True where more networks learn than the one that upscales."""
    return len(run.optims) > 1


def report_outcome(run: Run) -> Ending:
    """Warn of a run that made nothing better than its start, or whose network does not upscale.

    Args:
        run: of rank 0, with its log closed.
    """
    try:
        log = read_run(run.work_dir)
    except DataError:  # no logger, or nothing to log
        log = RunLog("", {}, {}, {})
    ending, failure = _failure(run, log)
    for sentence in (_never_scored(run, log), _nothing_better(run, log), failure):
        if sentence:
            LOGGER.warning("%s", sentence)
    return ending


def _never_scored(run: Run, log: RunLog) -> str | None:
    """Return the sentence of a run that was to be scored and was not."""
    sets = (run.config["data"].get("val") or {}).get("datasets")
    if not sets or log.scores or not log.terms:  # without terms there is no logger
        return None
    keys = [key for hook in run.hooks.values() for key in getattr(hook, "best_keys", [])]
    best = f", and no best by {', '.join(keys)} was kept" if keys else ""
    return f"this run was never scored{best}: of data.val.datasets ({', '.join(sets)}) none was there or evaluated"


def _nothing_better(run: Run, log: RunLog) -> str | None:
    """Return the sentence of a run that was scored before it learned, and never better since."""
    parts = []
    for key, (iters, values) in log.scores.items():
        better = _direction(run, key)
        if better is None or iters[0] != 0 or len(iters) == 1:
            continue
        later = zip(values[1:] * better, -iters[1:], strict=True)
        best, place = max((pair for pair in later if not math.isnan(pair[0])), default=(-math.inf, 0))
        if best > values[0] * better:
            return None
        since = f"at best {best * better:.4f} (iteration {-place}) since"
        parts.append(f"{key} {values[0]:.4f} at the start, {since}")
    if not parts:
        return None
    usual = ", as is usual of PSNR under a discriminator: look at the images"
    return (
        "no evaluation was better than that of the weights it began with"
        f"{usual if is_adversarial(run) else ''}: {'; '.join(parts)}"
    )


def _direction(run: Run, key: str) -> int | None:
    """Return 1 where higher is better, -1 where lower is, None where neither is or nobody knows."""
    metrics = ((run.config["data"].get("val") or {}).get("metrics")) or {}
    name = key.rpartition("/")[2]
    higher = run.higher_is_better(name) if name in metrics else None
    return None if higher is None else 1 if higher else -1


def _failure(run: Run, log: RunLog) -> tuple[Ending, str | None]:
    """Return how a run has ended, with the sentence of one that failed.

    Its network is below bicubic on the validation images at hand, or its loss has risen far.
    """
    below, totals = list(_below_bicubic(run)), _total_losses(run, log)
    losses = ""
    if len(totals) > 1:
        (first, before), (last, after) = min(totals.items()), max(totals.items())
        since = f"and is {after:.4g} at iteration {last}"
        losses = f"the loss was {before:.4g} at iteration {first} {since}"
    has_risen = bool(losses) and not after <= RISEN * before
    if not below and not has_risen:
        return Ending.FINISHED, None
    losing = [losses] if has_risen else [*_relapsed_loss(totals)]
    losing += _fallen_psnr(run, log)
    if losing:
        return Ending.DIVERGED, (
            f"this run has diverged: {'; '.join([*below, *losing])}. Lower the learning rate or "
            "clip the gradients (optim.generator.clip)"
        )
    signs = [*below, *([losses] if losses else [])]
    return Ending.LEARNED_LITTLE, (
        f"this run has learned too little: {'; '.join(signs)}. Train longer (max_iters), or with "
        "another learning rate where the loss falls no more"
    )


def _below_bicubic(run: Run) -> Iterator[str]:
    margin = ADVERSARIAL_MARGIN if is_adversarial(run) else MARGIN
    scores = {
        name: psnr_beside_bicubic(image.lq, image.sr, image.gt)
        for hook in run.hooks.values()
        for name, image in getattr(hook, "last_panels", {}).items()
        if image.gt is not None
    }
    means = np.mean(list(scores.values()), axis=0) if scores else (0, 0)
    if not means[0] >= means[1] - margin:
        name, (own, reference) = min(scores.items(), key=lambda item: item[1][0] - item[1][1])
        yield f"it ends with {own:.2f} dB on {name}, where bicubic has {reference:.2f} dB"


def psnr_beside_bicubic(lq: np.ndarray, sr: torch.Tensor, gt: np.ndarray) -> tuple[float, float]:
    """Return the PSNR (dB, protocol `rgb` on luma, without 8 px of border) of a result and of bicubic."""
    truth = _batch(gt)
    height, width = truth.shape[-2:]
    metric = METRICS.build({"type": "PSNR", "crop_border": min(8, (min(height, width) - 1) // 2)})
    bicubic = imresize(_batch(lq), size=(height, width))
    return float(metric(sr.expand(-1, 3, -1, -1).cpu(), truth)), float(metric(bicubic, truth))


def _batch(image: np.ndarray) -> torch.Tensor:
    return batch_to_float(torch.from_numpy(expand_gray(image).copy())[None])


def _total_losses(run: Run, log: RunLog) -> dict[int, float]:
    """Return the sum of the loss terms by iteration, of as long as the run has been the same."""
    totals: dict[int, float] = {}
    if is_adversarial(run):  # whose losses tell of a balance
        return totals
    start = comparable_from(run.work_dir, run.config)
    for curve in (log.terms[name] for name in run.model.loss_weights() if name in log.terms):
        for iteration, value in zip(curve.iters, curve.values, strict=True):
            if iteration > start:
                totals[iteration] = totals.get(iteration, 0.0) + value
    return totals


def _relapsed_loss(totals: Mapping[int, float]) -> Iterator[str]:
    finite = {iteration: value for iteration, value in totals.items() if math.isfinite(value)}
    if not finite:
        return
    lowest, last = min(finite, key=lambda iteration: finite[iteration]), max(totals)
    if not totals[last] <= RELAPSED * finite[lowest]:
        since = f"and is {totals[last]:.4g} at the end"
        yield f"the loss was down to {finite[lowest]:.4g} at iteration {lowest} {since}"


def _fallen_psnr(run: Run, log: RunLog) -> Iterator[str]:
    metrics = (run.config["data"].get("val") or {}).get("metrics") or {}
    for key, (iters, values) in log.scores.items():
        if metrics.get(key.rpartition("/")[2], {}).get("type") != "PSNR":
            continue
        finite = [pair for pair in zip(values, iters, strict=True) if not math.isnan(pair[0])]
        best = max(finite, default=None)
        if best is not None and not values[-1] >= best[0] - FALLEN:
            yield f"{key} was {best[0]:.2f} at iteration {best[1]} and is {values[-1]:.2f}"
            return
