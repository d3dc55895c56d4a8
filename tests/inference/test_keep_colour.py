"""Results that keep the image's colours, on networks with a made shift: through bands, tiles, alpha and depths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from srtoolbox import Picture, Upscaler, colour_shift, load_network, upscale_picture
from srtoolbox.image.low_frequencies import means_of, smoothed
from srtoolbox.inference.keep_colour import ColourCells, kept_colour, waiting_rows
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from tests.inference.networks import Smooth, build
from tests.weights.formats.public_files import COMPACT


class Shifting(Smooth):
    """Bicubic with a tint that grows along both sides, and a pattern beside it."""

    def forward(self, lq: Tensor) -> Tensor:
        large = imresize(lq, 2)
        tint = torch.tensor([0.04, -0.02, -0.05])[:, None, None]
        return large * 0.9 + tint * (1 + 4 * large.mean(1, keepdim=True))


@pytest.fixture(scope="module")
def image(photo: np.ndarray) -> np.ndarray:
    return photo[:150, :131] // 2 + 50  # nothing is clipped


def low_difference(upscaler: Upscaler, image: np.ndarray, result: np.ndarray) -> np.ndarray:
    cells = upscaler.cells(image)
    return smoothed(means_of(result, *cells.edges), cells.wraps) - smoothed(cells.before, cells.wraps)


@pytest.mark.parametrize(
    ("bits", "channels", "more"),
    [
        (8, 3, {}),
        (16, 3, {}),
        (8, 1, {}),
        (16, 1, {"outscale": 2.35}),
        (8, 3, {"outscale": 0.4}),
        (8, 3, {"wrap": "xy"}),
        (8, 3, {"ensemble": True}),
    ],
)
def test_low_frequencies_agree_to_half_a_level(image: np.ndarray, bits: int, channels: int, more: dict) -> None:
    image = image[:72, :61, :channels]
    if "wrap" in more:  # a photograph has a step there, of which low frequencies are not all
        image = np.concatenate([image, image[::-1]])
        image = np.concatenate([image, image[:, ::-1]], axis=1)
    image = image if bits == 8 else image.astype(np.uint16) * 257
    shifted, upscaler = Upscaler(Shifting(), **more)(image), Upscaler(Shifting(), keep_colour=True, **more)
    result = upscaler(image)
    assert result.dtype == image.dtype and result.shape == shifted.shape
    assert np.abs(low_difference(upscaler, image, shifted)).max() > 4 * (257 if bits == 16 else 1)
    assert np.abs(low_difference(upscaler, image, result)).max() < 0.5 * (257 if bits == 16 else 1)
    assert not colour_shift(image, result).is_visible


def test_details_stay(image: np.ndarray) -> None:
    plain, kept = (Upscaler(Shifting(), keep_colour=keeps)(image).astype(float) for keeps in (False, True))
    taken_off = plain - kept
    steps = np.abs(np.diff(taken_off, axis=0)).max(), np.abs(np.diff(taken_off, axis=1)).max()
    assert np.abs(taken_off).max() > 5 and max(steps) <= 3


@pytest.mark.parametrize("wrap", [None, "y"])
@pytest.mark.parametrize("heights", [[300], [1] * 300, [7, 100, 150, 43], [299, 1]])
def test_bands_may_be_cut_anywhere(image: np.ndarray, heights: list[int], wrap: str | None) -> None:
    upscaler = Upscaler(Shifting(), wrap=wrap)
    plain, cells = upscaler(image), upscaler.cells(image)
    whole = next(kept_colour(iter([plain]), cells))
    bands = np.split(plain, np.cumsum(heights)[:-1])
    assert np.array_equal(np.concatenate(list(kept_colour(iter(bands), cells))), whole)


def test_tiles_give_the_same() -> None:
    image = np.random.default_rng(0).integers(60, 200, (90, 70, 3), np.uint8)
    network = build("ESPCN", 2)
    whole = Upscaler(network, tile=None, keep_colour=True)(image)
    tiled = Upscaler(network, tile=32, keep_colour=True)
    assert not np.array_equal(whole, Upscaler(network)(image))
    assert np.abs(whole.astype(int) - tiled(image)).max() <= 1
    assert np.array_equal(np.concatenate(list(tiled.bands(image))), tiled(image))


def test_few_rows_wait(image: np.ndarray) -> None:
    tall = np.tile(image, (8, 1, 1))
    upscaler = Upscaler(Shifting())
    plain, given, taken = upscaler(tall), 0, []

    def rows() -> object:
        nonlocal given
        for row in plain:
            given += 1
            yield row[None]

    done = most = 0
    for band in kept_colour(rows(), upscaler.cells(tall)):
        most = max(most, given - done)
        done += len(band)
        taken.append(band)
    assert done == len(plain) and most <= waiting_rows(plain.shape[:2], 2, False) < len(plain) / 5
    assert waiting_rows(plain.shape[:2], 2, True) == len(plain)


def test_the_planner_is_told_what_waits(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    upscaler = Upscaler(Shifting(), keep_colour=True)
    plan = upscaler._planner.plan
    monkeypatch.setattr(
        upscaler._planner, "plan", lambda size, row, result: told.append(result) or plan(size, row, result)
    )
    list(upscaler.bands(image))
    list(upscaler.bands(image, keep_colour=False))
    assert told == [waiting_rows((300, 262), 2, False) * 262 * 3, 0]


def test_alpha_is_as_without(image: np.ndarray) -> None:
    picture = Picture(image, image[..., :1] + 50)
    plain, kept = (upscale_picture(Upscaler(Shifting(), keep_colour=keeps), picture) for keeps in (False, True))
    assert np.array_equal(plain.alpha, kept.alpha) and not np.array_equal(plain.pixels, kept.pixels)


def test_what_needs_no_correction_is_as_without(image: np.ndarray) -> None:
    network = NETWORKS.build({"type": "Bicubic", "scale": 4})
    flat = np.full((20, 30, 3), 77, np.uint8)
    assert np.array_equal(Upscaler(network, keep_colour=True)(flat), Upscaler(network)(flat))


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (5, 3)])
def test_images_smaller_than_a_cell(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    assert np.abs(Upscaler(Shifting(), keep_colour=True)(image).astype(int) - 90).max() <= 1


def test_a_result_that_wraps_has_no_seam(image: np.ndarray) -> None:
    image = image[:64, :96]
    upscaler = Upscaler(Shifting(), wrap="xy", keep_colour=True)
    rolled = np.roll(upscaler(np.roll(image, (32, 48), (0, 1))), (-64, -96), (0, 1))
    assert np.abs(rolled.astype(int) - upscaler(image)).max() <= 1


@pytest.mark.slow
def test_a_published_gan_on_a_photograph(weights_root: Path) -> None:
    image = np.ascontiguousarray(skimage.data.astronaut()[:200, 120:320])
    network = load_network(str(weights_root / COMPACT))
    plain, kept = (Upscaler(network, keep_colour=keeps) for keeps in (False, True))
    before, after = (np.abs(low_difference(plain, image, each(image))) for each in (plain, kept))
    assert np.quantile(before, 0.5) > 1 and np.quantile(after, 0.99) < 0.5


def test_cells_of_a_result_that_is_longer_than_the_scale_says() -> None:
    cells = ColourCells(np.zeros((31, 17, 3), np.uint8), (73, 40), (2.35, 2.35))  # 72.85 and 39.95 px
    assert [edges[-1] for edges in cells.edges] == [pytest.approx(72.85), pytest.approx(39.95)]
