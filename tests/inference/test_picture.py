"""Images with alpha through an `Upscaler`: the rows of colours and alpha beside each other."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from srtoolbox.image import Picture
from srtoolbox.inference.picture import picture_bands, upscale_picture
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.registry import NETWORKS


def bicubic(tile: int) -> Upscaler:
    return Upscaler(NETWORKS.build({"type": "Bicubic", "scale": 4}), tile=tile)


@pytest.fixture
def upscaler() -> Upscaler:
    return bicubic(tile=64)


def test_the_parts_of_an_image_are_upscaled_by_themselves(photo: np.ndarray, upscaler: Upscaler) -> None:
    pixels, alpha = photo[:150, :70], photo[:150, :70, :1] // 2 + 60  # nothing hidden
    result = upscale_picture(upscaler, Picture(pixels, alpha), alpha=bicubic(tile=48))
    assert np.array_equal(result.pixels, upscaler(pixels))
    assert np.abs(result.alpha.astype(int) - upscaler(alpha)).mean() < 1  # but for the bounds


def test_opaque_alpha_takes_no_memory(photo: np.ndarray, upscaler: Upscaler) -> None:
    form, rows = picture_bands(upscaler, Picture(photo, np.full((*photo.shape[:2], 1), 255, np.uint8)))
    tracemalloc.start()
    heights = [len(band) for band in rows if (band[..., 3] == 255).all()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(heights) > 1 and sum(heights) == form.height == 1200
    assert max(heights) < 300 and peak < form.height * form.width * 2.5  # bytes; four a pixel in all
