from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.fsrcnn import FSRCNN


@pytest.mark.parametrize(
    ("arguments", "weights"),
    [({}, 12464), ({"num_features": 32, "shrink_channels": 5, "num_mapping": 1}, 3937)],
)
def test_the_papers_sizes(arguments, weights):
    """The paper counts neither biases nor PReLUs: 12464 for FSRCNN, 3937 for FSRCNN-s."""
    network = FSRCNN(3, **arguments)
    assert sum(p.numel() for p in network.parameters() if p.dim() == 4) == weights


def test_state_dict_keys_are_the_documented_ones():
    layers = {key.rpartition(".")[0] for key in FSRCNN(2).state_dict()}
    assert layers == {"first_part.0", "first_part.1", "last_part", *[f"mid_part.{i}" for i in range(12)]}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_forward_written_out(scale):
    torch.manual_seed(0)
    network = FSRCNN(scale, num_features=6, shrink_channels=3, num_mapping=2).double()
    lq = torch.rand(1, 1, 7, 9, dtype=torch.float64)
    state = network.state_dict()
    x = lq
    for layer in ["first_part.0", "mid_part.0", "mid_part.2", "mid_part.4", "mid_part.6"]:
        weight = state[f"{layer}.weight"]
        x = F.conv2d(x, weight, state[f"{layer}.bias"], padding=weight.shape[-1] // 2)
        stem, number = layer.split(".")
        slope = state[f"{stem}.{int(number) + 1}.weight"].view(1, -1, 1, 1)
        x = x.clamp(min=0) + slope * x.clamp(max=0)
    sr = torch.zeros(1, 1, 7 * scale + 8, 9 * scale + 8, dtype=torch.float64)  # each LR pixel stamps its 9 x 9 kernel
    for row in range(7):
        for column in range(9):
            stamp = (x[0, :, row, column].view(-1, 1, 1) * state["last_part.weight"][:, 0]).sum(0)
            sr[0, 0, row * scale : row * scale + 9, column * scale : column * scale + 9] += stamp
    expected = sr[..., 4 : 4 + 7 * scale, 4 : 4 + 9 * scale] + state["last_part.bias"]
    torch.testing.assert_close(network(lq), expected)


def test_initialisation():
    torch.manual_seed(0)
    network = FSRCNN(2)
    assert network.last_part.weight.std().item() == pytest.approx(1e-3, rel=0.05)
    assert network.first_part[0].weight.std().item() == pytest.approx((2 / (56 * 25)) ** 0.5, rel=0.1)
    assert not any(bias.any() for name, bias in network.named_parameters() if name.endswith("bias"))


def test_impossible_arguments_are_named():
    with pytest.raises(ConfigError, match="FSRCNN: num_mapping=0"):
        FSRCNN(2, num_mapping=0)
