"""Fewer levels, dots of print, wrong colours, a camera's noise: what each does to known images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Plan
from srtoolbox.data.transforms.batch.camera import CameraNoise, to_light, to_srgb
from srtoolbox.data.transforms.batch.colour_cast import ColourCast
from srtoolbox.data.transforms.batch.halftone import Halftone
from srtoolbox.data.transforms.batch.quantising import Banding, Quantise, blue_noise
from srtoolbox.errors import ConfigError

RAMP = torch.linspace(0, 1, 513).repeat(1, 3, 256, 1)


def degraded(step: BatchDegradation, pixels: Tensor, draw: int = 0) -> tuple[Tensor, dict[str, Any]]:
    images = Images(pixels)
    plan = Plan(images.sizes, images.sizes)
    step.add_to(plan, Rngs(0, np.arange(len(pixels)) + draw), np.arange(len(pixels)))
    return plan.run(images).pixels, {name: values[0] for name, values in plan.actions[0].parameters.items()}


@pytest.mark.parametrize("dither", ["none", "bayer", "noise"])
def test_levels_are_evenly_spaced_and_dithers_keep_the_mean_tone(dither: str) -> None:
    image, drawn = degraded(Quantise((5, 5), [dither]), RAMP)
    assert torch.allclose(image.unique(), torch.linspace(0, 1, 5)) and drawn["levels"] == 5
    means = torch.nn.functional.avg_pool2d(image - RAMP, 64)
    assert (means.abs().max() < 0.012) == (dither != "none")
    if dither == "none":
        assert (image - RAMP).abs().max() <= 0.125 + 1e-6


def test_dithers_are_moved_from_image_to_image() -> None:
    gray = torch.full((12, 3, 64, 64), 0.3)
    images = Images(gray)
    plan = Plan(images.sizes, images.sizes)
    Quantise((2, 2), ["noise"]).add_to(plan, Rngs(0, np.arange(12)), np.arange(12))
    result = plan.run(images).pixels
    assert len({image.numpy().tobytes() for image in result}) == 12
    places = zip(plan.actions[0].parameters["top"].tolist(), plan.actions[0].parameters["left"].tolist(), strict=True)
    back = [image.roll(place, (1, 2)) for image, place in zip(result, places, strict=True)]
    assert all(torch.equal(image, back[0]) for image in back)


def test_blue_noise_has_hardly_any_low_frequencies_and_each_rank_once() -> None:
    order = blue_noise()
    assert np.array_equal(np.sort(order.ravel()), np.arange(64 * 64))
    near = np.minimum(np.arange(64), 64 - np.arange(64))
    frequency = np.hypot(near[:, None], near)
    for share in (0.1, 0.5, 0.9):
        power = np.abs(np.fft.fft2((order < share * 64 * 64) - share)) ** 2
        assert power[(frequency > 0) & (frequency < 8)].mean() < 0.08 * power.mean()


def test_bands_are_of_luma_and_chroma() -> None:
    image, _ = degraded(Banding((9, 9)), RAMP)
    assert (image - image[:, :1]).abs().max() < 1e-5 and len((image[0, 0, 0] * 1000).round().unique()) == 9
    colours = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    weights = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    image, _ = degraded(Banding((9, 9)), colours)
    inner = ((image > 0.01) & (image < 0.99)).all(1).flatten()
    values = weights @ image.flatten(2)[0, :, inner].numpy() * 8
    assert inner.sum() > 500 and np.abs(values - np.rint(values)).max() < 1e-3


def test_halftone_is_two_tones_that_keep_the_mean_and_repeat_along_their_angle() -> None:
    gray = torch.linspace(0.1, 0.9, 9)[:, None, None, None].repeat(1, 3, 240, 240)
    step = Halftone((8, 8), (0, 0), (1, 1))
    image, _ = degraded(step, gray)
    assert (image.mean((2, 3)) - gray.mean((2, 3))).abs().max() < 0.02
    assert ((image < 0.05) | (image > 0.95)).float().mean() > 0.6
    yellow, cyan = image[4, 2], image[4, 0]
    assert torch.allclose(yellow[:, 8:], yellow[:, :-8], atol=1e-4)  # at 0 degrees
    assert not torch.allclose(cyan[:, 8:], cyan[:, :-8], atol=0.3)  # at 15
    half, drawn = degraded(Halftone((8, 8), (0, 0), (0.25, 0.25)), gray)
    assert torch.allclose(half - gray, (image - gray) * 0.25, atol=1e-5) and drawn["strength"] == 0.25


def test_a_colour_cast_is_that_of_its_parameters() -> None:
    colours = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    image, drawn = degraded(ColourCast(), colours)
    expected = colours[0].double().numpy().transpose(1, 2, 0) * [drawn["red"], 1, drawn["blue"]]
    expected = expected.clip(0, 1) ** drawn["gamma"]
    luma = expected @ [[0.299], [0.587], [0.114]]
    expected = (luma + drawn["saturation"] * (expected - luma)).clip(0, 1)
    assert np.abs(image[0].numpy().transpose(1, 2, 0) - expected).max() < 1e-6
    logs = [
        np.log(degraded(ColourCast(gamma=(0.5, 2)), colours[:, :1, :2, :2], draw)[1]["gamma"]) for draw in range(200)
    ]
    assert abs(np.mean(logs)) < 0.1 and -np.log(2) <= min(logs) < -0.6 and 0.6 < max(logs) <= np.log(2)


def test_camera_noise_is_that_of_its_levels_in_linear_light() -> None:
    assert (to_srgb(to_light(RAMP)) - RAMP).abs().max() < 2e-4
    gray = torch.full((1, 1, 300, 300), 0.6)
    noisy, drawn = degraded(CameraNoise((0.003, 0.003)), gray)
    light, gain = to_light(gray), drawn["green"]
    noise = (to_light(noisy) - light) / gain
    wanted = drawn["shot"] * float(light.mean()) / gain + drawn["read"]
    assert float(noise.var()) == pytest.approx(wanted, rel=0.03) and abs(float(noise.mean())) < 1e-3
    reads = np.array([degraded(CameraNoise(), gray[..., :2, :2], draw)[1] for draw in range(300)])
    offsets = [np.log(each["read"]) - 2.18 * np.log(each["shot"]) - 1.2 for each in reads]
    assert np.std(offsets) == pytest.approx(0.26, rel=0.15) and abs(np.mean(offsets)) < 0.05
    assert 0.0001 <= min(each["shot"] for each in reads) < 0.00012


def test_camera_noise_is_interpolated_where_the_mosaic_has_other_colours() -> None:
    gray = torch.full((1, 3, 200, 200), 0.6)
    noisy, _ = degraded(CameraNoise((0.002, 0.002)), gray)
    red, green, _ = (to_light(noisy) - to_light(gray))[0]
    between = (red[::2, :-2:2] + red[::2, 2::2]) / 2
    assert (red[::2, 1:-1:2] - between).abs().max() < 2e-4 < red.std()
    around = torch.nn.functional.conv2d(green[None], torch.tensor([[[[0, 1, 0], [1, 0, 1], [0, 1, 0]]]]) / 4)[0]
    assert (green[2:-1:2, 2:-1:2] - around[1::2, 1::2]).abs().max() < 2e-4
    assert float(green[::2, 1::2].std() / green[::2, ::2].std()) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("step", "arguments", "message"),
    [
        (Quantise, dict(levels=(1, 4)), "between 2 and 256"),
        (Quantise, dict(dither=["floyd"]), "dither lists some of none, bayer, noise"),
        (Quantise, dict(dither="bayer"), "dither lists some of"),
        (Banding, dict(levels=(9, 3)), "lowest, highest"),
        (Halftone, dict(period=(1, 4)), "from 2 up"),
        (Halftone, dict(strength=(0, 2)), "between 0 and 1"),
        (ColourCast, dict(gamma=(0, 1)), "from 0.01 up"),
        (CameraNoise, dict(shot=(0, 0.01)), "between 1e-08 and 1"),
    ],
)
def test_impossible_values_are_refused(step: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        step(**arguments)
