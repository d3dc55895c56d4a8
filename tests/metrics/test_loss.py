"""Losses as metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError
from srtoolbox.image import rgb_to_y
from srtoolbox.registry import METRICS

LOSSES = {"square": {"type": "MSELoss", "weight": 3.0}, "absolute": {"type": "L1Loss", "weight": 0.5}}


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 3, 24, 27, generator=generator) for _ in range(2))


def test_every_image_alone_as_saved():
    pred, target = pair()
    metric = METRICS.build({"type": "LossMetric", "losses": LOSSES, "crop_border": 2})
    saved = [np.round(image.numpy() * 255)[..., 2:-2, 2:-2] / 255 for image in (pred, target)]
    difference = saved[0] - saved[1]
    expected = 3 * (difference**2).mean((1, 2, 3)) + 0.5 * np.abs(difference).mean((1, 2, 3))
    np.testing.assert_allclose(metric(pred, target).numpy(), expected, rtol=1e-5)
    assert metric.higher_is_better is False


def test_of_luma():
    pred, target = (rgb_to_y(image) for image in pair())
    metric = METRICS.build({"type": "LossMetric", "losses": {"pixel": {"type": "L1Loss"}}, "protocol": "y_direct"})
    expected = (torch.round(pred * 255) - torch.round(target * 255)).abs().double().mean((1, 2, 3)) / 255
    torch.testing.assert_close(metric(pred, target), expected, rtol=1e-5, atol=0)


def test_of_features():
    loss = {"type": "PerceptualLoss", "backbone": "alexnet", "layers": {"conv2": 1.0}, "weights": "random"}
    pred, target = pair()
    with torch.inference_mode():
        scores = METRICS.build({"type": "LossMetric", "losses": {"features": loss}})(pred, target)
    assert scores.shape == (2,) and scores.dtype == torch.float64 and (scores > 0).all()


def test_an_adversarial_loss_scores_no_image():
    cfg = {"type": "LossMetric", "losses": {"gan": {"type": "GANLoss"}}}
    assert "judges a discriminator's logits" in METRICS.get("LossMetric").check(cfg, {})[0]
    with pytest.raises(ConfigError, match="judges a discriminator's logits"):
        METRICS.build(cfg)


def test_a_loss_of_rgb_scores_no_luma():
    loss = {"type": "PerceptualLoss", "backbone": "alexnet", "layers": {"conv2": 1.0}, "weights": "random"}
    cfg = {"type": "LossMetric", "losses": {"features": loss}, "protocol": "y_direct"}
    assert "losses.features: PerceptualLoss takes RGB" in METRICS.get("LossMetric").check(cfg, {})[0]
    with pytest.raises(ConfigError, match="PerceptualLoss takes RGB"):
        METRICS.build(cfg)


def test_the_check_looks_into_the_loss(tiny_config):
    config = Config.fromfile(tiny_config)
    config["data"]["val"]["metrics"]["content"] = {
        "type": "LossMetric",
        "losses": {"mse": {"type": "MSELoss", "wieght": 1.0}},
    }
    with pytest.raises(ConfigError, match="Did you mean 'weight'"):
        check(config)
    config["data"]["val"]["metrics"]["content"]["losses"]["mse"] = {"type": "MSELoss"}
    check(config)
