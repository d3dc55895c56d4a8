"""Metrics and what they compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srtoolbox.interfaces import needs_target
from srtoolbox.registry import METRICS

NO_TRUTH = "left out: no set has the truth to compare with"


def is_possible(metric: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> bool:
    """True if a metric (as config) can judge any of the sets: it needs no truth, or one has it."""
    has_truth = any(dataset["type"] != "FolderDataset" for dataset in sets.values())
    return has_truth or not needs_target(METRICS.class_of(metric))
