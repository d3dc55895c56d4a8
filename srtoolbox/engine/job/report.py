"""The log's first and last lines: what is about to run, and whether it made anything better."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from srtoolbox import dist
from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.engine.hooks.checkpoint import best_path
from srtoolbox.engine.job.run_config import comparable_from
from srtoolbox.errors import DataError
from srtoolbox.image import batch_to_float, expand_gray
from srtoolbox.interfaces import is_share
from srtoolbox.logger import LOGGER
from srtoolbox.plots.run_log import RunLog, read_run
from srtoolbox.registry import METRICS
from srtoolbox.resize import imresize
from srtoolbox.text import counted
from srtoolbox.weights.checkpoint import list_checkpoints

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

MARGIN, ADVERSARIAL_MARGIN = 0.5, 3.0
"""dB of PSNR that a network may lie below bicubic; a discriminator trades PSNR for texture."""
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
    GIVEN_UP = "given up"
    STOPPED = "stopped"
    NOTHING_LEFT = "nothing left to do"
    HALTED = "halted"
    FAILED = "failed"
    PRUNED = "pruned"


def describe(run: Run) -> None:
    """Log what is about to run: batch, images, epochs, networks, device and precision.

    Every rank must call it: where each has a share of the images, an epoch is of all of them.
    """
    own = _own_images(run.dataset)
    shares = dist.all_gather_object(own) if is_share(run.dataset) else [own]
    images = len(run.dataset) - own + sum(shares)
    if not dist.is_main():
        return
    batch, world = run.config["data"]["train"]["batch_size"], dist.world_size()
    samples = batch * world * run.accumulation
    device = str(run.device)
    if run.device.type == "cpu":
        hint = ": a network this small is slower with more beside other work; runtime.threads=N takes N"
        device = f"cpu ({counted(torch.get_num_threads(), 'thread')}{hint if run.default_threads else ''})"
    LOGGER.info("work dir %s, device %s, seed %d", run.work_dir, device, run.seed)
    parts = [f"{world} processes"] * (world > 1) + [f"{run.accumulation} batches"] * (run.accumulation > 1)
    factors, each = " x ".join([f"{batch} per process", *parts]), counted(samples, "sample")
    length = counted(run.max_iters, "iteration")
    LOGGER.info("batch %s = %s per iteration; %s from %d", factors, each, length, run.iter)
    evaluators = [hook.datasets for hook in run.hooks.values() if hasattr(hook, "datasets")]
    sets = {name: dataset for datasets in evaluators for name, dataset in datasets.items()}
    amp = run.runtime.get("amp")
    LOGGER.info(
        "training on %s for %.4g epochs, validation on %s, precision %s",
        counted(images, "image"),
        run.max_iters * samples / images,
        ", ".join(f"{name} ({counted(len(dataset), 'image')})" for name, dataset in sets.items()) or "nothing",
        f"{amp}, where it is safe, and float32" if amp else "float32",
    )
    if run.choices:
        LOGGER.info("runtime 'auto': %s", run.choices)
    for name, network in run.networks.items():
        parameters = sum(parameter.numel() for parameter in network.parameters())
        LOGGER.info("%s: %s, %s", name, type(network).__name__, counted(parameters, "parameter"))
    val = run.config["data"].get("val") or {}
    if val.get("datasets") and not evaluators:
        LOGGER.warning("data.val is never used: hooks has no EvaluateHook")
    if sets and not val.get("metrics"):
        LOGGER.warning("nothing is scored: data.val has sets and no metrics")


def _own_images(dataset: SRDataset) -> int:
    """Return how many images of a dataset are of this rank's share of a store, which no other has."""
    parts = getattr(dataset, "datasets", None)
    if parts is not None:
        return sum(map(_own_images, parts))
    return len(dataset) if is_share(dataset) else 0


def worth_testing(run: Run) -> list[Path]:
    """Return the checkpoints to test: the best by the first score of bests, else the last.

    With a discriminator the last comes first: the best by PSNR is nearly what the run began with.
    """
    folder = run.work_dir / "checkpoints"
    last = list_checkpoints(folder)[-1:]
    keys = [key for hook in run.hooks.values() for key in getattr(hook, "best_keys", [])]
    best = [path for key in keys if (path := best_path(folder, key)).exists()][:1]
    return last + best if is_adversarial(run) else best or last


def closing_sentence(run: Run, config: object) -> str:
    """Return the last sentence of a run that has finished: what was done, and how to test it.

    `config` is what its user would type for it.
    """
    sentence = f"done: {run.work_dir}"
    if run.start_iter == run.max_iters:
        sentence = f"nothing was left to train: iteration {run.iter} of {run.max_iters} was reached before"
    files = " ".join(map(str, worth_testing(run)))
    return f"{sentence}. Test it: srtoolbox test {config} {files}" if files else sentence


def is_adversarial(run: Run) -> bool:
    """True where more networks learn than the one that upscales."""
    return len(run.optims) > 1


def report_outcome(run: Run) -> Ending:
    """Warn, on rank 0, of a run that made nothing better, or whose network does not upscale."""
    try:
        log = read_run(run.work_dir)
    except DataError:  # no logger, or nothing to log
        log = RunLog("", {}, {}, {})
    ending, failure = _failure(run, log)
    if ending is not Ending.DIVERGED and any(getattr(hook, "has_given_up", False) for hook in run.hooks.values()):
        ending, failure = Ending.GIVEN_UP, None  # the hook has said why
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
    metrics = (run.config["data"].get("val") or {}).get("metrics") or {}
    for key, (iters, values) in log.scores.items():
        name = key.rpartition("/")[2]
        higher = run.higher_is_better(name) if name in metrics else None
        if higher is None or iters[0] != 0 or len(iters) == 1:
            continue
        better = 1 if higher else -1
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


def _failure(run: Run, log: RunLog) -> tuple[Ending, str | None]:
    """Return how a run has ended, with the sentence of one that failed.

    Its network is below bicubic on the validation images at hand, or its loss has risen far.
    """
    below, totals = list(_below_bicubic(run)), _total_losses(run, log)
    losses = ""
    if len(totals) > 1:
        (first, before), (last, after) = min(totals.items()), max(totals.items())
        losses = f"the loss was {before:.4g} at iteration {first} and is {after:.4g} at iteration {last}"
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
    longer = "max_iters" if run.max_iters == run.config["max_iters"] else "a hook has ended it early: more patience"
    return Ending.LEARNED_LITTLE, (
        f"this run has learned too little: {'; '.join(signs)}. Train longer ({longer}), or with "
        "another learning rate where the loss falls no more"
    )


def _below_bicubic(run: Run) -> Iterator[str]:
    margin = ADVERSARIAL_MARGIN if is_adversarial(run) else MARGIN
    others = set(_sets_of_another_task(run))
    panels = {
        name: image
        for hook in run.hooks.values()
        for name, image in getattr(hook, "last_panels", {}).items()
        if image.gt is not None and name.partition("/")[0] not in others
    }
    scores = {name: psnr_beside_bicubic(image.lq, image.sr, image.gt) for name, image in panels.items()}
    means = np.mean(list(scores.values()), axis=0) if scores else (0, 0)
    if not means[0] >= means[1] - margin:
        name, (own, reference) = min(scores.items(), key=lambda item: item[1][0] - item[1][1])
        other = "the input" if panels[name].lq.shape == panels[name].gt.shape else "bicubic"
        yield f"it ends with {own:.2f} dB on {name}, where {other} has {reference:.2f} dB"


def _sets_of_another_task(run: Run) -> Iterator[str]:
    """Yield the sets of clean LQ, for a run whose LQ is degraded: there it is no match for bicubic."""
    for hook in run.hooks.values() if run.preparation else ():
        for name, dataset in getattr(hook, "datasets", {}).items():
            if getattr(dataset, "pipeline", None) is None:
                yield name


def psnr_beside_bicubic(lq: np.ndarray, sr: torch.Tensor, gt: np.ndarray) -> tuple[float, float]:
    """Return the PSNR (dB, `rgb` on luma, without 8 px of border) of a result and of bicubic."""
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
    lowest, last = min(finite, key=lambda iteration: finite[iteration]), totals[max(totals)]
    if not last <= RELAPSED * finite[lowest]:
        yield f"the loss was down to {finite[lowest]:.4g} at iteration {lowest} and is {last:.4g} at the end"


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
