from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.rrdbnet import RRDBNet

SMALL = {"num_features": 8, "growth_channels": 4, "num_blocks": 2}


def layers_of(network: RRDBNet) -> set[str]:
    return {key.removesuffix(".weight") for key in network.state_dict() if key.endswith(".weight")}


def expected_layers(blocks: int, upconvs: int, dense: int = 3, convs: int = 5) -> set[str]:
    body = {f"body.{b}.rdb{d}.conv{c}" for b in range(blocks) for d in range(1, dense + 1) for c in range(1, convs + 1)}
    ups = {f"conv_up{number}" for number in range(1, upconvs + 1)}
    return {"conv_first", "conv_body", "conv_hr", "conv_last"} | body | ups


def test_the_official_networks_keys_and_size():
    with torch.device("meta"):
        network = RRDBNet(4)
    state = network.state_dict()
    assert layers_of(network) == expected_layers(23, 2)
    assert {key.rpartition(".")[0] for key in state} == layers_of(network)
    assert len(state) == 702
    assert sum(p.numel() for p in network.parameters()) == 16_697_987  # the released RRDB_ESRGAN_x4.pth
    assert tuple(state["body.22.rdb3.conv5.weight"].shape) == (64, 192, 3, 3)
    assert tuple(state["body.0.rdb1.conv4.bias"].shape) == (32,)
    assert network.receptive_field == 1 + 23 * 15 + 1 + 2


@pytest.mark.parametrize(("scale", "inputs"), [(1, 48), (2, 12), (4, 3)])
def test_x2_and_x1_have_the_x4_keys_and_wider_inputs(scale, inputs):
    network = RRDBNet(scale, **SMALL)
    assert layers_of(network) == expected_layers(2, 2)
    assert network.conv_first.in_channels == inputs
    assert network.size_multiple == 4 // scale


@pytest.mark.parametrize(("scale", "upconvs"), [(1, 0), (2, 1), (3, 1), (4, 2), (8, 3)])
@pytest.mark.parametrize("upsampling", ["nearest", "pixelshuffle"])
def test_without_unshuffle_one_convolution_for_each_step(scale, upconvs, upsampling):
    network = RRDBNet(scale, upsampling=upsampling, unshuffle=False, **SMALL)
    assert layers_of(network) == expected_layers(2, upconvs)
    assert network.size_multiple == 1
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 5 * scale, 7 * scale)


def test_blocks_inside_blocks_are_counted_as_asked():
    network = RRDBNet(4, num_dense_blocks=2, num_convs=4, **SMALL)
    assert layers_of(network) == expected_layers(2, 2, dense=2, convs=4)
    assert tuple(network.body[0].rdb2.conv4.weight.shape) == (8, 8 + 3 * 4, 3, 3)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("upsampling", ["nearest", "pixelshuffle"])
def test_forward_written_out(scale, upsampling):
    torch.manual_seed(0)
    network = RRDBNet(scale, upsampling=upsampling, residual_scaling=0.3, **SMALL)
    with torch.no_grad():
        for parameter in network.body.parameters():
            parameter.mul_(10)  # so that the body counts
    lq = torch.rand(2, 3, 8, 12)

    def conv(name, x):
        layer = network.get_submodule(name)
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    def lrelu(x):
        return torch.where(x > 0, x, 0.2 * x)

    cell = {1: 4, 2: 2}.get(scale, 1)
    x = first = conv("conv_first", F.pixel_unshuffle(lq, cell))
    for b in range(2):
        outer = x
        for d in (1, 2, 3):
            inner, name = x, f"body.{b}.rdb{d}.conv"
            x1 = lrelu(conv(name + "1", x))
            x2 = lrelu(conv(name + "2", torch.cat((x, x1), 1)))
            x3 = lrelu(conv(name + "3", torch.cat((x, x1, x2), 1)))
            x4 = lrelu(conv(name + "4", torch.cat((x, x1, x2, x3), 1)))
            x = conv(name + "5", torch.cat((x, x1, x2, x3, x4), 1)) * 0.3 + inner
        x = x * 0.3 + outer
    x = first + conv("conv_body", x)
    for number, factor in enumerate({3: [3], 8: [2, 2, 2]}.get(scale, [2, 2]), start=1):
        name = f"conv_up{number}"
        if upsampling == "nearest":
            x = lrelu(conv(name, x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)))
        else:
            x = lrelu(F.pixel_shuffle(conv(name, x), factor))
    torch.testing.assert_close(network(lq), conv("conv_last", lrelu(conv("conv_hr", x))))


def test_initialisation():
    torch.manual_seed(0)
    network = RRDBNet(4, num_blocks=1)
    for conv in (network.body[0].rdb1.conv1, network.body[0].rdb3.conv5):
        assert conv.weight.std().item() == pytest.approx(0.1 * (2 / conv.weight[0].numel()) ** 0.5, rel=0.05)
        assert not conv.bias.any()
    bound = 1 / network.conv_body.weight[0].numel() ** 0.5
    assert bound * 0.95 < network.conv_body.weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 5}, "scale=5 is not possible; allowed: 1, 2, 3, 4, 8"),
        ({"scale": 4, "upsampling": "bilinear"}, "allowed: 'nearest', 'pixelshuffle'"),
        ({"scale": 4, "num_convs": 0}, "num_convs=0"),
        ({"scale": 4, "growth_channels": 0}, "growth_channels=0"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        RRDBNet(**arguments)
