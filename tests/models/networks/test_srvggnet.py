from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.models.networks.srvggnet import SRVGGNetCompact


@pytest.mark.parametrize("num_blocks", [16, 32])
def test_state_dict_keys_and_shapes_are_real_esrgans(num_blocks):
    expected = {"body.0.weight": (64, 3, 3, 3), "body.0.bias": (64,), "body.1.weight": (64,)}
    for number in range(1, num_blocks + 1):
        expected |= {f"body.{2 * number}.weight": (64, 64, 3, 3), f"body.{2 * number}.bias": (64,)}
        expected[f"body.{2 * number + 1}.weight"] = (64,)
    expected |= {f"body.{2 * num_blocks + 2}.weight": (48, 64, 3, 3), f"body.{2 * num_blocks + 2}.bias": (48,)}
    state = SRVGGNetCompact(4, num_blocks=num_blocks).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_forward_written_out(scale):
    torch.manual_seed(0)
    network = SRVGGNetCompact(scale, num_features=5, num_blocks=2)
    lq = torch.rand(2, 3, 6, 7)
    x = lq
    for number in (0, 2, 4):
        x = F.conv2d(x, network.body[number].weight, network.body[number].bias, padding=1)
        x = torch.where(x > 0, x, network.body[number + 1].weight.view(1, -1, 1, 1) * x)
    x = F.pixel_shuffle(F.conv2d(x, network.body[6].weight, network.body[6].bias, padding=1), scale)
    repeated = lq.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    torch.testing.assert_close(network(lq), x + repeated)
