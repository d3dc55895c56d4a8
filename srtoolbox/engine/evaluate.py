"""Evaluation: every image of a set through the same `restore` that upscales a user's, and metrics.

Rank r takes images r, r + world, ...; scores are gathered by index and averaged in index order, so
the result is that of one process, each image counted once. The random state of a training stays.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, SupportsFloat, cast

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox import dist
from srtoolbox.compat.pytorch import is_compiler_imported
from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.data.loading.ahead import Mark, cuda_mark
from srtoolbox.data.loading.loader import build_eval_loader
from srtoolbox.errors import ConfigError, MissingDataError, SrtoolboxError
from srtoolbox.image import batch_to_float, rgb_to_y
from srtoolbox.inference.restore import Restored, evaluation, restore
from srtoolbox.inference.transfer import upload
from srtoolbox.interfaces import Dataset, Metric, needs_target
from srtoolbox.logger import LOGGER
from srtoolbox.registry import DATASETS, METRICS
from srtoolbox.text import counted

Scores = dict[str, float]


class EvaluatedImage(NamedTuple):
    """One image: `lq` and `gt` HWC as the dataset gave them, `sr` (1, 3, H, W) float, unclipped.

    `gt` is None where there is no truth; then `scores` holds what metrics say that need none.
    """

    name: str
    lq: np.ndarray
    gt: np.ndarray | None
    sr: Tensor
    scores: Scores


class ImageScores(dict[str, Scores]):
    """The scores of a set: `{image: {metric: score, ..., 'seconds': upscaling time}}`."""

    @property
    def means(self) -> Scores:
        """The mean of each metric over all images."""
        return means(self)


@dataclass
class Evaluation:
    """The outcome over several sets."""

    images: dict[str, ImageScores] = field(default_factory=dict)  # by set
    panels: dict[str, EvaluatedImage] = field(default_factory=dict)  # by '<set>/<image>'

    @property
    def scores(self) -> Scores:
        """The mean of each metric over each set: `{'set5/psnr': 32.6}`."""
        means = {name: images.means for name, images in self.images.items()}
        return {f"{name}/{key}": mean for name, row in means.items() for key, mean in row.items()}


class EvaluationInterrupted(Exception):  # noqa: N818 - a request, not an error
    """A signal came to some rank; there are no scores."""


def means(images: Mapping[str, Scores]) -> Scores:
    """Return the mean of each metric over images, in their order (seconds per image among them)."""
    first = next(iter(images.values()), {})
    return {key: float(np.mean([scores[key] for scores in images.values()])) for key in first}


def evaluate(
    network: nn.Module,
    dataset: Dataset,
    metrics: Mapping[str, Metric],
    *,
    device: torch.device | str = "cpu",
    on_picture: Callable[[EvaluatedImage], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    only: range | None = None,
) -> ImageScores:
    """Score a network on every image of a dataset.

    Args:
        network: maps (1, C, h, w) to (1, C, scale * h, scale * w); evaluated in fp32 and eval mode.
        dataset: gives `{'lq': HWC, 'gt': HWC, 'key': str}`, without 'gt' where there is no truth.
        metrics: `{name: metric}`; each names its protocol, see `srtoolbox.metrics`. Images without
            truth are scored by those that need none.
        device: where the network is.
        on_picture: called with each image of this rank as soon as it is scored.
        interrupted: asked before each image; once it says yes, this rank takes no more.
        only: numbers of the images to take; None takes all.

    Returns:
        the scores of each image in the dataset's order, the same on all ranks; `.means` over them.

    Raises:
        EvaluationInterrupted: on all ranks, where one was interrupted.
    """
    names = unique_names(dataset.keys())
    numbers = range(len(names)) if only is None else only
    mine = []
    with evaluation(network), torch.inference_mode(), uncompiled():
        source = cast(SRDataset, dataset)
        for index, sample in build_eval_loader(source, dist.rank(), dist.world_size(), numbers):
            if interrupted():
                break
            dist.advance()
            lq = _as_batch(sample["lq"], device)
            clock = _Clock(lq.device)
            restored = restore(network, lq)
            clock.stop()
            gt = sample.get("gt")
            with _naming(names[index]):
                results = score(restored, None if gt is None else _as_batch(gt, device), metrics)
            mine.append((index, names[index], results, clock))
            if on_picture is not None:
                scores = _fetched([(results, clock)])[0]
                on_picture(EvaluatedImage(names[index], sample["lq"], gt, restored.rgb, scores))
    rows = _fetched([(results, clock) for *_, results, clock in mine])
    found = [(index, name, scores) for (index, name, *_), scores in zip(mine, rows, strict=True)]
    gathered = sorted(item for part in dist.all_gather_object(found) for item in part)
    if len(gathered) < len(numbers):
        raise EvaluationInterrupted
    images = ImageScores({key: scores for _, key, scores in gathered})
    _report_nan(images)
    return images


@contextlib.contextmanager
def _naming(image: str) -> Iterator[None]:
    """Put the image into the error of a metric that cannot score it."""
    try:
        yield
    except SrtoolboxError as error:
        if type(error) is not SrtoolboxError:  # one that has more to it than its text
            raise
        raise SrtoolboxError(f"image {image!r}: {error}") from error


def _report_nan(images: Mapping[str, Scores]) -> None:
    """Warn, on rank 0, of scores that are not a number: a mean over them is none either."""
    bad = {name: [key for key in row if math.isnan(row[key])] for name, row in images.items()}
    bad = {name: keys for name, keys in bad.items() if keys}
    if bad and dist.is_main():
        name, metrics = next(iter(bad.items()))
        LOGGER.warning(
            "%s of %s not a number (the first is %s): the network gives NaN or infinity there, or the "
            "metric cannot score it", ", ".join(metrics), counted(len(bad), "image is", "images are"), name,
        )  # fmt: skip


def _as_batch(image: np.ndarray, device: torch.device | str) -> Tensor:
    """Return HWC as a dataset gives it as (1, C, H, W) in [0, 1] on the device."""
    return batch_to_float(upload(image, device))


class _Clock:
    """Seconds of upscaling an image, from when it is made.

    On a CUDA device by events, for which nothing waits.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._marks = device, list[Mark]()
        self._mark()
        self._start, self._seconds = time.perf_counter(), 0.0

    def stop(self) -> None:
        """End it."""
        self._seconds = time.perf_counter() - self._start
        self._mark()

    def _mark(self) -> None:
        if self._device.type == "cuda":
            self._marks.append(cuda_mark(self._device))

    @property
    def seconds(self) -> float:
        """The seconds between; waits for the device."""
        if self._marks:
            first, last = self._marks
            last.synchronize()
            self._seconds = first.elapsed_time(last) / 1000
        return self._seconds


Results = dict[str, float | Tensor]
"""Scores, of which those on a CUDA device are still there, as tensors of one number."""


def _fetched(images: Sequence[tuple[Results, _Clock]]) -> list[Scores]:
    """Return the scores as numbers, and the seconds; all that are on a device come at once."""
    tensors = [value.reshape(()).double() for row, _ in images for value in row.values() if isinstance(value, Tensor)]
    values = iter(torch.stack(tensors).tolist() if tensors else ())
    rows = []
    for row, clock in images:
        scores = {key: next(values) if isinstance(value, Tensor) else value for key, value in row.items()}
        rows.append({**scores, "seconds": clock.seconds})
    return rows


def unique_names(keys: Sequence[str]) -> list[str]:
    """Return the keys, numbered where sets put together hold images of one name: `a`, `a-2`."""
    names: dict[str, None] = {}
    for key in keys:
        numbered = (key if number == 1 else f"{key}-{number}" for number in count(1))
        names[next(name for name in numbered if name not in names)] = None
    return list(names)


def score(restored: Restored, gt: Tensor | None, metrics: Mapping[str, Metric]) -> Results:
    """Return the metrics of one restored image, each by its own protocol.

    `gt` is (1, C, H, W) in [0, 1]; gray counts as RGB. Without it, metrics that need it are left
    out. On a CUDA device nothing waits for it.
    """
    rgb = restored.rgb.expand(-1, 3, -1, -1)
    gt = None if gt is None else gt.expand(-1, 3, -1, -1)
    scores: Results = {}
    for name, metric in metrics.items():
        if needs_target(metric) and gt is None:
            continue
        target = gt if needs_target(metric) else None
        output = rgb
        if metric.protocol == "y_direct":
            output = restored.output if restored.output.shape[1] == 1 else rgb_to_y(restored.output)
            target = None if target is None else rgb_to_y(target)
        result = metric(output) if target is None else metric(output, target)
        if isinstance(result, Tensor) and result.device.type == "cuda" and result.numel() == 1:
            scores[name] = result.detach()
            continue
        try:
            scores[name] = float(cast(SupportsFloat, result))  # a plugin may return anything
        except (TypeError, ValueError, RuntimeError) as error:
            got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            rule = f"metric {name!r} returns one number per image, (1,) for one"
            raise SrtoolboxError(f"{rule}, but returned {got}") from error
    return scores


def uncompiled() -> contextlib.AbstractContextManager:
    """Run a compiled network as it was written: every new image size would compile it anew."""
    if not is_compiler_imported():  # nothing is compiled, and the compiler's import takes seconds
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")


def build_eval_datasets(datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Build datasets by name. A set whose files are absent is reported and left out."""
    built = {}
    for name, cfg in datasets.items():
        try:
            built[name] = DATASETS.build(cfg)
        except MissingDataError as error:
            LOGGER.warning("set %s is skipped: %s", name, error)
    return built


def build_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Build metrics by name."""
    if "seconds" in metrics:
        raise ConfigError("metrics: 'seconds' is the name of the upscaling time; give that metric another one")
    return {name: METRICS.build(cfg) for name, cfg in metrics.items()}
