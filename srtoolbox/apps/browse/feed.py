"""Samples as a training's network is given them: by its dataset, draws and preprocessing, with no network built."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srtoolbox.apps.browse.steps import Notes, Step, drawn, leaves, step_names, tells, watch
from srtoolbox.data.datasets.base import Batch, SRDataset, collate
from srtoolbox.data.loading.draws import Draw, EndlessSampler
from srtoolbox.data.stores.base import Window
from srtoolbox.data.transforms import Compose, Sample
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.engine.device import to_device
from srtoolbox.errors import DataError, MissingDataError
from srtoolbox.image import batch_to_float, to_image
from srtoolbox.interfaces import BEGUN, IMAGE_KEYS, Preparation
from srtoolbox.registry import DATASETS, TRANSFORMS

_EPOCHS = 20  # after which an image is thought never to be drawn
_FIRST_VARIANT = 1 << 40  # a number of groups of draws that no run reaches


@dataclass(frozen=True)
class SeenSample:
    """A sample as the network gets it.

    Attributes:
        key: the image's name.
        draw: with its number in the run.
        place: the crop in the image, in its GT pixels; None where nobody tells.
        images: HWC uint8 or uint16 by name: 'lq', 'gt', and what the preprocessing adds.
        steps: what degraded it, in order, where the degradations tell.
    """

    key: str
    draw: Draw
    place: Window | None
    images: dict[str, np.ndarray]
    steps: list[Step]

    @property
    def lq(self) -> np.ndarray:
        """The image that the network gets."""
        return self.images["lq"]


class Feed:
    """The samples of a config's training.

    Args:
        config: checked, with `data.train`.
        seed: instead of the config's.
        whole: whole images in the place of crops, wherever a dataset has a `gt_size`.
        device: where a preprocess computes.

    Attributes:
        untold: names of the transforms that do not tell what they draw.
        varies: True if a sample has degradations that can be drawn anew.

    Raises:
        MissingDataError: the images are not there.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        seed: int | None = None,
        whole: bool = False,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - a value
    ) -> None:
        self.config, self.device = config, device
        train = config["data"]["train"]
        entry = _uncropped(train["dataset"], whole=whole)
        try:
            self.dataset: SRDataset = DATASETS.build(entry)
        except MissingDataError as error:
            raise MissingDataError(f"the training set is not there: {error}", error.path) from error
        self.group: int = train["batch_size"]
        self.pool: int | None = train.get("pool")
        self.batch_size = 1 if whole else self.group
        self.seed: int = config.get("seed", 0) if seed is None else seed
        self.notes = Notes()
        preprocess = _uncropped((config.get("model") or {}).get("preprocess"), whole=whole)
        self.preprocess = TRANSFORMS.build(preprocess) if preprocess else None
        self.pipeline: ToldPipeline | None = None
        if isinstance(self.preprocess, Preparation) and hasattr(self.dataset, "leave_out_lq"):
            self.dataset.leave_out_lq()
        self.untold = _watch(self.dataset, entry, self.notes)
        if isinstance(self.preprocess, DegradationPipeline):
            self.pipeline = ToldPipeline(self.preprocess, preprocess, self.notes)
            self.untold += self.pipeline.untold
        elif self.preprocess is not None:
            self.untold.append(preprocess["type"])
        self.varies = self.preprocess is not None or self.notes.is_used

    def samples(self, start: int = 0, only: Collection[str] | None = None) -> Iterator[SeenSample]:
        """Yield samples after the first `start` of the run, without end; `only` those of some images, by key.

        Raises:
            DataError: a dataset draws none of these images.
        """
        for draws in self.batches(start, only):
            yield from self.make(draws)

    def batches(self, start: int = 0, only: Collection[str] | None = None) -> Iterator[list[Draw]]:
        """Yield the draws of these samples, those of a batch together."""
        keys = self.dataset.keys() if only is not None else []
        skipped, in_vain = start % self.batch_size, 0
        sampler = EndlessSampler(self.dataset, self.batch_size, self.seed, start - skipped, pool=self.pool)
        for draws in sampler:
            wanted = [each for each in draws[skipped:] if only is None or keys[each.index] in only]
            skipped = 0
            in_vain = 0 if wanted else in_vain + len(draws)
            if in_vain > _EPOCHS * len(self.dataset):
                raise DataError(f"the training draws none of these images: {', '.join(sorted(only or ()))}")
            if wanted:
                yield wanted

    def make(self, draws: Sequence[Draw], variants: Sequence[int] | None = None) -> list[SeenSample]:
        """Return the samples of some draws; `variants`: with parameters drawn anew, other ones for each number."""
        samples: list[Sample] = []
        steps: list[list[Step]] = []
        for place, draw in enumerate(draws):
            if place and draw == draws[0] and not self.notes.is_used:  # the pipeline alone draws anew
                samples.append(samples[0])
                steps.append([])
                continue
            self.notes.steps, self.notes.variant = [], None if variants is None else variants[place]
            samples.append(self.dataset.sample(draw))
            steps.append(self.notes.steps)
        batch = collate(samples, draws)
        prepared, planned = self._prepared(batch, draws, variants)
        images = {name: _to_images(prepared[name]) for name in sorted(prepared, key=_rank)}
        return [
            SeenSample(
                key=samples[n]["key"],
                draw=draw,
                place=self.dataset.place(draw) if hasattr(self.dataset, "place") else None,
                images={name: each[n] for name, each in images.items()},
                steps=[*steps[n], *planned[n]],
            )
            for n, draw in enumerate(draws)
        ]

    def _prepared(
        self, batch: Batch, draws: Sequence[Draw], variants: Sequence[int] | None
    ) -> tuple[dict[str, Tensor], list[list[Step]]]:
        """Return the images of a batch as a restorer prepares them, in colour, and the steps of each."""
        images = {name: batch[name] for name in IMAGE_KEYS if name in batch}
        nothing: list[list[Step]] = [[] for _ in draws]
        if self.pipeline is not None:
            return self.pipeline.run(batch, draws, self.group, variants, self.device)
        if isinstance(self.preprocess, Preparation):
            begun = self.preprocess.begin(batch, draws, self.group)
            return self.preprocess.finish(to_device(begun, self.device)), nothing
        if self.preprocess is not None:
            moved = to_device(images, self.device)
            images = self.preprocess({name: batch_to_float(image) for name, image in moved.items()})
        return images, nothing


def _uncropped(entry: Any, *, whole: bool) -> Any:  # noqa: ANN401 - a config's entry, as it came
    """Return a component's config, and the datasets in it, with whole images in the place of crops."""
    if not whole or not isinstance(entry, Mapping | list | tuple):
        return entry
    if not isinstance(entry, Mapping):
        return [_uncropped(each, whole=whole) for each in entry]
    if "type" not in entry:  # a map of datasets by name
        return {name: _uncropped(each, whole=whole) for name, each in entry.items()}
    changed = {key: None for key in ("gt_size", "crop") if key in entry}
    inner = {key: _uncropped(entry[key], whole=whole) for key in ("datasets", "pipeline") if entry.get(key)}
    return {**entry, **changed, **inner}


def _rank(name: str) -> int:
    """Return the place of an image among those of a sample: LQ, GT, then the others."""
    return IMAGE_KEYS.index(name) if name in IMAGE_KEYS else len(IMAGE_KEYS)


def _watch(dataset: object, entry: object, notes: Notes) -> list[str]:
    """Watch the transforms of a dataset and of those in it; return the names of those that tell nothing."""
    untold: list[str] = []
    config = entry if isinstance(entry, Mapping) else {}
    for attribute, argument in (("before_lq", "transforms"), ("transforms", "transforms"), ("degradations",) * 2):
        chain = getattr(dataset, attribute, None)
        if isinstance(chain, Compose):
            untold += watch(chain, config.get(argument), notes)
    pipeline = getattr(dataset, "pipeline", None)
    if isinstance(pipeline, DegradationPipeline):
        told = ToldPipeline(pipeline, config["pipeline"], notes)
        dataset.pipeline, notes.is_used = told, True  # type: ignore[attr-defined]
        untold += told.untold
    parts = getattr(dataset, "datasets", None)
    if isinstance(parts, list):
        entries = config.get("datasets") or []
        inner = entries.values() if isinstance(entries, Mapping) else entries
        present = [each for each in inner if each is not None]
        for part, own in zip(parts, present, strict=False):  # a plugin's may be made otherwise
            untold += _watch(part, own, notes)
    return untold


def _to_images(images: Tensor) -> list[np.ndarray]:
    """Return a batch, (N, H, W, C) of integers or (N, C, H, W) in [0, 1], as arrays HWC."""
    images = images.cpu()
    if images.dtype in (torch.uint8, torch.uint16):
        return list(images.numpy())
    return [to_image(image[None]) for image in images]


class ToldPipeline:
    """A pipeline of degradations that tells what it drew, and draws anew for the same crop.

    A dataset takes it for its own.

    Args:
        pipeline: of the model, or of a dataset.
        cfg: its config.
        notes: where to, for a dataset.
    """

    def __init__(self, pipeline: DegradationPipeline, cfg: Mapping[str, Any], notes: Notes) -> None:
        self.pipeline, self.notes = pipeline, notes
        steps = pipeline.steps.transforms
        self.names = step_names(cfg.get("steps"), steps)
        notes.names += self.names.values()
        self.untold = [self.names[id(step)] for step in leaves(steps) if not tells(step)]

    def run(
        self,
        batch: Mapping[str, Any],
        draws: Sequence[Draw],
        group: int,
        variants: Sequence[int] | None,
        device: torch.device,
    ) -> tuple[dict[str, Tensor], list[list[Step]]]:
        """Return the images of a batch with 'gt' (N, H, W, C), as in training, and the steps of each.

        Args:
            batch: as a dataset gives it.
            draws: of its samples.
            group: draws that share what a batch shares.
            variants: other parameters for each number, for GT cut at the same place.
            device: where what needs no CPU is computed.
        """
        drawn_by = list(draws)
        if variants is not None:
            numbers = [(_FIRST_VARIANT + number) * group for number in variants]
            drawn_by = [draw._replace(number=number) for draw, number in zip(draws, numbers, strict=True)]
        begun = self.pipeline.begin(dict(batch), drawn_by, group)
        sizes = np.tile(np.array(batch["gt"].shape[1:3]), (len(draws), 1))
        begun[BEGUN] = replace(begun[BEGUN], corners=self.pipeline.corners(sizes, draws))
        plan = self.pipeline.plan(sizes, drawn_by, group)
        return self.pipeline.finish(to_device(begun, device)), drawn(plan.actions, len(draws), self.names)

    def make(self, gt: np.ndarray, draw: Draw) -> dict[str, np.ndarray]:
        """Return 'lq' and 'gt', as the pipeline of a dataset does, and note the steps."""
        variants = None if self.notes.variant is None else [self.notes.variant]
        batch = {"gt": torch.from_numpy(np.array(gt))[None]}
        images, steps = self.run(batch, [draw], 1, variants, torch.device("cpu"))
        self.notes.steps += steps[0]
        return {name: to_image(images[name]) for name in ("lq", "gt")}
