"""Noise of batches: its distributions, on each channel and between them; the same bits whatever lies beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs, uniform_hashes
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Plan
from srtoolbox.data.transforms.batch.noise import (
    GaussianNoise,
    PoissonNoise,
    SpeckleNoise,
    alias_tables,
    poisson_counts,
    random_mixing,
)
from srtoolbox.data.transforms.batch.random import bits_of_32, normals
from srtoolbox.errors import ConfigError

CPU = torch.device("cpu")
OWN, ALIKE = np.array([False]), np.array([True])


def degraded(step: BatchDegradation, pixels: Tensor, **parameters: Any) -> tuple[Tensor, dict[str, np.ndarray]]:
    images = Images(pixels)
    plan = Plan(images.sizes, images.sizes)
    step.add_to(plan, Rngs(0, np.arange(len(pixels))), np.arange(len(pixels)))
    return plan.run(images).pixels, dict(plan.actions[0].parameters)


# ---- random numbers


def test_numbers_are_those_of_the_stream_and_of_the_place_alone() -> None:
    keys = np.array([7, 1 << 63], np.uint64)
    bits = bits_of_32(keys, (3, 5, 7), CPU, np.array([False, True]))
    assert bits.shape == (2, 3, 5, 7) and (bits[1] == bits[1, :1]).all()
    assert torch.equal(bits_of_32(keys[1:], (3, 9, 2), CPU, OWN)[0, 0, :5], bits[1, 0, :, :2])
    stream = uniform_hashes(7, 4)  # row 0 of channel 0: two numbers from each hash
    assert bits[0, 0, 0].tolist() == stream.astype("<u8").view("<i4")[:7].tolist()
    row = uniform_hashes(7, 4, (1 << 20) * ((1 << 20) * 2 + 3)).astype("<u8").view("<i4")
    assert bits[0, 2, 3].tolist() == row[:7].tolist()


def test_numbers_have_their_distributions() -> None:
    keys = np.array([3, 4], np.uint64)
    normal = normals(keys, (3, 200, 301), CPU, OWN.repeat(2))
    assert scipy.stats.kstest(normal.flatten(), "norm").pvalue > 1e-3
    bits = bits_of_32(keys, (3, 200, 301), CPU, OWN.repeat(2))
    assert scipy.stats.kstest((bits.double().flatten() + 2**31) / 2**32, "uniform").pvalue > 1e-3
    for numbers in (normal, bits.double()):
        channels = numbers.transpose(0, 1).flatten(1).numpy()
        together = [channels[0], channels[1], channels[2], np.roll(channels[0], 1), np.roll(channels[0], 301)]
        assert np.abs(np.corrcoef([*together, numbers.flip(0)[:, 0].flatten().numpy()]) - np.eye(6)).max() < 0.012
    assert normals(keys, (3, 4, 4), CPU, ALIKE.repeat(2)).shape == (2, 1, 4, 4)


# ---- Gaussian noise and speckle


def test_gaussian_noise_has_its_sigma_and_is_gray_as_often_as_said() -> None:
    noisy, drawn = degraded(GaussianNoise((1, 30), gray=0.4), torch.full((400, 3, 24, 24), 0.5))
    noise = (noisy - 0.5).numpy() * 255
    assert np.abs(noise.std((1, 2, 3)) / drawn["sigma"] - 1).max() < 0.15
    is_gray = (noise == noise[:, :1]).all((1, 2, 3))
    assert (is_gray == drawn["gray"]).all() and abs(is_gray.mean() - 0.4) < 0.08
    assert abs(np.corrcoef(drawn["gray"], drawn["sigma"])[0, 1]) < 0.15
    own = noise[~is_gray] / drawn["sigma"][~is_gray, None, None, None]
    assert scipy.stats.kstest(own.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(own.swapaxes(0, 1).reshape(3, -1)) - np.eye(3)).max() < 0.02


def test_mixed_channels_have_the_covariance_that_was_drawn() -> None:
    noisy, drawn = degraded(GaussianNoise((20, 20), gray=0.2, mixed=0.5), torch.full((60, 3, 64, 64), 0.5))
    mixing = drawn["mixing"]
    is_mixed = (mixing != np.eye(3)).any((1, 2))
    assert not (is_mixed & drawn["gray"]).any() and 0.3 < is_mixed.mean() < 0.7 and 0.05 < drawn["gray"].mean() < 0.4
    for noise, matrix in zip((noisy - 0.5).flatten(2).numpy()[is_mixed] * 255 / 20, mixing[is_mixed], strict=True):
        assert np.abs(np.cov(noise) - matrix @ matrix.T).max() < 0.1


def test_the_covariance_is_that_of_bsrgan() -> None:
    """Their own lines, on the random numbers that ours takes; numpy's root of a covariance is another one."""
    numbers = np.stack([rngs.random() for rngs in [Rngs(2, np.arange(50))] for _ in range(12)], 1)
    for matrix, own in zip(random_mixing(Rngs(2, np.arange(50))), numbers, strict=True):
        turned = scipy.linalg.orth(own[:9].reshape(3, 3))
        wanted = np.abs(turned.T @ np.diag(own[9:]) @ turned)
        if np.linalg.eigvalsh(wanted).min() > 0:
            assert np.abs(matrix @ matrix.T - wanted).max() < 1e-12


def test_speckle_grows_with_the_pixel() -> None:
    pixels = torch.linspace(0, 0.8, 9).repeat(1, 3, 150, 30)
    noisy, _ = degraded(SpeckleNoise((20, 20)), pixels)
    for level in pixels.unique():
        noise = (noisy - pixels)[pixels == level].numpy() * 255
        assert noise.std() == pytest.approx(20 * float(level), rel=0.05) and abs(noise.mean()) < 1


# ---- Poisson noise


@pytest.mark.parametrize("power", [0, 3, 6, 8])
def test_counts_are_exactly_poisson(power: int) -> None:
    """A chi-squared test for each of some rates, all counts below an expectation of 8 in one class."""
    levels = torch.tensor([0, 1, 7, 100, 254, 255], dtype=torch.int32).view(1, 6, 1, 1).expand(1, 6, 300, 400)
    bits = bits_of_32(np.array([power], np.uint64), (6, 300, 400), CPU, OWN)
    counts = poisson_counts(bits, levels, torch.tensor([power], dtype=torch.int32)).flatten(2)[0].numpy()
    assert (counts[0] == 0).all()
    for level, sample in zip(levels[0, 1:, 0, 0].tolist(), counts[1:], strict=True):
        expected = scipy.stats.poisson.pmf(np.arange(512), level / 255 * 2**power) * len(sample)
        found, rare = np.bincount(sample, minlength=512), expected < 8
        found, expected = (np.append(each[~rare], each[rare].sum()) for each in (found, expected))
        if len(found) > 2:
            assert (
                scipy.stats.chisquare(found[:-1], expected[:-1] * found[:-1].sum() / expected[:-1].sum()).pvalue > 1e-4
            )
        assert abs(found[-1] - expected[-1]) < 6 * np.sqrt(expected[-1] + 1)


def test_alias_tables_hold_the_distribution() -> None:
    masses = np.random.default_rng(0).random((20, 16)) ** 6
    masses[0], masses[1] = 1, np.eye(16)[3]
    shares, aliases = alias_tables(masses)
    held = shares / 16
    for row, alias in enumerate(aliases):
        np.add.at(held[row], alias, (1 - shares[row]) / 16)
    assert np.abs(held - masses / masses.sum(1, keepdims=True)).max() < 1e-12


@pytest.mark.parametrize(("values", "peak"), [(2, 2), (3, 4), (100, 128), (128, 128), (129, 256), (256, 256)])
def test_the_peak_is_the_power_of_2_above_the_number_of_values(values: int, peak: int) -> None:
    """The noise of the brightest pixels tells it: those of one level are counts / peak."""
    pixels = (torch.arange(3 * 128 * 96).view(1, 3, 128, 96) % values + (256 - values) // 2).float() / 255
    noisy, _ = degraded(PoissonNoise((1, 1)), pixels)
    counts = noisy[(noisy > 0) & (noisy < 1)].double() * peak
    assert (counts - counts.round()).abs().max() < 1e-4
    assert (counts / 2 - (counts / 2).round()).abs().max() > 0.4


def test_what_lies_beyond_an_image_counts_for_no_peak() -> None:
    pixels = ((torch.arange(2 * 3 * 32 * 32) % 128 + 64) / 255).view(2, 3, 32, 32)
    images = Images(pixels, np.array([(32, 24), (24, 32)]))
    plan = Plan(images.sizes, images.sizes)
    PoissonNoise().add_to(plan, Rngs(0, np.arange(2)), np.arange(2))
    for beyond in (0.0, 1.0, torch.nan):
        images.pixels[0, :, :, 24:], images.pixels[1, :, 24:] = beyond, beyond
        batched = plan.run(Images(images.pixels, images.sizes, batched=True))
        for one, other in zip(plan.run(images).each(), batched.each(), strict=True):
            assert torch.equal(one, other)


def test_poisson_noise_is_unbiased_and_its_variance_is_the_published_one() -> None:
    ramp = (torch.arange(256) / 255).repeat(8, 3, 128, 1)
    noisy, drawn = degraded(PoissonNoise((0.2, 0.8), gray=0.5), ramp)
    noise, level = (noisy - ramp)[..., 64:160], ramp[0, 0, 0, 64:160]
    for own, scale, gray in zip(noise, drawn["scale"], drawn["gray"], strict=True):
        assert abs(float(own.mean())) < 2e-3
        assert float((own.square() / level).mean() * 256) == pytest.approx(scale**2, rel=0.05)
        assert gray == bool((own == own[:1]).all())
    assert 0 < drawn["gray"].mean() < 1


def test_gray_poisson_noise_is_that_of_luma() -> None:
    pixels = torch.tensor([0.9, 0.1, 0.3]).view(1, 3, 1, 1).repeat(1, 1, 400, 400)
    pixels[..., :16, :16] = torch.arange(256).view(16, 16) / 255
    noisy, _ = degraded(PoissonNoise((1, 1), gray=1.0), pixels)
    noise = (noisy - pixels)[0, 1:, 16:, 16:]
    assert float(noise[0].var()) * 256 == pytest.approx(0.2989 * 0.9 + 0.587 * 0.1 + 0.114 * 0.3, rel=0.03)


@pytest.mark.parametrize(
    ("step", "arguments", "message"),
    [
        (GaussianNoise, dict(gray=1.5), "gray is a probability"),
        (GaussianNoise, dict(gray=0.7, mixed=0.4), "together are at most 1"),
        (GaussianNoise, dict(sigma=(3, 1)), "lowest, highest"),
        (SpeckleNoise, dict(mixed=-1), "mixed is a probability"),
        (PoissonNoise, dict(scale=(-1, 1)), "from 0 up"),
        (PoissonNoise, dict(gray=2), "gray is a probability"),
    ],
)
def test_impossible_values_are_refused(step: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        step(**arguments)
