"""PSNR, SSIM, MSE, MAE against scikit-image on real photographs, under both protocols."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.metrics
import torch

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.image import rgb_to_y, to_tensor
from srtoolbox.metrics import ssim
from srtoolbox.registry import METRICS

MATLAB_Y = np.array([65.481, 128.553, 24.966])


@pytest.fixture(scope="module")
def pair(photo):
    """Two images HWC uint8: photograph, and the same with noise."""
    noise = np.random.default_rng(0).normal(0, 8, photo.shape)
    return np.clip(np.round(photo + noise), 0, 255).astype(np.uint8), photo


def luma(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) / 255 @ MATLAB_Y + 16


def oracle(name: str, pred: np.ndarray, target: np.ndarray) -> float:
    """Of two float64 arrays HW or HWC in levels."""
    if name == "PSNR":
        return skimage.metrics.peak_signal_noise_ratio(target, pred, data_range=255)
    if name == "SSIM":
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        return skimage.metrics.structural_similarity(
            pred, target, **settings, channel_axis=-1 if pred.ndim == 3 else None
        )
    if name == "MSE":
        return skimage.metrics.mean_squared_error(pred, target)
    return float(np.abs(pred - target).mean())


TOLERANCE = {"PSNR": 2e-6, "SSIM": 1e-6, "MSE": 1e-4, "MAE": 1e-5}


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("y_channel", [True, False])
def test_rgb_protocol(pair, name, border, y_channel):
    metric = METRICS.build({"type": name, "crop_border": border, "y_channel": y_channel})
    inner = [image[border:-border, border:-border] if border else image for image in pair]
    expected = oracle(name, *[luma(i) if y_channel else i.astype(np.float64) for i in inner])
    score = metric(*[to_tensor(image) for image in pair])
    assert score.shape == (1,)
    assert score.dtype == torch.float64
    assert score.item() == pytest.approx(expected, abs=TOLERANCE[name])


@pytest.mark.parametrize("name", TOLERANCE)
def test_y_direct_protocol_rounds_both(pair, name):
    metric = METRICS.build({"type": name, "crop_border": 2, "protocol": "y_direct"})
    y = [rgb_to_y(to_tensor(image)) for image in pair]
    expected = oracle(name, *[np.round(luma(image))[2:-2, 2:-2] for image in pair])
    assert metric(*y).item() == pytest.approx(expected, abs=TOLERANCE[name])


@pytest.mark.parametrize("y_channel", [True, False])
def test_ssim_in_float64_is_exact(pair, y_channel):
    metric = METRICS.build({"type": "SSIM", "y_channel": y_channel, "dtype": "float64"})
    expected = oracle("SSIM", *[luma(i) if y_channel else i.astype(np.float64) for i in pair])
    assert metric(*[to_tensor(image) for image in pair]).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (75, 11), (139, 23)])
def test_ssim_of_images_around_the_band_and_window_size(pair, shape):
    pred, target = (image[: shape[0], : shape[1]] for image in pair)
    metric = METRICS.build({"type": "SSIM", "y_channel": False, "dtype": "float64"})
    expected = oracle("SSIM", pred.astype(np.float64), target.astype(np.float64))
    assert metric(to_tensor(pred), to_tensor(target)).item() == pytest.approx(expected, abs=1e-9)


def test_ssim_of_flat_images_keeps_its_digits():
    """Where the variance is far below the squared mean, float32 sums of squares lose it unless they are centred."""
    generator = torch.Generator().manual_seed(0)
    target = (250 + torch.randint(0, 3, (1, 3, 64, 64), generator=generator)) / 255
    pred = (250 + torch.randint(0, 3, (1, 3, 64, 64), generator=generator)) / 255
    single, double = (METRICS.build({"type": "SSIM", "y_channel": False, "dtype": d}) for d in ("float32", "float64"))
    assert single(pred, target).item() == pytest.approx(double(pred, target).item(), abs=2e-5)


@pytest.mark.parametrize("noise", [2, 8])
@pytest.mark.parametrize("low, high", [(0, 0), (255, 255), (0, 200), (0, 255)])
def test_ssim_in_float32_is_right_to_a_millionth_in_black_and_white(low, high, noise):
    target = np.full((200, 200), low, np.uint8)
    target[:, 120:] = high
    rough = target + np.random.default_rng(0).normal(0, noise, target.shape)
    pred = np.clip(np.round(rough), 0, 255).astype(np.uint8)
    metric = METRICS.build({"type": "SSIM", "y_channel": False})
    score = metric(*[torch.from_numpy(image).expand(1, 3, -1, -1) for image in (pred, target)])
    assert score.item() == pytest.approx(oracle("SSIM", pred.astype(np.float64), target.astype(np.float64)), abs=1e-6)


@pytest.mark.parametrize("name", list(TOLERANCE))
@pytest.mark.parametrize("protocol", ["rgb", "y_direct"])
def test_batches_score_every_image_alone(pair, name, protocol):
    metric = METRICS.build({"type": name, "protocol": protocol})
    pred, target = (to_tensor(image) for image in pair)
    if protocol == "y_direct":  # not in whole levels
        pred, target = rgb_to_y(pred), rgb_to_y(target)
    batch = metric(torch.cat([pred, target, pred.flip(-1)]), torch.cat([target, target, target.flip(-1)]))
    assert batch.shape == (3,)
    assert batch[0].item() == pytest.approx(metric(pred, target).item(), rel=1e-7)
    assert batch[2].item() == pytest.approx(batch[0].item(), rel=1e-5)


def test_identical_images(pair):
    image = to_tensor(pair[0])
    best = {"PSNR": math.inf, "SSIM": 1.0, "MSE": 0.0, "MAE": 0.0}
    for name, value in best.items():
        for y_channel in (True, False):
            assert METRICS.build({"type": name, "y_channel": y_channel})(image, image).item() == pytest.approx(value)
    assert METRICS.build({"type": "PSNR"})(image, image).item() == math.inf


@pytest.mark.parametrize("name", list(TOLERANCE))
def test_float_predictions_are_rounded_and_clipped_as_if_saved(pair, name):
    metric = METRICS.build({"type": name})
    pred, target = (to_tensor(image) for image in pair)
    rough = pred + (torch.rand(pred.shape) - 0.5) * (0.98 / 255)
    rough[pred == 1] += 0.3
    rough[pred == 0] -= 0.3
    assert torch.equal(metric(rough, target), metric(pred, target))


@pytest.mark.parametrize("name", list(TOLERANCE))
def test_uint8_tensors_are_levels(pair, name):
    metric = METRICS.build({"type": name})
    as_levels = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in pair]
    floats = metric(*[to_tensor(image) for image in pair])
    assert metric(*as_levels).item() == pytest.approx(floats.item(), rel=1e-7)


@pytest.mark.parametrize("name", list(TOLERANCE))
def test_better_is_what_it_says(pair, name):
    metric = METRICS.build({"type": name})
    pred, target = (to_tensor(image) for image in pair)
    close = target + (pred - target) / 4
    better = metric(close, target) > metric(pred, target)
    assert better.item() is metric.higher_is_better


@pytest.mark.parametrize("name", list(TOLERANCE))
def test_what_does_not_fit_is_said(name):
    metric = METRICS.build({"type": name, "crop_border": 8})
    with pytest.raises(SrtoolboxError, match=r"crop_border=8 leaves nothing of an image of 16x40 px"):
        metric(torch.rand(1, 3, 16, 40), torch.rand(1, 3, 16, 40))
    with pytest.raises(SrtoolboxError, match="differ in shape"):
        metric(torch.rand(1, 3, 40, 40), torch.rand(1, 3, 40, 41))
    with pytest.raises(SrtoolboxError, match=r"protocol 'rgb' measures \(N, 3, H, W\)"):
        metric(torch.rand(1, 1, 40, 40), torch.rand(1, 1, 40, 40))
    for wrong in ({"protocol": "ycbcr"}, {"crop_border": -1}, {"protocol": "y_direct", "y_channel": False}):
        with pytest.raises(ConfigError):
            METRICS.build({"type": name, **wrong})


def test_faults_are_found_without_building():
    check = METRICS.get("PSNR").check
    assert check({"crop_border": 3, "protocol": "y_direct"}, {}) == []
    faults = check({"crop_border": -1, "protocol": "y_direct", "y_channel": False}, {})
    assert len(faults) == 2 and "luma only" in faults[0] and "crop_border=-1" in faults[1]


def test_both_blurs_are_one():
    """A GPU's sums and the CPU's filter of whole stacks of planes."""
    maps = torch.rand(4, 40, 31, dtype=torch.float64)
    by_sums = ssim._blur(maps.transpose(0, 1).contiguous()).transpose(0, 1)
    torch.testing.assert_close(by_sums, ssim._window_means(maps), rtol=0, atol=1e-14)


def test_ssim_needs_its_window():
    with pytest.raises(SrtoolboxError, match="10x20 px"):
        METRICS.build({"type": "SSIM"})(torch.rand(1, 3, 10, 20), torch.rand(1, 3, 10, 20))


def test_a_prediction_with_nan_scores_nan():
    pred = torch.full((1, 3, 16, 16), torch.nan)
    assert math.isnan(METRICS.build({"type": "PSNR"})(pred, torch.rand(1, 3, 16, 16)).item())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", list(TOLERANCE))
def test_a_gpu_gives_the_same(pair, name):
    metric = METRICS.build({"type": name, "y_channel": False})
    images = [to_tensor(image) for image in pair]
    on_gpu = metric(*[image.cuda() for image in images])
    assert on_gpu.device.type == "cuda"
    assert on_gpu.item() == pytest.approx(metric(*images).item(), rel=1e-6)
