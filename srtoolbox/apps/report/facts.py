"""What a report says of its origin: which networks, files, sets, metrics and versions; and the scores' notation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from srtoolbox.metrics.base import Metric

Scores = dict[str, float]
Results = dict[str, dict[str, dict[str, Scores]]]
"""Network -> set -> image -> metric -> score."""

SECONDS = "seconds"
"""The upscaling time among the scores of an image."""


@dataclass(frozen=True)
class NetworkFacts:
    """One network of a report; `file`, `sha256` and `iteration` are None where it comes from no checkpoint."""

    title: str
    """What to call it."""
    kind: str
    """Its class."""
    parameters: int
    file: str | None = None
    sha256: str | None = None
    iteration: int | None = None
    averaged: bool = False
    """Whether the weights are an average over the training (EMA)."""


@dataclass(frozen=True)
class MetricFacts:
    """One metric: its class, the protocol in words, which direction is better (None: neither)."""

    kind: str
    protocol: str
    higher_is_better: bool | None
    crop_border: int
    y_channel: bool


@dataclass(frozen=True)
class RunFacts:
    """Everything a report states beside scores and images.

    `networks` by the name the results have; the first is the baseline. `scales` of the sets by name.
    """

    config: str
    overrides: list[str]
    device: str
    date: str
    versions: dict[str, str]
    networks: dict[str, NetworkFacts]
    metrics: dict[str, MetricFacts]
    scales: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def protocol_of(metric: Metric) -> MetricFacts:
    """A metric's protocol in words, as it stands under the heads of tables."""
    if not isinstance(metric, Metric):  # it sees what the network made, and nobody knows what it does with it
        unknown = f"{metric.protocol}: unclipped, by rules of its own"
        return MetricFacts(type(metric).__name__, unknown, metric.higher_is_better, crop_border=0, y_channel=False)
    if metric.protocol == "y_direct":
        measured = "y_direct: luma"
    else:
        measured = "rgb: luma" if metric.y_channel else "rgb: R, G, B"
    return MetricFacts(
        kind=type(metric).__name__,
        protocol=f"{measured}, border {metric.crop_border}",
        higher_is_better=metric.higher_is_better,
        crop_border=metric.crop_border,
        y_channel=metric.y_channel,
    )


def mean_scores(images: Mapping[str, Scores]) -> Scores:
    """Mean of each score over images."""
    first = next(iter(images.values()), {})
    return {metric: float(np.mean([scores[metric] for scores in images.values()])) for metric in first}


def shown(value: float) -> str:
    """A score for people: four decimals, three from 10 up."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    return f"{value:.{3 if abs(value) >= 10 else 4}f}".replace("-", "−")


def best_of(values: Mapping[str, float], higher_is_better: bool | None) -> set[str]:
    """The names of the best values: several where they are equal, none where nothing is better."""
    numbers = {name: value for name, value in values.items() if not math.isnan(value)}
    if higher_is_better is None or len(values) < 2 or not numbers:
        return set()
    best = (max if higher_is_better else min)(numbers.values())
    return {name for name, value in numbers.items() if value == best}
