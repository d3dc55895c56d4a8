from __future__ import annotations

import pytest
import torch
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.srresnet import SRResNet


def test_the_papers_network():
    network = SRResNet(4)
    block = 2 * 9 * 64 * 64 + 4 * 64 + 1
    upsample = 9 * 64 * 256 + 256 + 1
    ends = 2 * 81 * 3 * 64 + 64 + 3 + 1
    body_end = 9 * 64 * 64 + 2 * 64
    assert sum(p.numel() for p in network.parameters()) == 16 * block + 2 * upsample + ends + body_end
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 33
    assert network.receptive_field == 40


def test_state_dict_keys_are_the_documented_ones():
    keys = {key.rpartition(".")[0] for key in SRResNet(4, num_blocks=1).state_dict()}
    block = {f"body.0.{part}" for part in ("conv1", "bn1", "act", "conv2", "bn2")}
    tail = {f"upsample.{i}.{part}" for i in (0, 1) for part in ("conv", "act")}
    assert keys == {"conv_first", "act_first", "conv_body", "bn_body", "conv_last"} | block | tail


def test_the_long_skip_and_every_block_count():
    torch.manual_seed(0)
    network = SRResNet(2, num_features=8, num_blocks=2).eval()
    lq = torch.rand(1, 3, 8, 8)
    before = network(lq)
    for bn in (network.bn_body, network.body[0].bn2, network.body[1].bn2):
        nn.init.zeros_(bn.weight)
    without_body = network.conv_last(network.upsample(network.act_first(network.conv_first(lq))))
    torch.testing.assert_close(network(lq), without_body)
    assert not torch.allclose(before, without_body)


def test_variants_of_public_weights():
    torch.manual_seed(0)
    network = SRResNet(2, num_features=8, num_blocks=1, bias=True, body_end="prelu", output="tanh").eval()
    assert {"body.0.conv1.bias", "body.0.conv2.bias", "conv_body.bias", "act_body.weight"} < set(network.state_dict())
    assert not any(key.startswith("bn_body") for key in network.state_dict())
    lq = torch.rand(1, 3, 8, 8)
    shallow = network.act_first(network.conv_first(lq))
    end = network.conv_body(network.body(shallow))
    features = shallow + torch.where(end > 0, end, network.act_body.weight * end)
    expected = torch.sigmoid(2 * network.conv_last(network.upsample(features)))  # = (tanh + 1) / 2
    torch.testing.assert_close(network(lq), expected)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"body_end": "relu"}, "'batch', 'prelu'"), ({"output": "sigmoid"}, "'linear', 'tanh'")]
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=f"allowed: {message}"):
        SRResNet(4, **arguments)


@pytest.mark.parametrize("size", [(1, 1), (1, 2)])
def test_instance_norm_takes_a_single_pixel(size):
    network = SRResNet(2, num_features=4, num_blocks=1, norm="instance")
    for training in (True, False):
        sr = network.train(training)(torch.rand(1, 3, *size))
        assert sr.shape == (1, 3, 2 * size[0], 2 * size[1])
        assert sr.isfinite().all()
