"""Sets without truth: metrics that compare with it have nothing to score there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srtoolbox.check.faults import Report
from srtoolbox.interfaces import has_truth, needs_target
from srtoolbox.registry import DATASETS, METRICS


def gives_truth(dataset: object) -> bool:
    """True if the config of a dataset describes one that has GT, or may have."""
    inner = dataset.get("datasets") if isinstance(dataset, Mapping) else None
    if inner:
        return any(gives_truth(each) for each in (inner.values() if isinstance(inner, Mapping) else inner))
    return has_truth(DATASETS.class_of(dataset))


def check_truth(report: Report) -> None:
    """Report metrics of a part whose sets all lack what they compare with.

    Only of `data.val` and `data.test` by themselves: sets that a command line puts in the place of
    others keep the metrics of those.
    """
    data = report.config.get("data")
    for name in ("val", "test"):
        part = data.get(name) if isinstance(data, Mapping) else None
        if isinstance(part, Mapping):
            _check_part(report, f"data.{name}", part)


def _check_part(report: Report, path: str, part: Mapping[str, Any]) -> None:
    sets, metrics = part.get("datasets"), part.get("metrics")
    if not isinstance(sets, Mapping) or not isinstance(metrics, Mapping) or not sets:
        return
    if any(gives_truth(dataset) for dataset in sets.values()):
        return
    known = [name for name in METRICS if not needs_target(METRICS.get(name))]
    for name, metric in metrics.items():
        place, entry = f"{path}.metrics.{name}", METRICS.class_of(metric)
        if needs_target(entry) and entry is not object and report.is_clean(place):
            fault = f"{metric['type']} compares with the truth, which no set of {path} has ({', '.join(sets)})"
            report.add(place, f"{fault}. These judge an image alone: {', '.join(known)}", key="type")
