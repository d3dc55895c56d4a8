"""Textures that tile: the result tiles too, however it is cut, and a rolled image gives the rolled result."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import srtoolbox
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import Picture, to_image, to_tensor
from srtoolbox.inference.picture import upscale_picture
from srtoolbox.inference.restore import RefinementOnly, restore, upscale_whole
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.models.networks.bicubic import Bicubic
from srtoolbox.resize import imresize
from tests.inference.networks import Hungry, Smooth, build


def rolled(image: np.ndarray) -> np.ndarray:
    """By half the size: what was the edge is in the middle."""
    return np.roll(image, (image.shape[0] // 2, image.shape[1] // 2), (0, 1))


def differs(first: np.ndarray, second: np.ndarray) -> int:
    """The most levels between two images; at most one pixel in a thousand may differ at all."""
    difference = np.abs(first.astype(int) - second)
    assert first.shape == second.shape and (difference > 0).mean() < 1e-3
    return difference.max()


def cell(photo: np.ndarray, height: int = 40, width: int = 52) -> np.ndarray:
    return np.ascontiguousarray(photo[60 : 60 + height, 90 : 90 + width])


NETWORKS = ("ESPCN", 3), ("MSRResNet", 4), ("RRDBNet", 2), ("SRCNN", 3), ("FSRCNN", 2)


@pytest.mark.parametrize(
    ("name", "scale", "options"),
    [
        *((name, scale, {"tile": 32 if name == "RRDBNet" else 16, "batch": 3}) for name, scale in NETWORKS),
        ("MSRResNet", 4, {"tile": None}),
        ("ESPCN", 3, {"ensemble": True}),
    ],
)
def test_a_rolled_image_gives_the_rolled_result(photo, name, scale, options):
    upscaler = Upscaler(build(name, scale), wrap="xy", **options)
    image = cell(photo)
    assert differs(upscaler(rolled(image)), rolled(upscaler(image))) <= 1


@pytest.mark.parametrize("wrap", ["x", "y", "xy"])
@pytest.mark.parametrize(("name", "scale", "size"), [("ESPCN", 3, (41, 53)), ("RRDBNet", 2, (21, 23))])
@pytest.mark.parametrize("tile", [None, 16])
def test_the_result_is_that_of_an_image_among_its_repetitions(photo, wrap, name, scale, size, tile):
    network, image, around = build(name, scale), cell(photo, *size), 72
    margins = [(around, around) if axis in wrap else (0, 0) for axis in "yx"]
    whole = upscale_whole(network, np.pad(image, [*margins, (0, 0)], mode="wrap"))
    places = [slice(before * scale, (before + n) * scale) for (before, _), n in zip(margins, size, strict=True)]
    assert differs(Upscaler(network, wrap=wrap, tile=tile)(image), whole[tuple(places)]) <= 1


def test_an_edge_that_wraps_is_another_than_one_that_does_not(photo):
    image, network = cell(photo), build("ESPCN", 3)
    plain, wrapped = (Upscaler(network, wrap=wrap)(image).astype(int) for wrap in (None, "x"))
    changed = np.abs(plain - wrapped).max(axis=(0, 2)) > 0
    reach = 3 * network.receptive_field
    assert changed[:3].any() and changed[-3:].any() and not changed[reach:-reach].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 40)])
def test_an_image_smaller_than_what_the_network_sees_wraps_several_times(photo, size):
    network, image = build("MSRResNet", 4), cell(photo, *size)
    repeats = [-(-60 // n) * 2 + 1 for n in size]
    whole = upscale_whole(network, np.tile(image, (*repeats, 1)))
    places = [slice(r // 2 * n * 4, (r // 2 + 1) * n * 4) for r, n in zip(repeats, size, strict=True)]
    assert differs(Upscaler(network, wrap="xy")(image), whole[tuple(places)]) <= 1


@pytest.mark.parametrize("outscale", [0.3, 1.7, 3.35])
@pytest.mark.parametrize("name", ["FSRCNN", "SRCNN"])
@pytest.mark.parametrize("tile", [None, 24])
def test_any_final_scale_wraps_by_whole_pixels(photo, outscale, name, tile):
    network, image = build(name, 2), cell(photo, 33, 41)
    upscaler = Upscaler(network, wrap="xy", outscale=outscale, tile=tile)
    size = upscaler.size(33, 41)
    with torch.inference_mode():
        if name == "SRCNN" and outscale > 1:
            before = imresize(to_tensor(np.tile(image, (3, 3, 1))), size=(3 * size[0], 3 * size[1]))
            whole = restore(RefinementOnly(network), before).rgb
        else:
            whole = imresize(restore(network, to_tensor(np.tile(image, (3, 3, 1)))).rgb, size=[3 * n for n in size])
    expected = to_image(whole[..., size[0] : 2 * size[0], size[1] : 2 * size[1]])
    assert differs(upscaler(image), expected) <= 1


def test_a_final_scale_wraps_along_one_axis_only(photo):
    network, image = Bicubic(2), cell(photo, 40, 60)
    result = Upscaler(network, wrap="x", outscale=3)(image)
    assert differs(Upscaler(network, wrap="x", outscale=3)(np.roll(image, 30, 1)), np.roll(result, 90, 1)) <= 1
    middle = (slice(None), slice(20, -20))
    assert differs(Upscaler(network, outscale=3)(image)[middle], result[middle]) <= 1


def test_memory_that_runs_out_leaves_a_result_that_wraps(photo):
    image = cell(photo, 100, 90)
    expected = np.tile(image, (3, 3, 1))
    for outscale in (None, 3.0):
        upscaler = Upscaler(Hungry(MemoryError()), tile=80, wrap="xy", outscale=outscale)
        whole = Upscaler(Smooth(), outscale=outscale)(expected)
        height, width = upscaler.size(100, 90)
        assert differs(upscaler(image), whole[height : 2 * height, width : 2 * width]) <= 1


@pytest.mark.parametrize("options", [{}, {"outscale": 3.0}])
def test_transparency_wraps(photo, options):
    image = cell(photo, 40, 60)
    alpha = np.where(image[..., :1] > 90, 255 - image[..., 1:2] // 4, 0).astype(np.uint8)
    upscaler = Upscaler(build("ESPCN", 2), wrap="xy", **options)
    first, second = (upscale_picture(upscaler, Picture(turn(image), turn(alpha))) for turn in (lambda x: x, rolled))
    assert differs(second.alpha, rolled(first.alpha)) <= 1
    shown = first.alpha[..., 0] > 0
    difference = np.abs(second.pixels.astype(int) - rolled(first.pixels)).max(axis=2)[rolled(shown[..., None])[..., 0]]
    assert (difference > 1).mean() < 0.02  # where two visible pixels are equally near to a hidden one


def test_gray_and_sixteen_bits_wrap(photo):
    image = cell(photo)[..., :1].astype(np.uint16) * 257
    upscaler = Upscaler(build("ESPCN", 3), wrap="xy", tile=16)
    assert np.abs(upscaler(rolled(image)).astype(int) - rolled(upscaler(image))).max() <= 1


def test_statistics_are_those_of_the_image(photo, caplog):
    network, image = build("IMDN", 2), cell(photo, 64, 72)
    upscaler = Upscaler(network, wrap="xy")
    with caplog.at_level(logging.WARNING, "srtoolbox"):
        result = upscaler(image)
        assert np.abs(upscaler(rolled(image)).astype(int) - rolled(result)).max() <= 2
    assert len(caplog.records) == 1 and "sees the whole image" in caplog.text
    plain = Upscaler(network)(image).astype(int)
    assert np.abs(plain - result)[50:-50, 50:-50].max() <= 3


def test_statistics_count_every_pixel_as_often(photo):
    class Lifted(Smooth):
        receptive_field = None

        def forward(self, lq: Tensor) -> Tensor:
            return super().forward(lq) / 2 + lq.mean((1, 2, 3), keepdim=True) / 2

    image = cell(photo, 71, 45)
    image[:20], image[20:] = 40 + image[:20] // 8, 215 - image[20:] // 8
    smooth = Upscaler(Smooth(), wrap="xy")(image)
    assert np.abs(Upscaler(Lifted(), wrap="xy")(image) - (smooth / 2 + image.mean() / 2)).max() <= 1


@pytest.mark.parametrize("outscale", [None, 3.0, 0.75])
def test_what_lies_around_a_network_wraps_where_it_sees_no_neighbours(photo, outscale):
    class Repeat(nn.Module):
        scale, in_channels, colour, size_multiple, receptive_field = 2, 1, "y", 1, 0

        def forward(self, lq: Tensor) -> Tensor:
            return lq.repeat_interleave(2, -1).repeat_interleave(2, -2)

    upscaler, image = Upscaler(Repeat(), wrap="xy", outscale=outscale), cell(photo, 40, 56)
    assert differs(upscaler(rolled(image)), rolled(upscaler(image))) <= 1


def test_overlapping_patches_wrap(photo):
    network, image = build("SRCNN", 2), cell(photo, 6, 8).astype(np.uint16) * 257
    whole = Upscaler(network, patches="overlapping")(np.tile(image, (1, 7, 1)))[:, 48:64]
    result = Upscaler(network, patches="overlapping", wrap="x")(image)
    assert np.abs(result.astype(int) - whole).max() <= 2  # of 65535


def test_an_overlap_is_less_work_and_a_word_says_so(photo, caplog):
    network, image = build("ESPCN", 2), cell(photo)
    network.receptive_field = 100
    with caplog.at_level(logging.WARNING, "srtoolbox"):
        upscaler = Upscaler(network, wrap="xy")
        assert differs(upscaler(image), Upscaler(network, wrap="xy", overlap=8)(image)) <= 1
        upscaler(image)
    assert caplog.text.count("to wrap exactly, this network sees 100 pixels beyond the edges") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wrap": "z"}, "wrap is one of x, y, xy, or None, got 'z'"),
        ({"wrap": True}, "got True"),
        ({"wrap": "x", "patches": "non-overlapping"}, "take 'overlapping'"),
    ],
)
def test_what_cannot_wrap_is_refused(options, words):
    with pytest.raises(SrtoolboxError, match=words):
        Upscaler(build("SRCNN", 2), **options)


def test_the_public_function_wraps(photo):
    image, network = cell(photo), build("ESPCN", 2)
    assert np.array_equal(srtoolbox.upscale(network, image, wrap="xy"), Upscaler(network, wrap="xy")(image))
