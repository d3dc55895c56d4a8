"""Pipelines of degradations: their steps, and the data and the pool that go with them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report, joined
from srtoolbox.data.datasets.gt_only import CHANGES_LQ, pipeline_fault
from srtoolbox.data.datasets.paired import GIVES_LQ, GTDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.transforms.base import Transform
from srtoolbox.data.transforms.batch.base import BatchDegradation
from srtoolbox.data.transforms.batch.pipeline import NO_DEGRADATION, DegradationPipeline
from srtoolbox.errors import SrtoolboxError

TRAINING_SET = "data.train.dataset"
_STANDS_ALONE = "stands alone: it is the model's preprocess, or the pipeline of a GTOnlyDataset"
_TRIED = 64  # draws whose sizes are looked at
_SIDE = 64  # LQ pixels of the images that are planned for where the config says no size


def check_pipelines(report: Report, components: Sequence[Component]) -> None:
    """Check where pipelines stand, what their steps lead to, and the data of one of the model."""
    datasets = {component.path: component for component in components if component.kind == "dataset"}
    for component in components:
        if component.path == "model.preprocess" and _is_step(component):
            report.add(component.path, str(pipeline_fault(component.cfg)), key="type")
        if not issubclass(_class_of(component), DegradationPipeline):
            continue
        owner, _, key = component.path.rpartition(".")
        if component.path != "model.preprocess" and not (owner in datasets and key == "pipeline"):
            if report.is_clean(component.path):  # else it is a step, see `check_steps`
                report.add(component.path, f"{component.cfg['type']} {_STANDS_ALONE}", key="type")
            continue
        own = [datasets[owner]] if owner in datasets else _training_sets(datasets)
        for dataset in own:
            _check_dataset(report, dataset, components, is_models=owner not in datasets)
        _check_sizes(report, component, own)


def check_pool(report: Report) -> None:
    """Check that a pool of draws mixes something."""
    data, model = (report.config.get(key) for key in ("data", "model"))
    train = data.get("train") if isinstance(data, Mapping) else None
    pool, size = (train.get(key) if isinstance(train, Mapping) else None for key in ("pool", "batch_size"))
    if not isinstance(pool, int) or not isinstance(size, int):
        return
    preprocess = model.get("preprocess") if isinstance(model, Mapping) else None
    if pool <= size:
        fault = f"pool={pool} mixes nothing, a batch has {size} samples"
        report.add("data.train", f"{fault}: give it several times as many, or leave it out", key="pool")
    elif not isinstance(preprocess, Mapping) or preprocess.get("share") != "batch":
        fault = f"pool={pool} mixes what batches share, but model.preprocess has no share='batch': nothing is shared"
        report.warn("data.train", fault, key="pool")


def _training_sets(datasets: Mapping[str, Component]) -> list[Component]:
    return [each for path, each in datasets.items() if f"{path}.".startswith(f"{TRAINING_SET}.")]


def _check_dataset(report: Report, dataset: Component, components: Sequence[Component], *, is_models: bool) -> None:
    """Check that GT alone is read where a pipeline, the dataset's or the model's, makes LQ."""
    path, _, cfg, _ = dataset
    if is_models:
        kind = _class_of(dataset)
        if issubclass(kind, GTDataset) and not kind.makes_lq:
            report.add(path, GIVES_LQ, key="type")
        for key in ("degradations", "pipeline"):
            if cfg.get(key):
                report.add(path, f"{key} and model.preprocess both make LQ: take one of the two", key=key)
    for each in components:
        place = each.path.removeprefix(f"{path}.transforms.")
        is_transform = place != each.path and "steps" not in place.split(".")
        if is_transform and issubclass(_class_of(each), BatchDegradation):
            report.add(each.path, f"{each.cfg['type']} {CHANGES_LQ}", key="type")


def check_steps(report: Report, components: Sequence[Component]) -> None:
    """Check that only degradations of batches, and groups of them, are the steps of pipelines."""
    pipelines = [component for component in components if issubclass(_class_of(component), DegradationPipeline)]
    places = tuple(f"{pipeline.path}.{part}" for pipeline in pipelines for part in ("steps.", "sharpen"))
    for each in components:
        if each.path.startswith(places) and inspect.isclass(each.entry) and not _is_step(each):
            fault = _STANDS_ALONE if each in pipelines else NO_DEGRADATION
            report.add(each.path, f"{each.cfg['type']} {fault}", key="type")


def _check_sizes(report: Report, pipeline: Component, datasets: Sequence[Component]) -> None:
    """Check that GT is large enough, and that the steps end at the size of LQ."""
    path, _, cfg, entry = pipeline
    if not report.is_clean(path):
        return
    gt_size, least = cfg.get("gt_size"), cfg["scale"] * _SIDE
    sides = [size for each in datasets if isinstance(size := each.cfg.get("gt_size"), int) and size > 0]
    for each in datasets:
        size = each.cfg.get("gt_size")
        if isinstance(size, int) and isinstance(gt_size, int) and size < gt_size:
            report.add(each.path, f"gt_size is {size}, but {joined(path, 'gt_size')} is {gt_size}", key="gt_size")
    side = max(min(sides, default=least), gt_size or 0) // cfg["scale"] * cfg["scale"]
    arguments: dict[str, Any] = {key: value for key, value in cfg.items() if key != "type"}
    draws = [Draw(0, number, 0) for number in range(_TRIED)]
    try:
        entry(**arguments).plan(np.full((_TRIED, 2), side), draws, _TRIED)  # type: ignore[attr-defined]
    except SrtoolboxError as error:
        report.add(path, str(error), key="steps")
    except Exception as error:  # a plugin's
        report.add_failure(path, error)


def _is_step(component: Component) -> bool:
    """True for a degradation of batches, or a group of transforms."""
    kind = _class_of(component)
    return issubclass(kind, Transform) and kind.add_to is not Transform.add_to


def _class_of(component: Component) -> type:
    return component.entry if inspect.isclass(component.entry) else object
