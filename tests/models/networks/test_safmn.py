from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.inference.tiling.receptive_field import measure_receptive_field
from srtoolbox.models.networks.safmn import SAFMN, SAFMNPP

NTIRE = {"num_features": 36, "num_blocks": 6, "ratio": 3, "residual": True}


@pytest.mark.parametrize(
    ("network", "scale", "arguments", "parameters"),
    [
        (SAFMN, 2, {}, 227_820),
        (SAFMN, 4, {}, 239_520),
        (SAFMN, 4, {"num_features": 128, "num_blocks": 16}, 5_600_816),
        (SAFMNPP, 4, {}, 66_176),
        (SAFMNPP, 4, NTIRE, 211_572),
    ],
)
def test_the_authors_sizes(network, scale, arguments, parameters):
    """The paper's 228 K, 240 K and 5.60 M; those of the released file and of the challenge's code."""
    with torch.device("meta"):
        assert sum(p.numel() for p in network(scale, **arguments).parameters()) == parameters


def layers(network: torch.nn.Module) -> set[str]:
    return {key.rpartition(".")[0] for key in network.state_dict()}


def test_state_dict_keys_are_the_authors():
    mixing = ["norm1", "norm2", "safm.aggr", "ccm.ccm.0", "ccm.ccm.2", *(f"safm.mfr.{n}" for n in range(4))]
    assert layers(SAFMN(4)) == {"to_feat", "to_img.0"} | {f"feats.{n}.{part}" for n in range(8) for part in mixing}
    simple = [f"conv1.{part}" for part in ("proj", "dwconv", "out")]
    for residual, mixer in ((False, ["conv2.conv.0", "conv2.conv.2"]), (True, ["conv2.conv1", "conv2.conv2"])):
        blocks = {f"feats.{n}.{part}" for n in range(2) for part in simple + mixer}
        assert layers(SAFMNPP(4, residual=residual)) == {"to_feat", "to_img.0"} | blocks
    assert not any(key.endswith("bias") for key in SAFMNPP(4).state_dict())


@pytest.mark.parametrize("size", [(16, 24), (17, 30)])
@pytest.mark.parametrize("residual", [False, True])
def test_safmnpp_written_out(residual, size):
    torch.manual_seed(0)
    network = SAFMNPP(3, num_features=6, num_blocks=2, ratio=3, residual=residual).double()
    lq, state = torch.rand(2, 3, *size, dtype=torch.float64), network.state_dict()
    names = ("conv1", "conv2") if residual else ("conv.0", "conv.2")

    def conv(name, x, groups=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / 2**0.5))

    x = shallow = conv("to_feat", lq)
    for block in ("feats.0.", "feats.1."):
        projected = conv(block + "conv1.proj", x)
        part, rest = projected[:, :2], projected[:, 2:]
        coarse = conv(block + "conv1.dwconv", F.adaptive_max_pool2d(part, (size[0] // 8, size[1] // 8)), groups=2)
        gate = gelu(F.interpolate(coarse, size=size, mode="bilinear", align_corners=False))
        y = conv(block + "conv1.out", gelu(torch.cat((rest, gate * part), 1)))
        y = conv(f"{block}conv2.{names[1]}", gelu(conv(f"{block}conv2.{names[0]}", y)))
        x = x + y if residual else y
    expected = F.pixel_shuffle(conv("to_img.0", x if residual else x + shallow), 3)
    if residual:
        expected = expected + F.interpolate(lq, scale_factor=3, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(lq), expected)


@pytest.mark.parametrize("network", [SAFMN(3, num_features=8, num_blocks=1), SAFMNPP(2, num_features=4, num_blocks=1)])
def test_the_field_is_as_measured(network):
    """By NaN: of a maximum no gradient says all that it depends on."""
    assert measure_receptive_field(network) == network.receptive_field


def test_an_image_smaller_than_the_coarsest_cell():
    assert SAFMN(2, num_features=8, num_blocks=1)(torch.rand(1, 3, 5, 3)).shape == (1, 3, 10, 6)


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (SAFMN, {"num_features": 30}, "SAFMN: num_features=30 is not possible; it is a multiple of 4"),
        (SAFMN, {"ffn_scale": 0.0}, "SAFMN: ffn_scale=0.0 is not possible; times num_features it is at least 1"),
        (SAFMNPP, {"ratio": 1}, "SAFMNPP: ratio=1 is not possible; it is from 2 to num_features"),
    ],
)
def test_impossible_arguments_are_named(network, arguments, message):
    with pytest.raises(ConfigError, match=message):
        network(2, **arguments)
