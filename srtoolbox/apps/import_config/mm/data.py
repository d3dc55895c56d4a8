"""Datasets, loaders and evaluation."""

from __future__ import annotations

import posixpath
from typing import Any

from srtoolbox.apps.import_config.counterpart import translate
from srtoolbox.apps.import_config.degrading import put_steps
from srtoolbox.apps.import_config.draft import Draft, Expression
from srtoolbox.apps.import_config.mm.pipeline import Pipeline, read_pipeline
from srtoolbox.apps.import_config.names import set_name, slip_of
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.projects.mmagic import METRICS

PAIRED = ("basicimagedataset", "srannotationdataset", "srfolderdataset", "srlmdbdataset", "srfoldergtdataset")
LOADER = "how batches are loaded, not what is in them (docs/data.md)"
LOADING = ("drop_last", "persistent_workers", "pin_memory", "sampler", "collate_fn", "timeout", "prefetch_factor")


def read_dataset(options: Options, target: str, draft: Draft) -> tuple[dict[str, Any], Pipeline]:
    """Return our dataset, and what its pipeline comes to.

    Raises:
        ConfigError: its class is for video or another task, or its folders are missing.
    """
    kind = str(options.take("type", ""))
    if kind.lower() == "repeatdataset":
        options.same("type", "samples are drawn without end")
        options.same("times", "samples are drawn without end")
        return read_dataset(options.section("dataset"), target, draft)
    if kind.lower() not in PAIRED:
        raise options.fault("type", f"the dataset {kind!r} has no counterpart here.{slip_of(kind, PAIRED)}")
    pipeline = read_pipeline(options, target)
    gt, lq = _folders(options, target)
    dataset: dict[str, Any]
    if "lq" not in pipeline.reads or (lq == gt and draft.get("scale") == 1):
        dataset = {"type": "GTOnlyDataset", "gt": gt}
    elif "gt" not in pipeline.reads:
        dataset = {"type": "FolderDataset", "lq": lq}
    else:
        dataset = {"type": "PairedDataset", "gt": gt, "lq": lq}
    for ours in ("gt", "lq"):
        if ours in dataset and dataset[ours] is None:
            raise options.fault("data_prefix", f"the folder of {ours} is missing")
    options.mapped("type", f"{target}.type", repr(dataset["type"]))
    if dataset["type"] != "FolderDataset":
        dataset["scale"] = Expression("scale")
    _read_names(options, dataset, target)
    if pipeline.degradations:
        dataset["degradations"] = pipeline.degradations
    options.close("the dataset")
    return dataset, pipeline


def _folders(options: Options, target: str) -> tuple[str | None, str | None]:
    """Return the folders of GT and LQ, and note what they were made of."""
    root = str(options.take("data_root", ""))
    prefix = options.section("data_prefix")
    names = {"gt": options.take("gt_folder"), "lq": options.take("lq_folder")}
    for theirs, ours in (("gt", "gt"), ("img", "lq"), ("lq", "lq")):
        if theirs in prefix:
            names[ours] = posixpath.join(root, str(prefix.take(theirs))).rstrip("/")
            prefix.mapped(theirs, f"{target}.{ours}", repr(names[ours]))
    for theirs, ours in (("gt_folder", "gt"), ("lq_folder", "lq")):
        if theirs in options:
            options.mapped(theirs, f"{target}.{ours}", repr(names[ours]))
    options.same("data_root", "joined with data_prefix")
    prefix.close("data_prefix")
    return names["gt"], names["lq"]


def _read_names(options: Options, dataset: dict[str, Any], target: str) -> None:
    listed = options.take("ann_file")
    if listed:
        options.different("ann_file", f"{target}.gt", f"all images in the folder are taken, not the list in {listed}")
    options.same("ann_file", "all images of the folder")
    template = options.peek("filename_tmpl", "{}")
    if isinstance(template, dict):
        names = options.section("filename_tmpl")
        theirs = names.first("img", "lq")
        template = names.take(theirs, "{}")
        names.same(theirs, "GT and LQ have the same names")
        names.same("gt", "GT and LQ have the same names")
    options.take("filename_tmpl")
    if template != "{}" and dataset["type"] == "PairedDataset":
        dataset["lq_name"] = str(template)
        options.mapped("filename_tmpl", f"{target}.lq_name", repr(template))
    elif not isinstance(options.peek("filename_tmpl"), dict):
        options.same("filename_tmpl", "GT and LQ have the same names")
    for name in ("metainfo", "search_key", "backend_args", "file_client_args", "img_suffix", "recursive", "depth"):
        options.same(name, "all images of the folder, of any suffix")
    for name in ("scale", "test_mode", "repeat", "serialize_data", "max_refetch", "indices", "lazy_init"):
        options.same(name, "as the config has it")


def read_loader(loader: Options, dataset_key: str, draft: Draft) -> None:
    """Read a training's loader: batch size, workers, dataset."""
    for name in ("batch_size", "samples_per_gpu"):
        if name in loader:
            draft.set("data.train.batch_size", loader.number(name, int, 1))
            loader.mapped(name, "data.train.batch_size", f"{draft.get('data.train.batch_size')}, of each process")
    for name in ("num_workers", "workers_per_gpu"):
        if name in loader:
            draft.set("data.train.workers", loader.number(name, int, 0))
            loader.mapped(name, "data.train.workers", f"{draft.get('data.train.workers')}")
    for name in LOADING:
        loader.same(name, LOADER)


def training_set(options: Options, draft: Draft) -> None:
    """Put the training set into the draft."""
    target = "data.train.dataset"
    dataset, pipeline = read_dataset(options, target, draft)
    if pipeline.gt_size:
        dataset["gt_size"] = pipeline.gt_size
    if pipeline.steps and dataset["type"] == "GTOnlyDataset":
        dataset["gt_size"] = max(pipeline.early_size, pipeline.gt_size)
        dataset["small"] = "reflect"
        _put_preprocess(pipeline, draft)
    if pipeline.transforms:
        dataset["transforms"] = pipeline.transforms
    draft.set(target, dataset)


def _put_preprocess(pipeline: Pipeline, draft: Draft) -> None:
    """Put what makes LQ of GT into the model; what is sharpened is what LQ is made of, there as here."""
    preprocess: dict[str, Any] = {"type": "DegradationPipeline", "scale": Expression("scale")}
    if pipeline.gt_size and pipeline.early_size > pipeline.gt_size:
        preprocess["gt_size"] = pipeline.gt_size
    if pipeline.sharpen is not None:
        preprocess["sharpen"] = pipeline.sharpen
    put_steps(draft, pipeline.steps)
    draft.set("model.preprocess", {**preprocess, "steps": Expression("steps")})


def evaluation_sets(datasets: list[Options], part: str, draft: Draft) -> dict[str, Any]:
    """Return our map of the sets that are evaluated."""
    found: dict[str, Any] = {}
    for options in datasets:
        info = options.peek("metainfo")
        name = str(info.get("dataset_type", "")) if isinstance(info, dict) else ""
        place = set_name(name or _folder_name(options), set(found))
        found[place], _pipeline = read_dataset(options, f"{part}.datasets.{place}", draft)
    return found


def _folder_name(options: Options) -> str:
    folder = str(options.peek("gt_folder", options.peek("data_root", options.peek("lq_folder", "set"))))
    names = [name for name in folder.replace("\\", "/").split("/") if name not in ("", ".", "data", "datasets")]
    return names[0].removeprefix("val_") if names else "set"


def read_metrics(entries: list[Options], target: str) -> dict[str, Any]:
    """Return our map of metrics; the same one for several sets once."""
    metrics: dict[str, Any] = {}
    for options in entries:
        kind = str(options.peek("type", ""))
        if kind.lower() not in METRICS:
            options.ignore()
            hint = slip_of(kind, METRICS)
            options.lost("type", f"the metric {kind} has no counterpart here and is left out.{hint}", target)
            continue
        name = kind.lower()
        metric = translate(options, METRICS[name], "metric", f"{target}.{name}", "the metric")
        if metric not in metrics.values():
            metrics[set_name(name, set(metrics))] = metric
    return metrics
