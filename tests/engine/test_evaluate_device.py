"""Scoring on a GPU waits for it at the end alone, or for each image that somebody looks at: counted on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srtoolbox.engine.evaluate import EvaluatedImage, build_metrics, evaluate
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import DATASETS, NETWORKS
from tests.engine.stand_in import GPU, StandIn, Stream

METRICS = {"y": {"type": "PSNR"}, "direct": {"type": "PSNR", "protocol": "y_direct"}, "ssim": {"type": "SSIM"}}


class Event:
    """`torch.cuda.Event` that keeps time."""

    waits = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def synchronize(self) -> None:
        Event.waits += 1

    def elapsed_time(self, other: Event) -> float:
        return 250.0


@pytest.fixture
def scored(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, dict[str, int]]]:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    dataset = DATASETS.build({"type": "GTOnlyDataset", "gt": str(photo_folder), "scale": 3})
    torch.manual_seed(0)
    network = NETWORKS.build({"type": "ESPCN", "scale": 3, "colour": "y"})

    def scored(metrics: dict[str, Any], device: Any = GPU, **options: Any) -> tuple[Any, dict[str, int]]:
        if device != GPU:
            return evaluate(network, dataset, metrics, **options), {}
        with StandIn() as watch:
            evaluate(network, dataset, metrics, device=GPU)  # what is made once goes to the device
            watch.calls.clear()
            images = evaluate(network, dataset, metrics, device=GPU, **options)
        calls: dict[str, int] = {}
        for (name, _), times in watch.calls.items():
            calls[name] = calls.get(name, 0) + times
        return images, calls

    return scored


def test_scores_come_at_the_end(scored: Callable[..., tuple[Any, dict[str, int]]]) -> None:
    metrics = build_metrics(METRICS)
    expected, _ = scored(metrics, "cpu")
    images, calls = scored(metrics)
    assert calls == {".tolist()": 1} and len(images) == len(expected) == 6
    for name, row in images.items():
        assert row["seconds"] == 0.25
        assert all(row[key] == pytest.approx(expected[name][key], rel=1e-3) for key in METRICS), name


def test_who_looks_at_an_image_gets_its_scores(scored: Callable[..., tuple[Any, dict[str, int]]]) -> None:
    seen: list[EvaluatedImage] = []
    images, calls = scored(build_metrics(METRICS), on_picture=seen.append)
    assert calls == {".tolist()": 7}
    assert [image.scores for image in seen] == list(images.values())


def test_a_metric_that_waits_is_seen(scored: Callable[..., tuple[Any, dict[str, int]]]) -> None:
    class Waits(Metric):
        def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
            return torch.tensor([(pred - target).abs().mean().item()])

    _, calls = scored({"waits": Waits()})
    assert calls == {".item()": 6}
