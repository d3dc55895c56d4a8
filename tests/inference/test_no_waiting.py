"""Upscaling waits for a device once for an image, where its pixels come down: counted on the CPU, on a GPU's path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import Picture
from srtoolbox.inference.picture import upscale_picture
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.models.networks.espcn import ESPCN
from tests.engine.stand_in import GPU, StandIn, Stream


class Event:
    """`torch.cuda.Event`, which counts how often it is waited for."""

    waits = 0

    def synchronize(self) -> None:
        Event.waits += 1


class Planted(ESPCN):
    """A network as a plugin may have it."""

    call: Callable[[Tensor], Any] = staticmethod(lambda lq: None)

    def forward(self, lq: Tensor) -> Tensor:
        self.call(lq)
        return super().forward(lq)


class InfiniteInHalf(ESPCN):
    """A network whose values go beyond the range of half precision."""

    def forward(self, lq: Tensor) -> Tensor:
        return super().forward(lq) + (float("inf") if torch.is_autocast_enabled("cpu") else 0)


def network(colour: str = "rgb", kind: type[ESPCN] = ESPCN) -> ESPCN:
    torch.manual_seed(0)
    return kind(scale=3, colour=colour, kernels=[3, 3, 3], channels=[8, 4]).eval()


def on_stand_in(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> Upscaler:
    """Return the upscaler as it would be with its network on a GPU."""
    autocast = torch.autocast
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype=None, enabled=True: autocast("cpu", dtype, enabled))
    upscaler.device = GPU
    return upscaler


@pytest.mark.parametrize(
    ("colour", "options", "waits"),
    [
        ("rgb", {}, 1),
        ("y", {}, 1),
        ("rgb", {"dtype": "bf16", "ensemble": True}, 1),
        ("y", {"tile": 16, "batch": 2}, 2),  # rows of tiles
    ],
)
def test_nothing_waits_but_the_download(
    colour: str, options: dict[str, Any], waits: int, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo[:30, :40]
    expected = Upscaler(network(colour), **options)(image)
    upscaler = on_stand_in(Upscaler(network(colour), **options), monkeypatch)
    with StandIn() as watch:
        upscaler(image)  # the weights of an interpolation go to the device once
        watch.calls.clear()
        Event.waits = 0
        result = upscaler(image)
    assert (dict(watch.calls), Event.waits) == ({}, waits)
    assert np.abs(result.astype(int) - expected).max() <= (8 if "dtype" in options else 1)  # another order of sums


@pytest.mark.parametrize(
    ("options", "checks"),
    [({"outscale": 2.5}, 1), ({"tile": 16, "overlap": 4}, 2), ({"tile": 16, "overlap": 4, "outscale": 2.5}, 2)],
)
def test_cross_faded_and_resized_images_are_checked_once_for_a_row_of_tiles(
    options: dict[str, Any], checks: int, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo[:30, :40]
    expected = Upscaler(network(), **options)(image)
    upscaler = on_stand_in(Upscaler(network(), **options), monkeypatch)
    with StandIn() as watch:
        result = upscaler(image)
    assert sum(count for (name, _), count in watch.calls.items() if name == "bool()") == checks
    assert np.abs(result.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("options", [{"outscale": 2.5}, {"tile": 16, "overlap": 4}])
def test_a_row_of_tiles_that_is_not_finite_is_made_again(
    options: dict[str, Any], photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Upscaler(network(), **options)(photo[:30, :40])
    upscaler = on_stand_in(Upscaler(network(kind=InfiniteInHalf), dtype="bf16", **options), monkeypatch)
    with StandIn():
        assert np.abs(upscaler(photo[:30, :40]).astype(int) - expected).max() <= 1


PLANTED: dict[str, Callable[[Tensor], Any]] = {
    ".item()": lambda lq: lq.sum().item(),
    "bool()": lambda lq: bool(lq.sum() > 0),
    ".tolist()": lambda lq: lq[0, 0, 0].tolist(),
    ".cpu()": lambda lq: lq.cpu(),
    ".numpy()": lambda lq: lq.numpy(),
}


@pytest.mark.parametrize("call", PLANTED)
def test_one_call_that_waits_is_seen(call: str, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planted, "call", staticmethod(PLANTED[call]))
    upscaler = on_stand_in(Upscaler(network(kind=Planted)), monkeypatch)
    with StandIn() as watch:
        upscaler(photo[:20, :20])
    assert [name for name, _ in watch.calls] == [call]


def test_a_result_that_is_not_finite_is_made_again_and_then_refused(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bool] = []

    def overflow(lq: Tensor) -> None:
        seen.append(torch.is_autocast_enabled("cpu"))

    class Overflowing(Planted):
        call = staticmethod(overflow)

        def forward(self, lq: Tensor) -> Tensor:
            result = super().forward(lq)
            return result + float("inf") if seen[-1] else result

    expected = Upscaler(network())(photo[:20, :20])
    upscaler = on_stand_in(Upscaler(network(kind=Overflowing), dtype="bf16"), monkeypatch)
    with StandIn() as watch:
        assert np.abs(upscaler(photo[:20, :20]).astype(int) - expected).max() <= 1
    assert not watch.calls and seen == [True, True, False]
    ruined = network()
    with torch.no_grad():
        next(ruined.parameters()).fill_(float("nan"))
    upscaler = on_stand_in(Upscaler(ruined), monkeypatch)
    with StandIn(), pytest.raises(SrtoolboxError, match="not finite"):
        upscaler(photo[:20, :20])


def test_the_next_image_is_begun_before_one_is_waited_for(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(Planted, "call", staticmethod(lambda lq: events.append("begin")))
    monkeypatch.setattr(Event, "synchronize", lambda event: events.append("wait"))
    images = [np.ascontiguousarray(photo[top : top + 20, :20]) for top in (0, 30, 60)]
    expected = [Upscaler(network())(image) for image in images]
    upscaler = on_stand_in(Upscaler(network(kind=Planted)), monkeypatch)
    with StandIn():
        results = list(upscaler.each(images))
    assert events == ["begin", "begin", "wait", "begin", "wait", "wait"]
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(results, expected, strict=True))


def test_two_images_begun_in_a_precision_that_fails_both_come_in_float32(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [np.ascontiguousarray(photo[top : top + 20, :20]) for top in (0, 30, 60)]
    upscaler = on_stand_in(Upscaler(network(kind=InfiniteInHalf), dtype="bf16"), monkeypatch)
    with StandIn():
        results = list(upscaler.each(images))
    for image, result in zip(images, results, strict=True):
        assert np.abs(result.astype(int) - Upscaler(network())(image)).max() <= 1


def test_deep_and_transparent_images_come_down_as_they_are(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = photo[:20, :20].astype(np.uint16) * 257
    alpha = np.ascontiguousarray(photo[20:40, :20, :1])
    expected = upscale_picture(Upscaler(network()), Picture(deep, alpha.astype(np.uint16) * 257))
    upscaler = on_stand_in(Upscaler(network()), monkeypatch)
    Event.waits = 0
    with StandIn() as watch:
        result = upscale_picture(upscaler, Picture(deep, alpha.astype(np.uint16) * 257))
    assert (dict(watch.calls), Event.waits) == ({}, 2)  # of the colours and of the transparency
    assert result.pixels.dtype == np.uint16 and np.abs(result.pixels.astype(int) - expected.pixels).max() <= 2
    assert result.alpha is not None and np.abs(result.alpha.astype(int) - expected.alpha).max() <= 2
