"""The contents of a report: the facts of its test, and what a page shows of each set."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from srtoolbox import __version__
from srtoolbox.apps.networks import baseline_of
from srtoolbox.config import Config
from srtoolbox.engine.evaluate import Scores
from srtoolbox.image.colour_shift import ColourShift
from srtoolbox.interfaces import Opaque, facts_of
from srtoolbox.io.files import sha256
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.metrics.base import Metric
from srtoolbox.plots.regions import Region
from srtoolbox.text import counted

Results = dict[str, dict[str, dict[str, Scores]]]
"""Network -> set -> image -> metric -> score."""
SECONDS = "seconds"
"""The upscaling time among the scores of an image."""


@dataclass(frozen=True)
class NetworkEntry:
    """One network of a report: its class, and its checkpoint, if it has one.

    It is averaged if its weights are a mean over the training (EMA).
    """

    title: str
    kind: str
    parameters: int
    file: str | None = None
    sha256: str | None = None
    iteration: int | None = None
    averaged: bool = False


@dataclass(frozen=True)
class MetricFacts:
    """One metric: its class, the protocol in words, which direction is better (None: neither)."""

    kind: str
    protocol: str
    higher_is_better: bool | None
    crop_border: int
    y_channel: bool
    is_perceptual: bool = False


@dataclass(frozen=True)
class RunFacts:
    """Everything a report states beside scores and images.

    `networks` have the names of the results, the baseline first, `scales` those of the sets.
    """

    config: str
    overrides: list[str]
    device: str
    date: str
    versions: dict[str, str]
    networks: dict[str, NetworkEntry]
    metrics: dict[str, MetricFacts]
    scales: dict[str, int]


def protocol_of(metric: Metric) -> MetricFacts:
    """Return a metric's facts, its protocol in words as under the heads of tables."""
    if not isinstance(metric, Metric):  # nobody knows what it does with outputs
        unknown = f"{metric.protocol}: unclipped, by rules of its own"
        return MetricFacts(type(metric).__name__, unknown, metric.higher_is_better, crop_border=0, y_channel=False)
    luma = "y_direct: luma" if metric.protocol == "y_direct" else "rgb: luma" if metric.y_channel else "rgb: R, G, B"
    protocol = f"{luma}, border {metric.crop_border}"
    kind, border, y_channel = type(metric).__name__, metric.crop_border, metric.y_channel
    return MetricFacts(kind, protocol, metric.higher_is_better, border, y_channel, metric.is_perceptual)


def run_facts(
    config: Config,
    overrides: Sequence[str],
    networks: Mapping[str, nn.Module],
    files: Mapping[str, str],
    datasets: Mapping[str, Any],
    metrics: Mapping[str, Any],
    device: torch.device,
) -> RunFacts:
    """Return the facts of one test.

    Args:
        config: its config.
        overrides: what was changed in it on the command line.
        networks: by the names their scores have.
        files: the checkpoints of those that come from one.
        datasets, metrics: by name.
        device: where the networks ran.
    """
    scale = facts_of(next(iter(networks.values()))).scale
    return RunFacts(
        config=str(config.filename),
        overrides=list(overrides),
        device=f"cpu, {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device),
        date=datetime.datetime.now().astimezone().isoformat(" ", "minutes"),
        versions={"srtoolbox": __version__, "torch": torch.__version__},
        networks={
            name: network_facts(title_of(name, network, len(networks)), network, files.get(name))
            for name, network in networks.items()
        },
        metrics={name: protocol_of(metric) for name, metric in metrics.items()},
        scales={name: dataset.scale or scale for name, dataset in datasets.items()},
    )


def title_of(name: str, network: nn.Module, count: int) -> str:
    """Return how pages and sheets of `count` networks call one: alone beside bicubic, by its class.

    ESPCN is better than best_set5_psnr; the class of ONNX files says nothing.
    """
    is_input = name == baseline_of(1)
    return name if count > 2 or is_input or isinstance(network, Opaque) else type(network).__name__


def network_facts(title: str, network: nn.Module, file: str | None) -> NetworkEntry:
    """Return what one network is and where its weights are from."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    parameters = network.parameter_count if isinstance(network, Opaque) else parameters
    facts = NetworkEntry(title, type(network).__name__, parameters)
    if file is None:
        return facts
    state = {} if isinstance(network, Opaque) else load_tensors(file)
    iteration, weights = state.get("iter"), state.get("networks")
    return replace(
        facts,
        file=Path(file).as_posix(),
        sha256=sha256(file),
        iteration=iteration if isinstance(iteration, int) else None,
        averaged=isinstance(weights, dict) and "generator_ema" in weights,
    )


# ---- what a page shows

INPUT, TRUTH = " input", " truth"
"""Versions of an image beside those of networks, whose names do not begin with a space."""


class ImageEntry(NamedTuple):
    """An image in its versions; `files` and `captions` by version, files relative to the page."""

    name: str
    height: int
    width: int
    files: dict[str, str]
    captions: dict[str, str]


class CropEntry(NamedTuple):
    """A part of an image by number; its cells are (version, file, error map, PSNR), or None."""

    image: int
    region: Region
    cells: list[tuple[str, str, str | None, float | None]]


@dataclass
class PageSet:
    """One set; `sources` holds the titles of the versions; `metric`, by which images are chosen, is
    None where none is scored. `plane` is the file of its perception-distortion plane, with its
    width and height, where there is one.
    """

    name: str
    scale: int
    count: int
    metric: str | None
    sources: dict[str, str]
    images: list[ImageEntry]
    crops: dict[str, list[CropEntry]] = field(default_factory=dict)
    plane: tuple[str, int, int] | None = None
    shifts: dict[str, ColourShift] = field(default_factory=dict)
    """Of the colours from the inputs, the mean over `images`, by network."""
    shifted: dict[str, int] = field(default_factory=dict)
    """The number of `images` whose shift can be seen, by network."""

    @property
    def has_truth(self) -> bool:
        """True if the versions are compared with the truth."""
        return TRUTH in self.sources
