"""The way through a config of MMEditing or MMagic."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.draft import Draft
from srtoolbox.apps.import_config.mm.data import (
    evaluation_sets,
    read_loader,
    read_metrics,
    training_set,
)
from srtoolbox.apps.import_config.mm.model import read_model, scale_of
from srtoolbox.apps.import_config.mm.training import read_hooks, read_length, read_optimizers
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.projects.mmagic import TOP
from srtoolbox.apps.import_config.truth import NO_TRUTH, is_possible

BASE = "_base_/runtime.py"
KINDS = ("train", "val", "test")


def read(options: Options, used: frozenset[str]) -> Draft:
    """Return the config that a config of theirs becomes; its record says how.

    Args:
        options: the whole of it, bases merged in.
        used: the names at its top that its own expressions read.

    Raises:
        ConfigError: something without which there is no config is missing or has no counterpart.
    """
    draft = Draft()
    is_training = any(name in options for name in ("train_dataloader", "total_iters")) and _trains(options)
    if is_training:
        draft.set("_base_", [BASE])
    draft.set("scale", scale_of(options))
    if is_training:
        _read_training(options, draft)
    else:
        read_model(options, draft, is_training=False)
        for name in ("optim_wrapper", "optimizers", "optimizer", "param_scheduler", "lr_config", "default_hooks"):
            options.same(name, "the file trains nothing")
        for name in ("custom_hooks", "train_cfg", "load_from", "resume", "work_dir", "train_dataloader"):
            options.same(name, "the file trains nothing")
    _read_evaluation(options, draft, is_training)
    if is_training:
        read_hooks(options, draft)
    for key in ("runtime", "hooks"):
        if key in draft.values:
            draft.values[key] = draft.values.pop(key)
    _close(options, used)
    return draft


def _trains(options: Options) -> bool:
    return "total_iters" in options or isinstance(options.peek("train_dataloader"), dict)


def _read_training(options: Options, draft: Draft) -> None:
    for name in ("work_dir", "max_iters", "load_from"):
        draft.set(name, None)
    _read_paths(options, draft)
    read_length(options, draft)
    draft.set("runtime.amp", None)
    has_discriminator = read_model(options, draft, is_training=True)
    read_optimizers(options, draft, has_discriminator)
    data = options.section("data")
    if "train_dataloader" in options:
        loader = options.section("train_dataloader")
        training_set(loader.section("dataset"), draft)
        read_loader(loader, "dataset", draft)
        loader.close("train_dataloader")
    else:
        training_set(data.section("train"), draft)
        read_loader(data, "train", draft)
        loader = data.section("train_dataloader")
        read_loader(loader, "train", draft)
        loader.close("data.train_dataloader")
    for name in ("work_dir", "max_iters", "load_from"):
        if draft.values[name] is None:
            del draft.values[name]


def _read_paths(options: Options, draft: Draft) -> None:
    for name in ("experiment_name", "exp_name"):
        options.same(name, "part of work_dir")
    if "work_dir" in options:
        draft.set("work_dir", str(options.take("work_dir")).removeprefix("./"))
        options.mapped("work_dir", "work_dir", repr(draft.get("work_dir")))
    file = options.take("load_from")
    if file is not None:
        _load(options, "load_from", str(file), draft)
    if options.take("resume_from") is not None or options.take("resume", False) is not False:
        name = "resume_from" if "resume_from" in options else "resume"
        options.lost(name, "a run of another project cannot be gone on with; load_from takes the weights alone")
    options.same("resume", "tools/train.py CONFIG --resume")
    randomness = options.section("randomness")
    if "seed" in randomness:
        draft.set("seed", randomness.number("seed", int, 0))
        randomness.mapped("seed", "seed", f"{draft.get('seed')}")
    for name in randomness:
        randomness.same(name, "a run is repeatable by its seed")


def _load(options: Options, name: str, file: str, draft: Draft) -> None:
    if file.startswith(("http://", "https://")):
        local = "weights/" + file.rpartition("/")[2]
        draft.set("load_from", local)
        options.different(name, "load_from", f"nothing is downloaded: fetch {file} and put it there")
    else:
        draft.set("load_from", file)
        options.mapped(name, "load_from", repr(file))


def _read_evaluation(options: Options, draft: Draft, is_training: bool) -> None:
    """Read the sets and metrics of `val` and `test`."""
    data = options.section("data")
    for part in ("val", "test"):
        loaders = options.listed(f"{part}_dataloader") if f"{part}_dataloader" in options else []
        datasets = [loader.section("dataset") for loader in loaders]
        if part in data:
            datasets += [data.section(part)]
        target = f"data.{part}"
        if part == "val" and not is_training:
            for name in ("val_dataloader", "val_evaluator"):
                options.same(name, "the file trains nothing")
            for loader in loaders:
                loader.ignore()
            continue
        sets = evaluation_sets(datasets, target, draft)
        for loader in loaders:
            for name in loader:
                loader.same(name, "evaluation takes one image at a time")
        data.same(f"{part}_dataloader", "evaluation takes one image at a time")
        if not sets:
            continue
        draft.set(f"{target}.datasets", sets)
        metrics = _metrics(options, part, target)
        draft.set(f"{target}.metrics", {name: item for name, item in metrics.items() if is_possible(item, sets)})
        if len(draft.get(f"{target}.metrics")) < len(metrics):
            draft.comment(target, f"metrics that compare with the truth are {NO_TRUTH}")
    evaluation = options.section("evaluation")
    if is_training and "interval" in evaluation:
        draft.set("data.val.interval", evaluation.number("interval", int, 0))
        evaluation.mapped("interval", "data.val.interval", f"{draft.get('data.val.interval'):,}")
    for name in evaluation:
        evaluation.same(
            name, "the log keeps a few images of each evaluation, the best network is hooks.checkpoint.best"
        )
    interval = draft.values.pop("val_interval", None)  # of train_cfg
    if interval and draft.get("data.val.datasets"):
        draft.set("data.val.interval", interval)
    for name in data:
        data.same(name, "of the loaders above")


def _metrics(options: Options, part: str, target: str) -> dict[str, Any]:
    """Return our metrics of `val_evaluator`, or of `test_cfg` where MMEditing has them."""
    entries: list[Options] = []
    for evaluator in options.listed(f"{part}_evaluator"):
        entries += evaluator.listed("metrics") if "metrics" in evaluator else [evaluator]
        if "metrics" in evaluator:
            evaluator.same("type", "metrics say it")
    if entries:
        return read_metrics(entries, f"{target}.metrics")
    test = options.section("test_cfg")
    names = test.take("metrics", [])
    border = test.number("crop_border", int, 0)
    luma = str(test.take("convert_to", "")).lower() == "y"
    metrics: dict[str, Any] = {}
    for name in names if isinstance(names, list | tuple) else [names]:
        if name in ("PSNR", "SSIM"):
            metric: dict[str, Any] = {"type": name, "crop_border": border} if border else {"type": name}
            metrics[str(name).lower()] = metric if luma else {**metric, "y_channel": False}
        else:
            test.lost("metrics", f"the metric {name} has no counterpart here and is left out", f"{target}.metrics")
    for name in ("metrics", "crop_border", "convert_to"):
        if name in test:
            test.mapped(name, f"{target}.metrics", ", ".join(metrics))
    return metrics


def _close(options: Options, used: frozenset[str]) -> None:
    """Note what is left at the top: names of the file's own, and what nobody knows."""
    for name, why in TOP.items():
        options.same(name, why)
    test = options.section("test_cfg")
    for name in test:
        test.same(name, "data.test says it")
    for name in options:
        if name in used:
            options.same(name, "a name of the file's own, which it makes others of")
    options.close("MMagic's configs")
