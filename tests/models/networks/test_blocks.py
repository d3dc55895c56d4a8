"""Common parts of networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, SpatialAttention, sub_pixel_steps


def test_a_centred_network_takes_the_mean_off_and_puts_it_back() -> None:
    network = Centred(2, "rgb", 255, DIV2K_MEAN)
    image = torch.rand(2, 3, 4, 5)
    expected = 255 * (image - torch.tensor(DIV2K_MEAN).view(3, 1, 1))
    torch.testing.assert_close(network.centre(image), expected)
    torch.testing.assert_close(network.uncentre(network.centre(image)), image)
    assert network.state_dict() == {} and network.double().mean.dtype == torch.float64


def test_luma_has_no_mean_taken_off() -> None:
    image = torch.rand(1, 1, 4, 5)
    assert torch.equal(Centred(2, "y", 255, DIV2K_MEAN).centre(image), image * 255)


@pytest.mark.parametrize(("changed", "key"), [({"img_range": 0}, "img_range"), ({"rgb_mean": (0.5,)}, "rgb_mean")])
def test_impossible_ranges_and_means_are_refused(changed: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=f"Centred: {key}=") as error:
        Centred(**{"scale": 2, "colour": "rgb", "img_range": 255, "rgb_mean": DIV2K_MEAN, **changed})
    assert error.value.faults[0].key == key


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_sub_pixel_steps_multiply_the_size(scale: int) -> None:
    steps = nn.Sequential(*sub_pixel_steps(scale, 4))
    assert steps(torch.rand(1, 4, 5, 6)).shape == (1, 4, 5 * scale, 6 * scale)
    assert len(steps) == {1: 0, 2: 2, 3: 2, 4: 4, 8: 6}[scale]


@pytest.mark.parametrize("scale", [5, 6])
def test_sub_pixel_steps_of_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(ConfigError, match=f"scale={scale} is not possible; it is 3 or a power of 2"):
        sub_pixel_steps(scale, 4)


@pytest.mark.parametrize("size", [(7, 40), (16, 10), (1, 1)])
@pytest.mark.parametrize("is_deep", [True, False])
def test_spatial_attention_continues_a_small_image(size, is_deep):
    torch.manual_seed(0)
    attention, features = SpatialAttention(8, 4, is_deep), torch.rand(2, 8, *size)
    missing = [max(15 - side, 0) for side in reversed(size)]
    reduced = attention.conv1(features)
    padded = F.pad(reduced, (0, missing[0], 0, missing[1]), mode="replicate")
    coarse = F.max_pool2d(attention.conv2(padded), 7, stride=3)
    if is_deep:
        coarse = attention.conv3_(attention.conv3(attention.conv_max(coarse).relu()).relu())
    else:
        coarse = attention.conv3(coarse)
    fine = F.interpolate(coarse, size, mode="bilinear")
    expected = features * attention.conv4(fine + attention.conv_f(reduced)).sigmoid()
    torch.testing.assert_close(attention(features), expected)
