"""A metric of one's own scores what the report says it scores, and what it returns is checked."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.apps.report.contents import protocol_of
from srtoolbox.engine.evaluate import score
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.image import rgb_to_y, to_tensor
from srtoolbox.inference.restore import Restored
from srtoolbox.metrics.base import Metric
from srtoolbox.metrics.psnr import PSNR


class OwnPSNR(Metric):
    """As one writes it who reads the docs: the peak is 1."""

    higher_is_better = True

    def score(self, pred: Tensor, target: Tensor) -> Tensor:
        self.seen = pred
        return -10 * (pred - target).square().flatten(1).mean(1).log10()


class OwnContrast(Metric):
    """Judges an image alone, as the docs say."""

    higher_is_better = None
    needs_target = False

    def score(self, pred: Tensor) -> Tensor:
        return pred.flatten(1).std(1)


@pytest.fixture(scope="module")
def pair(photo: np.ndarray) -> tuple[Tensor, Tensor]:
    """What a network makes, neither clipped nor rounded, and two truths."""
    target = torch.cat([to_tensor(photo[:60, :72]), to_tensor(photo[90:150, 120:192])])
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return target * 1.3 - 0.1 + 0.05 * noise, target


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "rgb: luma, border 4"),
        ({"y_channel": False}, "rgb: R, G, B, border 4"),
        ({"protocol": "y_direct"}, "y_direct: luma, border 4"),
    ],
)
def test_it_gets_the_planes_that_the_report_names(
    pair: tuple[Tensor, Tensor], options: dict[str, object], label: str
) -> None:
    own, ours = OwnPSNR(4, **options), PSNR(4, **options)
    images = [rgb_to_y(image) for image in pair] if "protocol" in options else pair
    np.testing.assert_allclose(own(*images), ours(*images), rtol=0, atol=1e-4)
    assert protocol_of(own).protocol == label
    channels, levels = own.seen.shape[1], own.seen * 255
    assert channels == (3 if options == {"y_channel": False} else 1) and own.seen.dtype == torch.float32
    assert levels.min() >= (0 if channels == 3 or "protocol" in options else 16) and levels.max() <= 255
    if options:  # luma of RGB as saved is not rounded once more
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_levels_are_scored_as_floats_are(pair: tuple[Tensor, Tensor]) -> None:
    levels = [image.mul(255).round().clamp(0, 255).byte() for image in pair]
    assert torch.equal(OwnPSNR(2)(*levels), OwnPSNR(2)(*pair))


@pytest.mark.parametrize(
    ("result", "got"),
    [
        (lambda square: square.mean(), "a tensor () for 2 images"),
        (lambda square: square.mean((2, 3)), "a tensor (2, 1) for 2 images"),
        (lambda square: square, "a tensor (2, 1, 60, 72) for 2 images"),
        (lambda square: float(square.mean()), "a float for 2 images"),
        (lambda square: [0.0, 1.0], "a list for 2 images"),
    ],
)
def test_what_is_no_number_per_image_is_refused(pair: tuple[Tensor, Tensor], result: object, got: str) -> None:
    metric = OwnPSNR()
    metric.score = lambda pred, target: result((pred - target).square())
    with pytest.raises(SrtoolboxError, match=re.escape(f"OwnPSNR.score returned {got}: return a tensor (2,)")):
        metric(*pair)


def test_scores_are_float64_whatever_the_metric_returns(pair: tuple[Tensor, Tensor]) -> None:
    metric = OwnPSNR()
    metric.score = lambda pred, target: pred.flatten(1).amax(1) > 0.5
    assert metric(*pair).tolist() == [1.0, 1.0] and metric(*pair).dtype == torch.float64


def test_a_metric_without_a_score_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match=r"Unfinished: it lacks score\(pred, target\) -> \(N,\)"):
        type("Unfinished", (Metric,), {"higher_is_better": True})()


def test_a_score_written_over_another_metrics_counts(pair: tuple[Tensor, Tensor]) -> None:
    class LowestPSNR(PSNR):
        def score(self, pred: Tensor, target: Tensor) -> Tensor:
            return -10 * (pred - target).square().flatten(1).amax(1).log10()

    class Renamed(LowestPSNR):
        pass

    inner = (image[..., 4:-4, 4:-4] for image in pair)
    square = torch.sub(*(OwnPSNR(4).planes(image, torch.float32) / 255 for image in inner)).square()
    for metric in (LowestPSNR(4), Renamed(4)):
        np.testing.assert_allclose(metric(*pair), -10 * square.flatten(1).amax(1).log10(), rtol=0, atol=1e-4)


class FromNothing:
    """Derives from no class of ours, which is allowed: it sees the network's output as it is."""

    higher_is_better, protocol = None, "rgb"

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        return (pred - target).flatten(1).amax(1)


def test_a_metric_that_derives_from_nothing_is_labelled_so_and_checked(pair: tuple[Tensor, Tensor]) -> None:
    assert protocol_of(FromNothing()).protocol == "rgb: unclipped, by rules of its own"
    rgb, gt = (image[:1] for image in pair)
    assert score(Restored(rgb, rgb), gt, {"most": FromNothing()})["most"] == pytest.approx(float((rgb - gt).amax()))
    several = {"most": type("Several", (FromNothing,), {"__call__": lambda self, pred, target: pred - target})()}
    with pytest.raises(SrtoolboxError, match=r"metric 'most' returns one number per image.*\(1, 3, 60, 72\)"):
        score(Restored(rgb, rgb), gt, several)


def test_one_that_needs_no_target_gets_the_plane_alone(pair: tuple[Tensor, Tensor]) -> None:
    expected = (rgb_to_y((pair[0].clamp(0, 1) * 255).round() / 255)[..., 4:-4, 4:-4]).flatten(1).std(1).double()
    for scores in (OwnContrast(4)(pair[0]), OwnContrast(4)(*pair)):
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=0)
    restored = Restored(pair[0][:1], pair[0][:1])
    assert score(restored, None, {"own": OwnContrast(4)})["own"] == pytest.approx(expected[0].item(), rel=1e-4)
