from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.models.networks.edsr import EDSR
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats.edsr import with_means
from srtoolbox.weights.recognise import recognise
from tests.models.networks.small import small_config

BASELINE = {"num_features": 64, "num_blocks": 16, "residual_scaling": 1.0}
MEAN = [0.4488, 0.4371, 0.4040]


@pytest.mark.parametrize(
    ("scale", "arguments", "parameters"),
    [
        (2, BASELINE, 1_369_859),
        (3, BASELINE, 1_554_499),
        (4, BASELINE, 1_517_571),
        (2, {}, 40_729_603),
        (3, {}, 43_680_003),
        (4, {}, 43_089_923),
    ],
)
def test_the_releases_sizes(scale, arguments, parameters):
    """1.37, 1.55, 1.52, 40.7, 43.7 and 43.1 M in the README of the authors' PyTorch release."""
    with torch.device("meta"):
        assert sum(p.numel() for p in EDSR(scale, **arguments).parameters()) == parameters


def test_state_dict_keys_are_the_authors():
    blocks = {f"body.{n}.body.{k}" for n in range(16) for k in (0, 2)}
    for scale, steps in ((2, {"tail.0.0"}), (3, {"tail.0.0"}), (4, {"tail.0.0", "tail.0.2"})):
        layers = {key.rpartition(".")[0] for key in EDSR(scale, **BASELINE).state_dict()}
        assert layers == blocks | steps | {"head.0", "body.16", "tail.1"}


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_forward_written_out(scale):
    torch.manual_seed(0)
    network = EDSR(scale, num_features=6, num_blocks=2, residual_scaling=0.3).double()
    lq = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    state = network.state_dict()

    def conv(name, x):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    mean = torch.tensor(MEAN).double().view(1, 3, 1, 1)
    x = shallow = conv("head.0", 255 * lq - 255 * mean)
    for block in ("body.0.body", "body.1.body"):
        x = x + 0.3 * conv(f"{block}.2", conv(f"{block}.0", x).clamp_min(0))
    x = shallow + conv("body.2", x)
    if scale == 3:
        x = F.pixel_shuffle(conv("tail.0.0", x), 3)
    if scale == 4:
        x = F.pixel_shuffle(conv("tail.0.2", F.pixel_shuffle(conv("tail.0.0", x), 2)), 2)
    expected = (conv("tail.1", x) + 255 * mean) / 255
    torch.testing.assert_close(network(lq), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("img_range", "mean"), [(255, MEAN), (1, MEAN), (255, [0.469, 0.449, 0.4036])])
def test_the_mean_is_read_off_the_frozen_convolutions(img_range, mean):
    network = EDSR(2, num_features=4, num_blocks=1)
    shift = img_range * torch.tensor(mean)
    frozen = {"sub_mean.bias": -shift, "add_mean.bias": shift}
    frozen |= {f"{name}.weight": torch.eye(3).view(3, 3, 1, 1) for name in ("sub_mean", "add_mean")}
    found = recognise({**network.state_dict(), **frozen}, "x.pth")
    assert (found.config["img_range"], found.config["rgb_mean"]) == (img_range, mean)
    assert found.tensors.keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "options"),
    [("EDSR", {"residual_scaling": 1.0}), ("RCAN", {"unshuffle": False}), ("RCAN", {"unshuffle": True})],
)
def test_trained_mean_shifts_join_the_convolutions(name, options):
    config = {**small_config(name, 2), **options, "img_range": 1.0, "rgb_mean": [0.0, 0.0, 0.0]}
    torch.manual_seed(1)
    inner = NETWORKS.build(config).requires_grad_(False)
    shifts = nn.ModuleDict({"sub_mean": nn.Conv2d(3, 3, 1), "add_mean": nn.Conv2d(3, 3, 1)}).requires_grad_(False)
    shifts["sub_mean"].weight += torch.eye(3).view(3, 3, 1, 1)
    found = recognise({**inner.state_dict(), **shifts.state_dict()}, "x.pth")
    ours, x = NETWORKS.build(found.config), torch.rand(1, 3, 8, 12).double()
    ours.load_state_dict(found.tensors)
    inner, shifts = inner.double(), shifts.double()
    expected = shifts["add_mean"](inner(shifts["sub_mean"](x)))
    torch.testing.assert_close(ours.double()(x), expected, rtol=1e-5, atol=1e-6)  # the tensors are float32


def test_mean_shifts_that_cannot_be_are_told():
    state = with_means(EDSR(2, num_features=4, num_blocks=1).state_dict())
    with pytest.raises(CheckpointError, match="looks like EDSR, EDSR-PyTorch's names, but its sub_mean loses colours"):
        recognise({**state, "sub_mean.weight": torch.zeros(3, 3, 1, 1)}, "x.pth")
    with pytest.raises(CheckpointError, match=r"add_mean\.weight is missing"):
        recognise({key: value for key, value in state.items() if key != "add_mean.weight"}, "x.pth")


def test_impossible_arguments_are_named():
    with pytest.raises(ConfigError, match="EDSR: num_blocks=0 is not possible"):
        EDSR(2, num_blocks=0)
    with pytest.raises(ConfigError, match="EDSR: scale=5 is not possible"):
        EDSR(5)
