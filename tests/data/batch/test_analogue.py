"""Chroma that runs and fields that comb, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.analogue import ChromaBlur, Interlacing
from srtoolbox.data.transforms.batch.base import Images, Plan, stack
from srtoolbox.errors import ConfigError
from srtoolbox.image import to_tensor

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("batched", [False, True])
def test_chroma_is_blurred_and_moved_and_luma_is_not(photo: np.ndarray, batched: bool) -> None:
    image = photo[60:110, 120:180].astype(float) / 510 + 0.25  # no colour leaves the range
    images = Images(to_tensor(photo[60:110, 120:180]) / 2 + 0.25, batched=batched)
    parameters = {"sigma": np.array([[1.5, 2.5]]), "shift": np.array([[2.0, -1.0]])}
    result = ChromaBlur((0.5, 3), 2).apply(images, parameters).pixels[0].numpy().transpose(1, 2, 0).astype(float)
    assert np.abs(result @ LUMA - image @ LUMA).max() < 1e-5
    for channel in (0, 2):  # R - Y and B - Y are Cr and Cb but for factors
        chroma = image[..., channel] - image @ LUMA
        expected = scipy.ndimage.gaussian_filter(chroma, (1.5, 2.5), mode="mirror", truncate=6)
        ours = (result[..., channel] - result @ LUMA)[12:-12, 12:-12]
        assert np.abs(ours - expected[10:-14, 13:-11]).max() < 2e-3  # two rows down, a column to the left
        assert np.abs(ours - expected[12:-12, 12:-12]).max() > 0.01


def test_gray_has_no_chroma(photo: np.ndarray) -> None:
    gray = to_tensor(photo[:20, :30, :1])
    parameters = {"sigma": np.ones((1, 2)), "shift": np.ones((1, 2))}
    assert ChromaBlur().apply(Images(gray), parameters).pixels is gray


@pytest.mark.parametrize("batched", [False, True])
def test_fields_are_moved_or_shown_twice(photo: np.ndarray, batched: bool) -> None:
    image = to_tensor(photo[60:71, 120:140])
    images = Images(image.expand(4, -1, -1, -1), batched=batched)
    parameters = {
        "shift": np.array([3, -3, 3, 3]),
        "doubled": np.array([False, False, True, True]),
        "field": np.array([0, 1, 0, 1]),
    }
    right, left, upper, lower = Interlacing().apply(images, parameters).each()
    image = image[0]
    assert right[:, 1::2].equal(image[:, 1::2]) and left[:, ::2].equal(image[:, ::2])
    assert right[:, ::2, :-3].equal(image[:, ::2, 3:]) and left[:, 1::2, 3:].equal(image[:, 1::2, :-3])
    assert right[:, ::2, -3:].equal(image[:, ::2, -1:].expand(-1, -1, 3))
    assert upper[:, 0].equal(image[:, 1]) and upper[:, 2::2].equal(image[:, 1:-1:2])
    assert lower[:, 1::2].equal(image[:, :-1:2]) and lower[:, ::2].equal(image[:, ::2])


def test_the_edge_is_that_of_each_image(photo: np.ndarray) -> None:
    images = stack([to_tensor(photo[60:64, 120 : 120 + width])[0] for width in (5, 9)])
    images.pixels[0, :, :, 5:] = torch.nan
    parameters = {"shift": np.array([7, 7]), "doubled": np.array([False, False]), "field": np.array([0, 0])}
    narrow, wide = Interlacing().apply(Images(images.pixels, images.sizes, batched=True), parameters).each()
    assert narrow[:, ::2].equal(images.pixels[0, :, ::2, 4:5].expand(-1, -1, 5))
    assert wide[:, ::2, :2].equal(images.pixels[1, :, ::2, 7:]) and narrow.isfinite().all()


def test_a_single_row_stays(photo: np.ndarray) -> None:
    image = to_tensor(photo[60:61, 120:121])
    for draw in range(8):
        plan = Plan(np.array([[1, 1]]), np.array([[1, 1]]))
        Interlacing(doubling=0.5).add_to(plan, Rngs(0, np.array([draw])), np.arange(1))
        assert plan.run(Images(image)).pixels.equal(image)


def test_shifts_go_both_ways_and_lines_are_doubled_as_often_as_said() -> None:
    sizes = np.full((2000, 2), 8)
    drawn = Interlacing((2, 4), doubling=0.3).draw(Rngs(0, np.arange(2000)), sizes, Plan(sizes, sizes))
    assert set(drawn["shift"].tolist()) == {-4, -3, -2, 2, 3, 4} and abs(np.mean(drawn["shift"] > 0) - 0.5) < 0.05
    assert abs(drawn["doubled"].mean() - 0.3) < 0.05 and abs(drawn["field"].mean() - 0.5) < 0.05


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"sigma is \(lowest, highest\), from 0.1 up"):
        ChromaBlur(sigma=(0, 1))
    with pytest.raises(ConfigError, match="shift is 0 or more pixels, got -1"):
        ChromaBlur(shift=-1)
    with pytest.raises(ConfigError, match="Interlacing: doubling is a probability"):
        Interlacing(doubling=2)
