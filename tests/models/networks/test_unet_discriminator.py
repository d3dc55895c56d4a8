from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.unet_discriminator import UNetDiscriminatorSN


def test_keys_and_shapes_are_basicsrs():
    state = UNetDiscriminatorSN().state_dict()
    convs = {
        1: (128, 64, 4), 2: (256, 128, 4), 3: (512, 256, 4), 4: (256, 512, 3), 5: (128, 256, 3),
        6: (64, 128, 3), 7: (64, 64, 3), 8: (64, 64, 3),
    }  # fmt: skip
    expected = {"conv0.weight": (64, 3, 3, 3), "conv0.bias": (64,), "conv9.weight": (1, 64, 3, 3), "conv9.bias": (1,)}
    for number, (outputs, inputs, kernel) in convs.items():
        expected[f"conv{number}.weight_orig"] = (outputs, inputs, kernel, kernel)
        expected[f"conv{number}.weight_u"] = (outputs,)
        expected[f"conv{number}.weight_v"] = (inputs * kernel**2,)
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


@pytest.mark.parametrize("skip", [True, False])
def test_forward_written_out(skip):
    torch.manual_seed(0)
    network = UNetDiscriminatorSN(4, skip_connection=skip).double().eval()
    image = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    state = network.state_dict()

    def conv(number, x, stride=1):
        weight, u, v = (state[f"conv{number}.weight_{part}"] for part in ("orig", "u", "v"))
        sigma = u @ weight.flatten(1) @ v
        x = F.conv2d(x, weight / sigma, stride=stride, padding=1)
        return torch.where(x > 0, x, 0.2 * x)

    def doubled(x):
        return F.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=False)

    x = F.conv2d(image, state["conv0.weight"], state["conv0.bias"], padding=1)
    x0 = torch.where(x > 0, x, 0.2 * x)
    x1 = conv(1, x0, 2)
    x2 = conv(2, x1, 2)
    x3 = conv(3, x2, 2)
    x4 = conv(4, doubled(x3)) + (x2 if skip else 0)
    x5 = conv(5, doubled(x4)) + (x1 if skip else 0)
    x6 = conv(6, doubled(x5)) + (x0 if skip else 0)
    x = F.conv2d(conv(8, conv(7, x6)), state["conv9.weight"], state["conv9.bias"], padding=1)
    torch.testing.assert_close(network(image), x)


def test_training_brings_the_spectral_norms_to_one():
    torch.manual_seed(0)
    network = UNetDiscriminatorSN(8)
    for _ in range(200):
        network(torch.rand(1, 3, 8, 8))
    for number in range(1, 9):
        weight = network.get_submodule(f"conv{number}").weight
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, rel=1e-3)


def test_sizes():
    network = UNetDiscriminatorSN(2)
    assert network(torch.rand(1, 3, 40, 16)).shape == (1, 1, 40, 16)
    with pytest.raises(ConfigError, match="takes multiples of 8 pixels, got 40 x 20"):
        network(torch.rand(1, 3, 40, 20))
    dataset = {"gt_size": 100}
    assert UNetDiscriminatorSN.check({}, {"data": {"train": {"dataset": dataset}}}) == [
        "takes multiples of 8 pixels, but data.train.dataset.gt_size is 100"
    ]
    assert not UNetDiscriminatorSN.check({}, {"data": {"train": {"dataset": {"gt_size": 256}}}})
