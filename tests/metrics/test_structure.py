"""Gradient energy and colour drift against numpy, on real photographs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.color
import torch

from srtoolbox.config import Config
from srtoolbox.errors import ConfigError
from srtoolbox.image import to_tensor
from srtoolbox.image.pixels import gaussian_blur
from srtoolbox.registry import HOOKS, METRICS


@pytest.fixture(scope="module")
def pair(photo):
    """Two images HWC uint8, 123 x 250: blurred and noisy, and the photograph."""
    photo = photo[40:163, 60:310]
    rough = gaussian_blur(photo, 1.0) + np.random.default_rng(0).normal(0, 3, photo.shape) + [6, 0, -9]
    return np.clip(np.round(rough), 0, 255).astype(np.uint8), photo


def energy(planes: np.ndarray) -> float:
    return sum((np.diff(planes, axis=axis) ** 2).sum() for axis in (0, 1))


@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("y_channel", [True, False])
def test_gradient_energy_against_numpy(pair, border, y_channel):
    metric = METRICS.build({"type": "GradientEnergyRatio", "crop_border": border, "y_channel": y_channel})
    inner = [image[border : 123 - border, border : 250 - border] for image in pair]
    planes = [skimage.color.rgb2ycbcr(image)[..., 0] if y_channel else image.astype(np.float64) for image in inner]
    score = metric(*[to_tensor(image) for image in pair])
    assert score.shape == (1,) and score.dtype == torch.float64
    assert score.item() == pytest.approx(energy(planes[0]) / energy(planes[1]), rel=1e-5)


def test_gradient_energy_tells_blur_from_noise(photo):
    metric = METRICS.build({"type": "GradientEnergyRatio"})
    blurred = [metric(to_tensor(gaussian_blur(photo, sigma)), to_tensor(photo)).item() for sigma in (0.5, 1, 2)]
    assert 1 > blurred[0] > blurred[1] > blurred[2] > 0
    noisy = np.clip(photo + np.random.default_rng(0).normal(0, 10, photo.shape), 0, 255).round().astype(np.uint8)
    assert metric(to_tensor(noisy), to_tensor(photo)).item() > 1.5
    assert metric(to_tensor(photo), to_tensor(photo)).item() == 1


def test_gradient_energy_of_flat_images():
    metric = METRICS.build({"type": "GradientEnergyRatio"})
    flat, rough = torch.full((1, 3, 8, 8), 0.5), torch.rand(1, 3, 8, 8)
    assert metric(rough, flat).item() == math.inf
    assert math.isnan(metric(flat, flat).item())
    assert metric(flat, rough).item() == 0


def test_no_best_is_kept_by_a_score_without_direction(tiny_config):
    config = Config.fromfile(tiny_config).to_dict()
    config["data"]["val"]["metrics"]["energy"] = {"type": "GradientEnergyRatio"}
    hook = HOOKS.get("CheckpointHook")
    assert hook.check({"best": ["photos/psnr"]}, config) == []
    (fault,) = hook.check({"best": "photos/energy"}, config)
    assert "neither better higher nor better lower" in fault


def blocks(image: np.ndarray, size: int = 8) -> np.ndarray:
    """Means over blocks, those at the right and bottom smaller."""
    rows, columns = (range(0, side, size) for side in image.shape[:2])
    means = [[image[y : y + size, x : x + size].mean((0, 1)) for x in columns] for y in rows]
    return np.array(means)


@pytest.mark.parametrize("border", [0, 4])
def test_colour_drift_against_numpy(pair, border):
    metric = METRICS.build({"type": "ColourDrift", "crop_border": border})
    inner = [image[border : 123 - border, border : 250 - border] for image in pair]
    chroma = [blocks(skimage.color.rgb2ycbcr(image)[..., 1:]) for image in inner]
    score = metric(*[to_tensor(image) for image in pair])
    assert score.shape == (1,) and score.dtype == torch.float64
    assert score.item() == pytest.approx(np.abs(chroma[0] - chroma[1]).mean(), abs=1e-4)


def test_colour_drift_sees_tints_and_no_texture(photo):
    metric = METRICS.build({"type": "ColourDrift"})
    target = to_tensor(photo)
    checkers = np.indices(photo.shape[:2]).sum(0)[..., None] % 2 * 8 - 4
    textured = np.clip(photo.astype(int) + checkers * [1, 0, -1], 0, 255).astype(np.uint8)
    assert metric(to_tensor(textured), target).item() < 0.1
    # 10 levels of blue are 10 * 112 / 255 of Cb and 10 * 18.214 / 255 less of Cr
    middle = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    bluer = middle.clone()
    bluer[:, 2] += 10
    assert metric(bluer, middle).item() == pytest.approx(10 * (112 + 18.214) / 2 / 255, abs=1e-4)


@pytest.mark.parametrize("name", ["GradientEnergyRatio", "ColourDrift"])
def test_batches_levels_and_rounding(pair, name):
    metric = METRICS.build({"type": name})
    pred, target = (to_tensor(image) for image in pair)
    alone = metric(pred, target)
    batch = metric(torch.cat([pred, target]), torch.cat([target, target]))
    assert batch[0].item() == pytest.approx(alone.item(), rel=1e-6)
    levels = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in pair]
    assert metric(*levels).item() == pytest.approx(alone.item(), rel=1e-6)
    assert torch.equal(metric(pred + 0.3 / 255, target), alone)


def test_wrong_options():
    with pytest.raises(ConfigError, match="crop_border=-1"):
        METRICS.build({"type": "ColourDrift", "crop_border": -1})
    assert METRICS.get("GradientEnergyRatio").check({"protocol": "y_direct", "y_channel": False}, {})
