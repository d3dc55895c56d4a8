"""Evaluation: sets, metrics, how often."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.counterpart import translate
from srtoolbox.apps.import_config.family.data import evaluation_sets
from srtoolbox.apps.import_config.family.project import Import
from srtoolbox.apps.import_config.names import set_name, slip_of
from srtoolbox.apps.import_config.options import Options
from srtoolbox.apps.import_config.truth import NO_TRUTH, is_possible

IGNORED = {
    "pbar": "a progress bar is there where a terminal is",
    "suffix": "tools/upscale.py has --suffix",
    "tile": "images that do not fit into memory are cut by themselves (docs/large_images.md)",
    "tile_size": "images that do not fit into memory are cut by themselves (docs/large_images.md)",
    "tile_overlap": "images that do not fit into memory are cut by themselves (docs/large_images.md)",
    "window_size": "sides are padded as the network needs it",
    "use_image": "as it is here",
    "use_chop": "images that do not fit into memory are cut by themselves (docs/large_images.md)",
    "rgb2bgr": "the order of channels is the network's own matter",
    "save_tb": "the log has images of the evaluation",
    "cal_score": "metrics say it",
}


def read_evaluation(job: Import) -> None:
    """Read the evaluation of a training: `datasets.val...` and `val`."""
    val = job.options.section("val")
    if val.take("val_enabled", True) is False:
        val.same("val_enabled", "no evaluation; data.val is left out")
        for name in val:
            val.same(name, "there is no evaluation")
        _leave_sets(job, "val", "there is no evaluation")
        return
    val.same("val_enabled", "data.val is there")
    datasets = evaluation_sets(job, "val", "data.val.datasets")
    if not datasets:
        for name in val:
            val.same(name, "there is no set to evaluate on")
        return
    job.draft.set("data.val.datasets", datasets)
    metrics = _metrics(job, val, "data.val.metrics", datasets)
    job.draft.set("data.val.metrics", metrics)
    if "val_freq" in val:
        job.draft.set("data.val.interval", val.number("val_freq", int, 0))
        val.mapped("val_freq", "data.val.interval", f"{job.draft.get('data.val.interval'):,}")
    if val.take("save_img", False):
        val.different(
            "save_img", "data.val", "the log keeps a few images of each evaluation; tools/test.py --out writes all"
        )
    val.same("save_img", "the log keeps a few images of each evaluation")
    _close(job, val)


def read_test(job: Import) -> None:
    """Read a file that only evaluates: `datasets.test_1` ... and `val`."""
    val = job.options.section("val")
    datasets = {
        **evaluation_sets(job, "test", "data.test.datasets"),
        **evaluation_sets(job, "val", "data.test.datasets"),
    }
    if not datasets:
        raise job.options.fault("datasets", "there is neither a training set nor one to test on")
    job.draft.set("data.test.datasets", datasets)
    job.draft.set("data.test.metrics", _metrics(job, val, "data.test.metrics", datasets))
    if val.take("save_img", False):
        val.different("save_img", "data.test", "tools/test.py --out FOLDER writes the images")
    val.same("save_img", "tools/test.py --out FOLDER writes the images")
    for name in ("val_freq", "val_enabled"):
        val.same(name, "an evaluation is made once")
    _close(job, val)


def _close(job: Import, val: Options) -> None:
    for name, why in IGNORED.items():
        val.same(name, why)
    val.close(f"{job.project.name}'s val")


def _leave_sets(job: Import, prefix: str, why: str) -> None:
    datasets = job.options.section("datasets")
    for key in datasets:
        if key.startswith(prefix):
            datasets.same(key, why)


def _metrics(job: Import, val: Options, part: str, sets: dict[str, Any]) -> dict[str, Any]:
    """Read `val.metrics` into our map of metrics."""
    if val.take("metrics_enabled", True) is False:
        val.same("metrics_enabled", "no metrics")
        for name in val.section("metrics"):
            val.section("metrics").same(name, "metrics are off")
        return {}
    val.same("metrics_enabled", "data.val.metrics are there")
    section = val.section("metrics")
    metrics: dict[str, Any] = {}
    for key in section:
        if key not in section:
            section.take(key)
            continue
        options = section.section(key)
        kind, table = str(options.peek("type", "")), job.project.metrics
        if kind.lower() not in table:
            for argument in options:
                options.take(argument)
            hint = slip_of(kind, table)
            options.lost("type", f"the metric {kind} has no counterpart here and is left out.{hint}", part)
            continue
        name = set_name(str(key), set(metrics))
        owner = f"{job.project.name}'s metric"
        metric = translate(options, table[kind.lower()], "metric", f"{part}.{name}", owner)
        if is_possible(metric, sets):
            metrics[name] = metric
        else:
            options.different("type", part, f"{kind} is {NO_TRUTH}")
    return metrics
