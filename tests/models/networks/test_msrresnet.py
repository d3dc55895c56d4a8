from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.msrresnet import MSRResNet


@pytest.mark.parametrize(("scale", "upconvs"), [(2, ["upconv1"]), (3, ["upconv1"]), (4, ["upconv1", "upconv2"])])
def test_state_dict_keys_are_basicsrs(scale, upconvs):
    layers = ["conv_first", *[f"body.{i}.conv{j}" for i in range(16) for j in (1, 2)], *upconvs, "conv_hr", "conv_last"]
    assert set(MSRResNet(scale).state_dict()) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_size_and_radius():
    network = MSRResNet(4)
    assert sum(p.numel() for p in network.parameters()) == 1_517_571  # what BasicSR prints for it
    assert network.receptive_field == 35


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_forward_written_out(scale):
    torch.manual_seed(0)
    network = MSRResNet(scale, num_features=8, num_blocks=2, init="torch")
    lq = torch.rand(1, 3, 7, 9)

    def lrelu(x):
        return torch.where(x > 0, x, 0.1 * x)

    x = lrelu(network.conv_first(lq))
    for block in network.body:
        x = x + block.conv2(block.conv1(x).clamp(min=0))
    for conv in [network.upconv1, network.upconv2] if scale == 4 else [network.upconv1]:
        x = lrelu(F.pixel_shuffle(conv(x), 2 if scale == 4 else scale))
    skip = F.interpolate(lq, size=(7 * scale, 9 * scale), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(lq), network.conv_last(lrelu(network.conv_hr(x))) + skip)


def test_initialisations():
    torch.manual_seed(0)
    network = MSRResNet(4)
    for layer in (network.conv_first, network.body[3].conv2, network.upconv2, network.conv_last):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx(0.1 * (2 / fan_in) ** 0.5, rel=0.1)
        assert not layer.bias.any()
    assert MSRResNet(4, init="torch").conv_hr.bias.any()


def test_starts_near_bilinear():
    lq = torch.rand(1, 3, 12, 12)
    bilinear = F.interpolate(lq, scale_factor=4, mode="bilinear", align_corners=False)
    assert (MSRResNet(4)(lq) - bilinear).abs().max() < 0.01


@pytest.mark.parametrize("scale", [1, 5, 8])
def test_other_scales_are_refused(scale):
    with pytest.raises(ConfigError, match=f"MSRResNet: scale={scale} is not possible; allowed: 2, 3, 4"):
        MSRResNet(scale)
