"""Augmentation by image.pixels: shapes, depths, read-only views; its effects are measured where transforms use them."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest

from srtoolbox.image.pixels import (
    channel_means,
    compress_jpeg,
    gaussian_blur,
    inferno,
    mix_channels,
    rotate,
    squared_distance,
)

EDITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotate": lambda image: rotate(image, 12.0, (10, 20), "reflect"),
    "blur": lambda image: gaussian_blur(image, 1.2),
    "jpeg": lambda image: compress_jpeg(image, 50),
    "mix": lambda image: mix_channels(image, np.eye(image.shape[2], image.shape[2] + 1) * 0.5),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EDITS)
def test_any_view_gives_what_its_copy_gives(photo: np.ndarray, name: str, channels: int, dtype: type) -> None:
    image = photo[..., :channels].astype(dtype) * (np.iinfo(dtype).max // 255)
    image.setflags(write=False)
    for view in (
        image,
        image[::-1, ::-1],
        image.swapaxes(0, 1),
        image[3:50, 7:81],
        np.broadcast_to(image[..., :1], image.shape),
    ):
        result = EDITS[name](view)
        assert result.shape == view.shape and result.dtype == dtype
        assert np.array_equal(result, EDITS[name](np.ascontiguousarray(view)))
        assert not np.shares_memory(result, image)


def test_mix_channels_is_a_matrix_product_to_one_level(photo: np.ndarray) -> None:
    matrix = np.array([[0.5, 0.3, -0.2, 20], [0.1, 1.4, 0, -30], [0, 0, 1.1, 0]])
    exact = np.clip(photo @ matrix[:, :3].T + matrix[:, 3], 0, 255)
    assert np.abs(mix_channels(photo, matrix) - exact).max() <= 1.001
    assert channel_means(photo) == pytest.approx(photo.mean(axis=(0, 1)))
    assert channel_means(photo[..., :1]).shape == (1,)


def test_the_colours_of_errors_are_matplotlibs() -> None:
    levels = np.arange(256, dtype=np.uint8)[None]
    expected = (mpl.colormaps["inferno"](range(256))[:, :3] * 255).round()
    assert np.array_equal(inferno(levels)[0], expected)


@pytest.mark.parametrize("levels", [1, 8, 255])
def test_squared_distance_of_luma_is_that_in_float64(levels: int) -> None:
    random, weights = np.random.default_rng(levels), (65.481 / 255, 128.553 / 255, 24.966 / 255)
    first = random.integers(0, 256, (3, 61, 83), np.uint8)
    noise = random.integers(-levels, levels + 1, first.shape)
    second = np.clip(first + noise * (random.random(first.shape) < 1 / levels), 0, 255).astype(np.uint8)
    difference = np.tensordot(weights, first.astype(np.float64) - second, 1)
    assert squared_distance(first, second, weights) == pytest.approx((difference**2).sum(), rel=1e-13)
    assert squared_distance(first, first.copy(), weights) == 0
    second[:] = first
    second[1, 5, 7] ^= 1
    assert squared_distance(first, second, weights) == pytest.approx(weights[1] ** 2, rel=1e-13)


def test_squared_distance_of_colours_of_one_luma_is_not_below_zero() -> None:
    first, second = np.zeros((2, 3, 8, 8), np.uint8)
    second[0], first[1], first[2] = 119, 41, 101  # 299 * 119 = 587 * 41 + 114 * 101
    weights = (65.481 / 255, 128.553 / 255, 24.966 / 255)
    assert 0 <= squared_distance(first, second, weights) < 1e-9
