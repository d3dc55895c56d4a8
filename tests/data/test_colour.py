"""Colour jitter: what each amount does, against skimage; LQ and GT alike."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.transforms.colour import ColourJitter, colour_matrix
from srtoolbox.errors import ConfigError
from srtoolbox.resize import imresize

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def gt(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo[60:160, 120:240] // 2 + 60)  # no clipping


def jittered(gt: np.ndarray, draw: int, **amounts: float) -> np.ndarray:
    return ColourJitter(**amounts)({"gt": gt, "key": ""}, Rng(0, draw))["gt"]


def test_brightness_multiplies(gt: np.ndarray) -> None:
    factors = [jittered(gt, draw, brightness=0.2).mean() / gt.mean() for draw in range(400)]
    assert min(factors) >= 0.795 and max(factors) <= 1.205
    assert np.quantile(factors, [0.25, 0.5, 0.75]) == pytest.approx([0.9, 1.0, 1.1], abs=0.03)
    after = jittered(gt, 3, brightness=0.2)
    factor = after.mean() / gt.mean()
    assert np.abs(after - gt * factor).max() < 1.2


def test_contrast_keeps_the_mean_luma(gt: np.ndarray) -> None:
    spreads = []
    for draw in range(50):
        after = jittered(gt, draw, contrast=0.5).astype(float)
        assert (after @ LUMA).mean() == pytest.approx((gt @ LUMA).mean(), abs=0.3)
        spreads.append((after @ LUMA).std() / (gt @ LUMA).std())
    assert min(spreads) < 0.6 and max(spreads) > 1.4


def test_saturation_and_hue_keep_luma_and_gray(gt: np.ndarray) -> None:
    for draw in range(20):
        after = jittered(gt, draw, saturation=0.5, hue=20)
        assert np.abs(after @ LUMA - gt @ LUMA).max() < 1.5
        assert not np.array_equal(after, gt)
    gray = np.repeat(gt[..., :1], 3, axis=2)
    assert np.abs(jittered(gray, 1, saturation=0.5, hue=90).astype(int) - gray).max() <= 1
    assert np.abs(jittered(gt, 0, saturation=1e-9).astype(int) - gt).max() <= 1


def test_hue_turns_by_its_angle_and_saturation_scales_chroma(gt: np.ndarray) -> None:
    after = gt @ colour_matrix(0.5, np.radians(40)).T
    before, now = skimage.color.rgb2yuv(gt / 255)[..., 1:], skimage.color.rgb2yuv(after / 255)[..., 1:]
    scaled = [np.stack([c[..., 0] / 0.492, c[..., 1] / 0.877], -1) for c in (before, now)]  # U, V to B - Y, R - Y
    strong = np.hypot(*np.moveaxis(scaled[0] * [1 / 1.772, 1 / 1.402], -1, 0)) > 0.05
    planes = [(c * [1 / 1.772, 1 / 1.402])[strong] for c in scaled]
    angles = [np.degrees(np.arctan2(c[:, 1], c[:, 0])) for c in planes]
    assert (angles[1] - angles[0] + 360) % 360 == pytest.approx(40, abs=1.0)
    assert np.hypot(*planes[1].T) / np.hypot(*planes[0].T) == pytest.approx(0.5, abs=0.02)


def test_a_given_pair_is_changed_alike(gt: np.ndarray) -> None:
    lq = imresize(gt, 0.25)
    transform = ColourJitter(brightness=0.2, contrast=0.2, saturation=0.3, hue=15)
    for draw in range(20):
        after = transform({"lq": lq, "gt": gt, "key": ""}, Rng(1, draw))
        assert np.abs(after["lq"].astype(int) - imresize(after["gt"], 0.25)).max() <= 2
        assert np.array_equal(after["gt"], transform({"gt": gt, "key": ""}, Rng(1, draw))["gt"])


def test_depths_agree(gt: np.ndarray) -> None:
    for channels in (1, 3):
        image = np.ascontiguousarray(gt[..., :channels])
        deep = jittered(image.astype(np.uint16) * 257, 5, brightness=0.3, contrast=0.3, saturation=0.3, hue=30)
        plain = jittered(image, 5, brightness=0.3, contrast=0.3, saturation=0.3, hue=30)
        assert np.abs(deep / 257 - plain).max() < 1.1


@pytest.mark.parametrize("wrong", [dict(brightness=1.5), dict(contrast=-0.1), dict(hue=200)])
def test_impossible_amounts_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ColourJitter(**wrong)
