from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.blocks import ContrastAttention
from srtoolbox.models.networks.imdn import IMDN


@pytest.mark.parametrize(("scale", "thousands"), [(2, 694), (3, 703), (4, 715)])
def test_the_papers_sizes(scale, thousands):
    assert sum(p.numel() for p in IMDN(scale).parameters()) // 1000 == thousands


def test_state_dict_keys_are_the_authors():
    parts = [f"c{i}" for i in range(1, 6)] + ["cca.conv_du.0", "cca.conv_du.2"]
    blocks = {f"IMDB{block}.{part}" for block in range(1, 7) for part in parts}
    layers = {key.rpartition(".")[0] for key in IMDN(4).state_dict()}
    assert layers == blocks | {"fea_conv", "c.0", "LR_conv", "upsampler.0"}


def test_forward_written_out():
    torch.manual_seed(0)
    network = IMDN(3, num_features=32, num_blocks=2).double()
    lq = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    state = network.state_dict()

    def conv(name, x, slope=1.0):
        weight = state[f"{name}.weight"]
        x = F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)
        return torch.where(x > 0, x, slope * x)

    x = shallow = conv("fea_conv", lq)
    outputs = []
    for block in ("IMDB1.", "IMDB2."):
        first = conv(block + "c1", x, 0.05)
        second = conv(block + "c2", first[:, 8:], 0.05)
        third = conv(block + "c3", second[:, 8:], 0.05)
        fourth = conv(block + "c4", third[:, 8:])
        kept = torch.cat((first[:, :8], second[:, :8], third[:, :8], fourth), 1)
        mean = kept.sum((2, 3), keepdim=True) / 63
        contrast = mean + (((kept - mean) ** 2).sum((2, 3), keepdim=True) / 63) ** 0.5
        attention = torch.sigmoid(conv(block + "cca.conv_du.2", conv(block + "cca.conv_du.0", contrast, 0.0)))
        x = conv(block + "c5", kept * attention) + x
        outputs.append(x)
    x = shallow + conv("LR_conv", conv("c.0", torch.cat(outputs, 1), 0.05))
    torch.testing.assert_close(network(lq), F.pixel_shuffle(conv("upsampler.0", x), 3))


def test_a_flat_image_has_a_gradient():
    """The standard deviation of a constant is 0, where a square root has no derivative."""
    attention = ContrastAttention(16, 16)
    features = torch.full((1, 16, 5, 5), 0.3, requires_grad=True)
    attention(features).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_half_precision_statistics_do_not_overflow():
    attention = ContrastAttention(16, 16)
    features = torch.full((1, 16, 8, 8), 600.0).index_fill(3, torch.arange(4), -600).half()  # variance 360000
    with torch.autocast("cpu", torch.float16):
        assert torch.isfinite(attention(features)).all()


def test_impossible_arguments_are_named():
    with pytest.raises(ConfigError, match="IMDN: num_features=40 is not possible; it is a multiple of 16"):
        IMDN(2, num_features=40)
