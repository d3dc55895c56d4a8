"""Images of one size are replayed: when a graph is made, and when it must not be believed, with one that is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.image import Picture
from srtoolbox.inference.picture import upscale_picture
from srtoolbox.inference.replay import WARM_UPS, Replays, Upscaled, graphs_for
from srtoolbox.inference.upscaler import Upscaler
from tests.engine.stand_in import StandIn
from tests.inference.test_no_waiting import Event, Planted, network, on_stand_in


class Recorded:
    """Keeps the work and its first result; a replay does the work again, into that result."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def capture(self, work: Callable[[], Upscaled]) -> tuple[Upscaled, Callable[[], None]]:
        self.captures += 1
        result = work()

        def replay() -> None:
            self.replays += 1
            for target, source in zip(result, work(), strict=True):
                target.copy_(source)

        return result, replay


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> tuple[Upscaler, Recorded]:
    return replayed(Upscaler(network("y")), monkeypatch)


def replayed(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> tuple[Upscaler, Recorded]:
    graphs = Recorded()
    upscaler._run.replays = {channels: Replays(graphs) for channels in (1, 3)}
    return on_stand_in(upscaler, monkeypatch), graphs


def frames(photo: np.ndarray, count: int, height: int = 20) -> list[np.ndarray]:
    return [np.ascontiguousarray(photo[top : top + height, :30]) for top in range(count)]


def run(upscaler: Upscaler, images: list[np.ndarray]) -> list[np.ndarray]:
    with StandIn():
        return [upscaler(image) for image in images]


class Idle(Recorded):
    """Records nothing, as where the work goes to a stream that is not captured."""

    def capture(self, work: Callable[[], Upscaled]) -> tuple[Upscaled, Callable[[], None]]:
        return work(), lambda: None


def test_a_graph_that_does_nothing_is_not_believed(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler = on_stand_in(Upscaler(network("y")), monkeypatch)
    upscaler._run.replays = {1: Replays(Idle()), 3: Replays(Idle())}
    images = frames(photo, WARM_UPS + 3)
    expected = [Upscaler(network("y"))(image) for image in images]
    results = run(upscaler, images)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(results, expected, strict=True))


def test_frames_of_one_size_are_replayed_and_each_is_its_own(
    recorded: tuple[Upscaler, Recorded], photo: np.ndarray
) -> None:
    upscaler, graphs = recorded
    images = frames(photo, WARM_UPS + 4)
    expected = [Upscaler(network("y"))(image) for image in images]
    results = run(upscaler, images)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(results, expected, strict=True))
    assert (graphs.captures, graphs.replays) == (1, 4)
    run(upscaler, frames(photo, WARM_UPS, height=24))
    assert graphs.captures == 1, "another size is warmed up first"
    run(upscaler, images[: WARM_UPS + 1])
    assert graphs.captures == 2, "and the graph of the first size has been given up for it"


def test_a_replayed_frame_waits_once(
    recorded: tuple[Upscaler, Recorded], photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    upscaler, graphs = recorded
    images = frames(photo, WARM_UPS + 3)
    run(upscaler, images[: WARM_UPS + 1])
    Event.waits = 0
    with StandIn() as watch:
        for image in images[-2:]:
            upscaler(image)
    assert (dict(watch.calls), Event.waits, graphs.replays) == ({}, 2, 3)


def test_other_weights_are_captured_anew(recorded: tuple[Upscaler, Recorded], photo: np.ndarray) -> None:
    upscaler, graphs = recorded
    images = frames(photo, WARM_UPS + 1)
    run(upscaler, images)
    parameter = next(upscaler._run.network.parameters())
    parameter.data = parameter.data.clone()
    run(upscaler, images)
    assert graphs.captures == 2


@pytest.mark.parametrize("way", ["it waits", "it changes"])
def test_what_a_graph_cannot_hold_goes_on_by_operators(
    way: str, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[None] = []

    class Odd(Planted):
        """Each result is brighter than the last one."""

        def forward(self, lq: Any) -> Any:
            calls.append(None)
            return super().forward(lq) + (len(calls) * 0.1 if way == "it changes" else 0)

    def refuse(work: Callable[[], Upscaled]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nat ...")

    upscaler, graphs = replayed(Upscaler(network(kind=Odd)), monkeypatch)
    if way == "it waits":
        monkeypatch.setattr(graphs, "capture", refuse)
    images = frames(photo, WARM_UPS + 3)
    expected = Upscaler(network())(images[-1])
    with caplog.at_level("INFO", "srtoolbox"):
        results = run(upscaler, images)
    told = [record.getMessage() for record in caplog.records if "a graph cannot hold" in record.getMessage()]
    assert len(told) == 1 and ("not permitted" if way == "it waits" else "not those") in told[0]
    assert upscaler._run.replays[3].graphs is None
    if way == "it waits":
        assert np.abs(results[-1].astype(int) - expected).max() <= 1


def test_tiles_wraps_and_other_scales_have_no_graph(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({"tile": 16}, {"wrap": "x"}, {"outscale": 2}):
        upscaler, graphs = replayed(Upscaler(network(), **options), monkeypatch)
        expected = Upscaler(network(), **options)(photo[:20, :30])
        results = run(upscaler, [photo[:20, :30]] * (WARM_UPS + 2))
        assert np.abs(results[-1].astype(int) - expected).max() <= 1 and not graphs.captures


def test_colours_and_transparency_have_a_graph_each(recorded: tuple[Upscaler, Recorded], photo: np.ndarray) -> None:
    upscaler, graphs = recorded
    image = Picture(photo[:20, :30], np.ascontiguousarray(photo[20:40, :30, :1]))
    expected = upscale_picture(Upscaler(network("y")), image)
    with StandIn():
        results = [upscale_picture(upscaler, image) for _ in range(WARM_UPS + 2)]
    assert (graphs.captures, graphs.replays) == (2, 4)
    for result in results:
        assert np.abs(result.pixels.astype(int) - expected.pixels).max() <= 1
        assert result.alpha is not None and np.abs(result.alpha.astype(int) - expected.alpha).max() <= 1


def test_the_cpu_has_no_graphs() -> None:
    assert graphs_for(torch.device("cpu")) is None
