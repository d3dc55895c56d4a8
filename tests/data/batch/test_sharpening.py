"""Sharpening: as published, against a transcription; halos of what was drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, correlate1d

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import Images, Plan, stack
from srtoolbox.data.transforms.batch.sharpening import SharpeningHalo, USMSharpening
from srtoolbox.errors import ConfigError


def gaussian_taps(side: int, sigma: float) -> np.ndarray:
    taps = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    return taps / taps.sum()


def usm(image: np.ndarray, weight: float, side: int, sigma: float, threshold: float) -> np.ndarray:
    """The published procedure in float64, planes (C, H, W)."""
    kernel = np.outer(gaussian_taps(side, sigma), gaussian_taps(side, sigma))[None]
    difference = image - correlate(image, kernel, mode="mirror")
    soft_mask = correlate((np.abs(difference) * 255 > threshold).astype(np.float64), kernel, mode="mirror")
    sharp = np.clip(image + weight * difference, 0, 1)
    return soft_mask * sharp + (1 - soft_mask) * image


def test_usm_is_the_published_procedure(photo: np.ndarray) -> None:
    whole = torch.from_numpy(photo[..., :1].transpose(2, 0, 1).copy()).float() / 255
    whole = ((whole - 0.5) * 3 + 0.5).clamp(0, 1)  # so that there is something to clip
    images = stack([whole[:, :70, :50], whole[:, 30:90, 40:110], whole[:, :20, :20]])
    for step, values in [(USMSharpening(), (0.5, 51, 8.0, 10)), (USMSharpening(1.5, 15, 2), (1.5, 15, 2.6, 2))]:
        looped, batched = (step.apply(Images(images.pixels, images.sizes, batched=way), {}) for way in (False, True))
        for image, *results in zip(images.each(), looped.each(), batched.each(), strict=True):
            expected = usm(image.double().numpy(), *values)
            assert all(np.abs(sharpened.numpy() - expected).max() < 2e-6 for sharpened in results)
            assert np.abs(expected - image.numpy()).max() > 0.02


@pytest.mark.parametrize("batched", [False, True])
def test_usm_stays_between_black_and_white(batched: bool) -> None:
    """Also by a rounding error, where the mask is 1 throughout."""
    checks = torch.tensor([[0.1, 0.9], [0.9, 0.1]]).repeat(30, 30)[None, None]
    result = USMSharpening().apply(Images(checks, batched=batched), {}).pixels
    assert result.aminmax() == (0, 1)


@pytest.mark.parametrize("batched", [False, True])
def test_halos_overshoot_by_what_was_drawn(batched: bool) -> None:
    step, count = SharpeningHalo(weight=(0.2, 2), sigma=(0.6, 3)), 6
    edges = torch.full((count, 1, 5, 40), 0.2)
    edges[..., 20:] = 0.8
    sizes = np.tile([5, 40], (count, 1))
    values = step.draw(Rngs(2, np.arange(count)), sizes, Plan(sizes, sizes))
    result = step.apply(Images(edges, batched=batched), values).pixels.numpy()
    assert values["weight"].min() >= 0.2 and values["weight"].max() <= 2 and values["sigma"].std() > 0.2
    for image, edge, weight, sigma in zip(result, edges.numpy(), values["weight"], values["sigma"], strict=True):
        blurred = correlate1d(edge[0, 0].astype(np.float64), gaussian_taps(25, sigma), mode="mirror")
        expected = edge[0, 0] + weight * (edge[0, 0] - blurred)
        assert np.abs(image[0] - np.clip(expected, 0, 1)).max() < 1e-5
        assert image.max() > 0.82
    assert result.max() == 1


@pytest.mark.parametrize(("name", "value"), [("weight", -1), ("threshold", -2), ("radius", 0)])
def test_impossible_arguments_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=name) as raised:
        USMSharpening(**{name: value})
    assert raised.value.faults[0].key == name
