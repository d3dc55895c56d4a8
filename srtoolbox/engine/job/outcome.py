"""The end of a finished run: what is worth testing, and a sentence where it made nothing better, or diverged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from srtoolbox.engine.job.run_config import comparable_from
from srtoolbox.errors import DataError
from srtoolbox.image import batch_to_float, expand_gray
from srtoolbox.logger import LOGGER
from srtoolbox.plots.run_log import Run, read_run
from srtoolbox.registry import METRICS
from srtoolbox.resize import imresize
from srtoolbox.weights.checkpoint import list_checkpoints

if TYPE_CHECKING:
    from srtoolbox.engine.evaluate import Picture
    from srtoolbox.engine.runner import Runner

MARGIN, ADVERSARIAL_MARGIN = 0.5, 3.0
"""dB of PSNR that a network may lie below bicubic; one trained against a discriminator trades PSNR for texture."""
RISEN = 2.0
"""The last loss over the first one from which on a run has diverged."""
RELAPSED, FALLEN = 5.0, 3.0
"""The last loss over the lowest one, and dB of PSNR below the best evaluation: with either, a network below bicubic has
lost what it had learned; else it has not learned enough yet."""


def worth_testing(runner: Runner) -> list[Path]:
    """Return the checkpoints to test: the best by the first score that bests are kept by, else the last.

    Of a run against a discriminator the last comes first: the best by PSNR is nearly the network it began with.
    """
    folder = runner.work_dir / "checkpoints"
    last = list_checkpoints(folder)[-1:]
    names = [path for hook in runner.hooks.values() for path in getattr(hook, "best_paths", [])]
    best = [path for path in names if path.exists()][:1]
    return last + best if is_adversarial(runner) else best or last


def is_adversarial(runner: Runner) -> bool:
    """True where more networks learn than the one that upscales."""
    return len(runner.optims) > 1


def report_outcome(runner: Runner) -> None:
    """Warn at the end of a run that made nothing better than its start, or whose network does not upscale.

    Args:
        runner: of rank 0, with its log closed.
    """
    try:
        log = read_run(runner.work_dir)
    except DataError:  # no logger, or nothing to log
        log = Run("", {}, {}, {})
    for sentence in (_never_scored(runner, log), _nothing_better(runner, log), _failed(runner, log)):
        if sentence:
            LOGGER.warning("%s", sentence)


def _never_scored(runner: Runner, log: Run) -> str | None:
    """Of a run that was to be scored and was not."""
    sets = (runner.config["data"].get("val") or {}).get("datasets")
    if not sets or log.scores or not log.terms:  # without terms there is no logger
        return None
    keys = [key for hook in runner.hooks.values() for key in getattr(hook, "best_keys", [])]
    best = f", and no best by {', '.join(keys)} was kept" if keys else ""
    return f"this run was never scored{best}: of data.val.datasets ({', '.join(sets)}) none was there or evaluated"


def _nothing_better(runner: Runner, log: Run) -> str | None:
    """Of a run that was scored before it learned and never better since, by none of its scores."""
    told = []
    for key, (iters, values) in log.scores.items():
        better = _direction(runner, key)
        if better is None or iters[0] != 0 or len(iters) == 1:
            continue
        later = [(value * better, -iteration) for iteration, value in zip(iters[1:], values[1:], strict=True)]
        best, place = max((pair for pair in later if not math.isnan(pair[0])), default=(-math.inf, 0))
        if best > values[0] * better:
            return None
        told.append(f"{key} {values[0]:.4f} at the start, at best {best * better:.4f} (iteration {-place}) since")
    if not told:
        return None
    usual = ", as is usual of PSNR under a discriminator: look at the images" if is_adversarial(runner) else ""
    return f"no evaluation was better than that of the weights it began with{usual}: {'; '.join(told)}"


def _direction(runner: Runner, key: str) -> int | None:
    """1 where higher is better, -1 where lower is, None where neither is or nobody knows."""
    metrics: Mapping[str, object] = ((runner.config["data"].get("val") or {}).get("metrics")) or {}
    name = key.rpartition("/")[2]
    higher = runner.higher_is_better(name) if name in metrics else None
    return None if higher is None else 1 if higher else -1


def _failed(runner: Runner, log: Run) -> str | None:
    """Of a network that is below bicubic on the validation images at hand, or whose loss has risen far."""
    below, totals = list(_below_bicubic(runner)), _total_losses(runner, log)
    losses = ""
    if len(totals) > 1:
        (first, before), (last, after) = min(totals.items()), max(totals.items())
        losses = f"the loss was {before:.4g} at iteration {first} and is {after:.4g} at iteration {last}"
    has_risen = bool(losses) and not after <= RISEN * before
    if not below and not has_risen:
        return None
    lost = [losses] if has_risen else [*_relapsed_loss(totals)]
    lost += _fallen_psnr(runner, log)
    if lost:
        signs = [*below, *lost]
        return (
            f"this run has diverged: {'; '.join(signs)}. Lower the learning rate or clip the gradients "
            "(optim.generator.clip)"
        )
    signs = [*below, *([losses] if losses else [])]
    return (
        f"this run has learned too little: {'; '.join(signs)}. Train longer (max_iters), or with another learning rate "
        "where the loss falls no more"
    )


def _below_bicubic(runner: Runner) -> Iterator[str]:
    pictures = {
        name: picture
        for hook in runner.hooks.values()
        for name, picture in getattr(hook, "last_panels", {}).items()
        if picture.gt is not None
    }
    margin = ADVERSARIAL_MARGIN if is_adversarial(runner) else MARGIN
    scores = {name: psnr_beside_bicubic(picture) for name, picture in pictures.items()}
    if scores and not _mean(own for own, _ in scores.values()) >= _mean(ref for _, ref in scores.values()) - margin:
        name, (own, reference) = min(scores.items(), key=lambda item: item[1][0] - item[1][1])
        yield f"it ends with {own:.2f} dB on {name}, where bicubic has {reference:.2f} dB"


def psnr_beside_bicubic(picture: Picture) -> tuple[float, float]:
    """Return the PSNR (dB, protocol `rgb` on luma, 8 px of border left out) of a result and of bicubic's."""
    gt = _batch(picture.gt)
    metric = METRICS.build({"type": "PSNR", "crop_border": min(8, (min(gt.shape[-2:]) - 1) // 2)})
    bicubic = imresize(_batch(picture.lq), size=gt.shape[-2:])
    return float(metric(picture.sr.expand(-1, 3, -1, -1).cpu(), gt)), float(metric(bicubic, gt))


def _batch(image: object) -> torch.Tensor:
    return batch_to_float(torch.from_numpy(expand_gray(image).copy())[None])


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _total_losses(runner: Runner, log: Run) -> dict[int, float]:
    """Return the sum of the loss terms by iteration, of as long as the run has been the same."""
    totals: dict[int, float] = {}
    if is_adversarial(runner):  # whose losses tell of a balance
        return totals
    start = comparable_from(runner.work_dir, runner.config)
    for curve in (log.terms[name] for name in runner.model.loss_weights() if name in log.terms):
        for iteration, value in zip(curve.iters, curve.values, strict=True):
            if iteration > start:
                totals[iteration] = totals.get(iteration, 0.0) + value
    return totals


def _relapsed_loss(totals: Mapping[int, float]) -> Iterator[str]:
    finite = {iteration: value for iteration, value in totals.items() if math.isfinite(value)}
    if not finite:
        return
    lowest, last = min(finite, key=finite.get), max(totals)
    if not totals[last] <= RELAPSED * finite[lowest]:
        yield f"the loss was down to {finite[lowest]:.4g} at iteration {lowest} and is {totals[last]:.4g} at the end"


def _fallen_psnr(runner: Runner, log: Run) -> Iterator[str]:
    metrics: Mapping[str, Mapping] = (runner.config["data"].get("val") or {}).get("metrics") or {}
    for key, (iters, values) in log.scores.items():
        if metrics.get(key.rpartition("/")[2], {}).get("type") != "PSNR":
            continue
        best = max((pair for pair in zip(values, iters, strict=True) if not math.isnan(pair[0])), default=None)
        if best is not None and not values[-1] >= best[0] - FALLEN:
            yield f"{key} was {best[0]:.2f} at iteration {best[1]} and is {values[-1]:.2f}"
            return
