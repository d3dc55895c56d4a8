"""Real-ESRGAN's degradations: ours against a second transcription of what was published, and that against theory."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.data.batch.samples import p_values
from tests.data.batch.transcriptions import real_esrgan as published

LEAST = 1e-3
"""The least probability that two samples differ so by chance."""


def image_of(photo: np.ndarray, size: int) -> torch.Tensor:
    return torch.from_numpy(photo[:size, :size].transpose(2, 0, 1).astype(np.float64) / 255)


# ---- the transcription


@pytest.mark.parametrize("kind", published.KINDS)
def test_a_transcribed_kernel_has_sum_1_and_its_spread_along_its_axes(kind: str) -> None:
    kernel = published.mixed_kernel(kind, 21, 2.0, 1.0, 0.4, 1.0)
    offsets = np.arange(21) - 10
    along = np.cos(0.4) * offsets[None, :] + np.sin(0.4) * offsets[:, None]
    across = -np.sin(0.4) * offsets[None, :] + np.cos(0.4) * offsets[:, None]
    assert abs(kernel.sum() - 1) < 1e-12 and (kernel == kernel[::-1, ::-1]).all()
    assert ((kernel * along**2).sum() > 1.5 * (kernel * across**2).sum()) == ("aniso" in kind)
    if "plateau" not in kind:  # with beta 1 it is a Gaussian
        assert abs((kernel * along**2).sum() - 4) < 1e-2


def test_the_transcribed_sinc_filter_lets_low_frequencies_through_and_no_high_ones() -> None:
    response = np.abs(np.fft.fft2(published.sinc_kernel(np.pi / 2, 21), (64, 64)))
    assert abs(response[0, :8] - 1).max() < 0.1 and response[0, 26:33].max() < 0.1


def test_transcribed_noise_is_as_strong_as_its_level(photo: np.ndarray) -> None:
    image, rng = image_of(photo, 128), np.random.default_rng(0)
    assert abs(float(published.gaussian_noise(image, 20, False, rng).std()) * 255 - 20) < 0.3
    gray = published.gaussian_noise(image, 20, True, rng)
    assert torch.equal(gray[0], gray[2])
    levels = torch.arange(256, dtype=torch.float64).repeat(3, 100, 1) / 255
    noise = published.poisson_noise(levels, 2.0, False, rng)
    assert abs(float((noise**2).mean() / (4 * levels / 256).mean()) - 1) < 0.02


def test_the_transcribed_jpeg_is_the_codecs_but_for_roundings_where_rows_are_columns(photo: np.ndarray) -> None:
    """The codec rounds tables and pixels, too; in the published code, a table has its directions swapped."""
    pixels = photo[:120, :136, 1]
    image = torch.from_numpy(pixels / 255).expand(3, -1, -1)
    for quality in (90, 60, 30):
        codec = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
        changed = np.abs(codec / 255 - pixels / 255).mean()
        swapped, straight = published.jpeg(image.mT, quality)[0].mT, published.jpeg(image, quality)[0]
        assert np.abs(swapped.numpy() - codec / 255).mean() < 0.5 * changed
        assert np.abs(straight.numpy() - codec / 255).mean() > 0.6 * changed
    assert np.abs(published.TO_RGB @ published.TO_YCBCR - np.eye(3)).max() < 1e-5


def test_the_transcribed_mask_sharpens_edges_and_leaves_flat_areas_alone() -> None:
    step = torch.full((3, 120, 120), 0.3, dtype=torch.float64)
    step[:, :, 60:] = 0.6
    sharp = published.sharpen(step)
    assert torch.allclose(sharp[:, :, :8], step[:, :, :8], atol=1e-6)
    assert float(sharp[0, 60, 60]) > 0.61 and float(sharp[0, 60, 59]) < 0.29


def test_the_transcribed_whole_gives_an_image_of_the_wanted_size_in_8_bits(photo: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        lq = published.degrade(image_of(photo, 96), published.draw(rng), rng)
        assert lq.shape == (3, 24, 24) and float((lq * 255 - (lq * 255).round()).abs().max()) < 1e-9


# ---- the comparison of samples


def drawn(seed: int, count: int = 1000) -> list[published.Drawn]:
    rng = np.random.default_rng(seed)
    return [published.draw(rng) for _ in range(count)]


def test_the_comparison_of_samples_sees_changed_ranges_and_changed_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = drawn(1)
    assert min(p_values(drawn(2), theirs).values()) > LEAST
    changes = {
        "QUALITY": (30.0, 93.0),
        "GRAY_PROBABILITY": 0.6,
        "SECOND": replace(published.SECOND, noise_sigma=(3.0, 25.0)),
        "KIND_WEIGHTS": (0.55, 0.25, 0.05, 0.03, 0.09, 0.03),
        "KERNEL_SIZES": (7, 9, 11, 13, 15, 17, 19),
    }
    for name, value in changes.items():
        monkeypatch.setattr(published, name, value)
    seen = {name for name, p in p_values(drawn(2), theirs).items() if p < LEAST}
    expected = [
        "jpeg1_quality, ends",
        "jpeg2_quality, ends",
        "noise2_gray of gaussian",
        "noise2_level of gaussian, ends",
    ]
    assert seen >= {*expected, "blur1_kind", "blur2_kind", "blur1_size", "final_size"}
    assert not seen & {"final_order", "noise1_kind", "resize1_mode", "resize2_direction"}
