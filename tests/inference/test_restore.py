"""`restore` and `upscale` for every network, odd sizes, gray, 16 bit, padding, modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import rgb_to_y, rgb_to_ycbcr, to_image, to_tensor
from srtoolbox.inference.restore import evaluation, restore, upscale_whole
from srtoolbox.models.networks.bicubic import Bicubic
from srtoolbox.models.networks.espcn import ESPCN
from srtoolbox.models.networks.srresnet import SRResNet
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from tests.models.networks.small import GENERATORS, small_config


class Window(nn.Module):
    """A network that takes multiples of 8 only and repeats pixels."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 8, 0

    def forward(self, lq: Tensor) -> Tensor:
        assert lq.shape[-2] % 8 == 0
        assert lq.shape[-1] % 8 == 0
        return lq.repeat_interleave(2, -1).repeat_interleave(2, -2)


class BicubicLuma(Bicubic):
    """Bicubic as a Y network: must give the same image as bicubic in RGB."""

    in_channels, colour = 1, "y"


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_upscales_odd_images(photo, name, dtype, channels):
    network = NETWORKS.build(small_config(name, 3))
    image = photo[:17, :23, :channels].astype(dtype) * (257 if dtype == np.uint16 else 1)
    sr = upscale_whole(network, image)
    assert sr.shape == (51, 69, channels)
    assert sr.dtype == dtype


@pytest.mark.parametrize("bits", [8, 16])
def test_bicubic_is_imresize_and_one_rounding(photo, bits):
    image = photo[:40, :50].astype(f"uint{bits}") * (257 if bits == 16 else 1)
    expected = to_image(imresize(to_tensor(image), 4), bits=bits)
    assert np.array_equal(upscale_whole(Bicubic(4), image), expected)


def test_a_16_bit_image_keeps_its_fine_steps():
    image = (np.arange(40 * 40).reshape(40, 40, 1) % 200 + 30000).astype(np.uint16)
    sr = upscale_whole(Bicubic(2), image)
    assert len(np.unique(sr)) > 150


def test_luma_and_bicubic_chroma(photo):
    lq = to_tensor(photo[:40, :50])
    restored = restore(BicubicLuma(3), lq)
    torch.testing.assert_close(restored.rgb, imresize(lq, 3), atol=2e-6, rtol=0)
    torch.testing.assert_close(restored.output, imresize(rgb_to_y(lq), 3), atol=2e-6, rtol=0)


def test_a_y_network_changes_luma_only(photo):
    torch.manual_seed(0)
    network = ESPCN(2)
    lq = to_tensor(photo[:40, :50])
    ycbcr = rgb_to_ycbcr(lq)
    with torch.inference_mode():
        restored = restore(network, lq)
        torch.testing.assert_close(restored.output, network(ycbcr[:, :1]), atol=1e-5, rtol=0)
        again = rgb_to_ycbcr(restored.rgb)
        torch.testing.assert_close(again[:, :1], restored.output, atol=1e-5, rtol=0)
        torch.testing.assert_close(again[:, 1:], imresize(ycbcr[:, 1:], 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("network", [Bicubic(2), BicubicLuma(2)])
def test_gray_is_three_equal_channels(photo, network):
    gray = np.ascontiguousarray(photo[:30, :40, 1:2])
    colour = upscale_whole(network, np.repeat(gray, 3, axis=2))[..., 1:2]
    difference = np.abs(upscale_whole(network, gray).astype(int) - colour)
    assert difference.max() <= 1  # a value between two levels may round either way
    assert (difference > 0).mean() < 0.002


@pytest.mark.parametrize("size", [(8, 16), (9, 23), (3, 2), (1, 1), (17, 4)])
def test_padding_to_the_size_multiple_is_cut_off_again(size):
    lq = torch.rand(2, 3, *size)
    expected = lq.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(restore(Window(), lq).rgb, expected)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("colour", ["y", "rgb"])
def test_restoring_is_differentiable(scale, colour):
    network = ESPCN(scale, colour=colour)
    restore(network, torch.rand(1, 3, 9, 10)).rgb.mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_modes_are_evaluation_inside_and_as_before_after(photo):
    network = SRResNet(2, num_features=4, num_blocks=2).train()
    network.bn_body.eval()
    statistics = network.body[0].bn1.running_mean.clone()
    first = upscale_whole(network, photo[:12, :12])
    assert network.training
    assert network.body[0].bn1.training
    assert not network.bn_body.training
    assert torch.equal(network.body[0].bn1.running_mean, statistics)
    assert np.array_equal(first, upscale_whole(network, photo[:12, :12]))
    with pytest.raises(ZeroDivisionError), evaluation(network):
        assert not network.body[0].bn1.training
        raise ZeroDivisionError
    assert network.body[0].bn1.training


@pytest.fixture
def _tf32_as_before():
    yield
    torch.backends.cudnn.allow_tf32 = True  # torch's default


@pytest.mark.usefixtures("_tf32_as_before")
@pytest.mark.parametrize("allowed", [True, False, "apart"])
def test_float32_is_float32_inside(allowed):
    """Without TF32, which cuDNN uses for convolutions unless it is told not to; and torch's own flags stay readable."""
    cudnn = torch.backends.cudnn
    if allowed == "apart":
        cudnn.conv.fp32_precision = "ieee"  # from here on torch itself refuses to read allow_tf32
    else:
        cudnn.allow_tf32 = allowed
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    with pytest.raises(KeyError), evaluation(ESPCN(scale=2)):
        assert cudnn.conv.fp32_precision == cudnn.rnn.fp32_precision == "ieee"
        if allowed != "apart":
            assert not cudnn.allow_tf32
            with cudnn.flags(enabled=True, benchmark=False):
                pass
            assert cudnn.conv.fp32_precision != "tf32"
        with evaluation(ESPCN(scale=2)):
            pass
        assert cudnn.conv.fp32_precision != "tf32"
        raise KeyError
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == before
    if allowed != "apart":
        assert cudnn.allow_tf32 == allowed


def test_nothing_is_left_for_autograd(photo):
    network = ESPCN(2)
    upscale_whole(network, photo[:8, :8])
    network(torch.rand(1, 1, 8, 8)).mean().backward()
    assert network.conv1.weight.grad is not None


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)]
)
def test_other_arrays_are_refused(image):
    with pytest.raises(SrtoolboxError):
        upscale_whole(Bicubic(2), image)
