"""Images as tensors and back; colour against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import torch

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import (
    batch_to_float,
    expand_gray,
    rgb_to_y,
    rgb_to_ycbcr,
    to_image,
    to_tensor,
    ycbcr_to_rgb,
)
from srtoolbox.image.tensors import batch_to_y
from tests.image.samples import RGB, RGB16


@pytest.mark.parametrize("image", [RGB, RGB[..., :1], RGB16, RGB16[..., :1]])
def test_tensor_round_trip(image: np.ndarray) -> None:
    peak, bits = np.iinfo(image.dtype).max, np.iinfo(image.dtype).bits
    image.flags.writeable = False
    tensor = to_tensor(image)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert torch.equal(tensor[0].permute(1, 2, 0), torch.from_numpy((image / np.float32(peak)).astype(np.float32)))
    assert np.array_equal(to_image(tensor, bits=bits), image)
    assert np.array_equal(to_image(tensor[0], bits=bits), image)
    batch = torch.from_numpy(np.stack([image, image[::-1]]))
    assert torch.equal(batch_to_float(batch)[:1], tensor)
    assert torch.equal(batch_to_float(batch)[1], tensor[0].flip(1))
    assert torch.equal(to_tensor(image[..., 0]), tensor[:, :1])


@pytest.mark.parametrize("image", [RGB, RGB16])
def test_the_luma_of_a_batch_is_that_of_its_floats(image: np.ndarray) -> None:
    batch = torch.from_numpy(np.stack([image, image[::-1]]))
    expected = rgb_to_y(batch_to_float(batch))
    luma = batch_to_y(batch)
    assert luma.shape == expected.shape
    assert luma.is_contiguous()
    assert torch.allclose(luma, expected, rtol=0, atol=2e-7)
    assert torch.equal(batch_to_y(batch.transpose(1, 2)), luma.transpose(2, 3))  # laid out otherwise
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(batch_to_y(batch), expected)
    with pytest.raises(SrtoolboxError, match=r"\(N, H, W, 3\)"):
        batch_to_y(batch[..., :1])


def test_to_image_rounds_and_clips() -> None:
    levels = torch.tensor([-3.0, 0.4, 0.6, 254.4, 254.6, 300.0, float("inf"), float("-inf")])
    assert to_image(levels.view(1, 2, 4) / 255).ravel().tolist() == [0, 0, 1, 254, 255, 255, 255, 0]
    assert to_image(torch.ones(1, 3, 2, 2, requires_grad=True).bfloat16()).tolist() == [[[255] * 3] * 2] * 2


def test_misuse_of_tensors_is_named() -> None:
    with pytest.raises(SrtoolboxError, match="float32"):
        batch_to_float(torch.zeros(1, 2, 2, 3))
    with pytest.raises(SrtoolboxError, match="one image"):
        to_image(torch.zeros(2, 3, 4, 4))
    with pytest.raises(SrtoolboxError, match="12"):
        to_image(torch.zeros(3, 4, 4), bits=12)
    for convert in (rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb):
        with pytest.raises(SrtoolboxError, match=r"\(N, 3, H, W\)"):
            convert(torch.zeros(1, 1, 4, 4))


def test_expand_gray() -> None:
    assert np.array_equal(expand_gray(RGB[..., :1]), np.dstack([RGB[..., 0]] * 3))
    assert expand_gray(RGB) is RGB


# ---- colour


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 3e-7)])
def test_colour_against_skimage(dtype: torch.dtype, tolerance: float) -> None:
    values = np.concatenate([np.eye(3), 1 - np.eye(3), np.zeros((1, 3)), np.ones((1, 3)), np.random.rand(92, 3)])
    rgb = torch.from_numpy(values).to(dtype).T.reshape(1, 3, 10, 10)
    expected = torch.from_numpy(skimage.color.rgb2ycbcr(values) / 255).T.reshape(1, 3, 10, 10)
    assert (rgb_to_ycbcr(rgb) - expected).abs().max() <= tolerance
    assert (rgb_to_y(rgb) - expected[:, :1]).abs().max() <= tolerance
    assert rgb_to_y(rgb).dtype == dtype
    assert (ycbcr_to_rgb(rgb_to_ycbcr(rgb)) - rgb).abs().max() <= 10 * tolerance


def test_gray_has_neutral_chroma_and_known_ends() -> None:
    ycbcr = rgb_to_ycbcr(torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 3, 1, 1)) * 255
    assert torch.allclose(ycbcr.flatten(1), torch.tensor([[16.0, 128, 128], [235, 128, 128]], dtype=torch.float64))


def test_colour_is_differentiable_and_keeps_out_of_autocast() -> None:
    rgb = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    for convert in (rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb):
        assert torch.autograd.gradcheck(convert, (rgb,))
    with torch.autocast("cpu", torch.bfloat16):
        assert rgb_to_y(rgb.detach().float()).dtype == torch.float32
