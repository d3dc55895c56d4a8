"""Statistics of images: each follows what is done to a photograph, and little else."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.special import ndtr

from srtoolbox.image.pixels import compress_jpeg, gaussian_blur
from srtoolbox.image.statistics import STATISTICS, blockiness, detail, noise_level, sharpness

PHOTOS = {
    "astronaut": (60, 160),
    "chelsea": (80, 120),
    "coffee": (100, 200),
}


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> np.ndarray:
    top, left = PHOTOS[request.param]
    return getattr(skimage.data, request.param)()[top : top + 128, left : left + 128]


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_sharpness_falls_with_blur_and_not_with_noise_contrast_or_compression(photo: np.ndarray) -> None:
    values = [sharpness(gaussian_blur(photo, sigma)) for sigma in (0.2, 0.8, 1.5, 3.0)]
    assert all(later < 0.95 * earlier for earlier, later in itertools.pairwise(values))
    blurred = gaussian_blur(photo, 1.5)
    pale = (blurred // 3 + 80).astype(np.uint8)
    for other in (noisy(blurred, 8), pale, compress_jpeg(blurred, 60)):
        assert sharpness(other) == pytest.approx(values[2], rel=0.15)


def test_the_sharpness_of_a_blurred_edge_is_what_its_gaussian_climbs() -> None:
    edge = np.full((64, 40, 1), 40, np.uint8)
    edge[:, 20:] = 200
    for sigma in (0.7, 1.0, 1.5):  # the two columns beside the edge are the steepest 5 %
        blur = math.hypot(sigma, 0.8)
        climb = (ndtr(1.5 / blur) - ndtr(-0.5 / blur)) / 2
        assert sharpness(gaussian_blur(edge, sigma)) == pytest.approx(climb, rel=0.04)


@pytest.mark.parametrize("sigma", [4, 12, 25])
def test_the_noise_of_smooth_images_is_found(sigma: float) -> None:
    rows, columns = np.mgrid[:128, :128]
    smooth = np.stack([90 + rows / 4, 200 - columns / 3, 128 + 20 * np.sin(rows / 20)], axis=2)
    image = noisy(smooth, sigma)
    assert noise_level(image) == pytest.approx(sigma, rel=0.04)
    diagonal = (image[::2, ::2] / 2.0 - image[1::2, ::2] / 2 - image[::2, 1::2] / 2 + image[1::2, 1::2] / 2).ravel()
    assert noise_level(image) == pytest.approx(np.median(np.abs(diagonal)) / 0.6745, rel=0.1)  # Haar's wavelet


def test_noise_grows_as_it_is_added_to_a_photograph(photo: np.ndarray) -> None:
    blurred = gaussian_blur(photo, 1.0)
    assert noise_level(blurred) < 1.0
    assert noise_level(noisy(blurred, 10)) == pytest.approx(10, rel=0.08)


def test_detail_is_the_deviation_of_the_laplacian(photo: np.ndarray) -> None:
    expected = cv2.Laplacian(cv2.cvtColor(photo.astype(np.float32), cv2.COLOR_RGB2GRAY), cv2.CV_32F)[1:-1, 1:-1].std()
    assert detail(photo) == pytest.approx(expected, rel=1e-5)
    assert detail(gaussian_blur(photo, 1.5)) < 0.5 * detail(photo) < detail(noisy(photo, 20))


@pytest.mark.parametrize("corner", [(0, 0), (3, 5)])
def test_blocks_are_found_wherever_the_crop_begins(photo: np.ndarray, corner: tuple[int, int]) -> None:
    top, left = corner
    values = [blockiness(compress_jpeg(photo, quality)[top:, left:]) for quality in (95, 50, 20, 8)]
    assert all(later > earlier for earlier, later in itertools.pairwise(values))
    assert values[2] > 1.8 > 1.35 > blockiness(photo[top:, left:])


def test_blocks_of_another_size_are_none() -> None:
    image = np.random.default_rng(0).integers(0, 255, (12, 12, 1)).astype(np.uint8)
    eights, sevens = (image.repeat(side, 0).repeat(side, 1)[:80, :80] for side in (8, 7))
    assert blockiness(noisy(eights, 3)) > 5 > 1.6 > blockiness(noisy(sevens, 3))


def test_images_of_16_bits_and_gray_ones_count_alike(photo: np.ndarray) -> None:
    gray = photo[..., :1]
    for name, function in STATISTICS.items():
        assert function(photo.astype(np.uint16) * 257) == pytest.approx(function(photo), rel=1e-4), name
        assert function(gray) == pytest.approx(function(gray.repeat(3, 2)), rel=1e-4), name


def test_what_has_no_answer_is_nan() -> None:
    flat = np.full((40, 40, 3), 77, np.uint8)
    assert math.isnan(sharpness(flat)) and math.isnan(blockiness(flat))
    assert detail(flat) == noise_level(flat) == 0
    tiny = np.zeros((2, 2, 3), np.uint8)
    assert all(math.isnan(function(tiny)) for function in STATISTICS.values())
    small = np.random.default_rng(1).integers(0, 255, (17, 17, 3)).astype(np.uint8)
    assert math.isnan(blockiness(small)) and sharpness(small) > 0
