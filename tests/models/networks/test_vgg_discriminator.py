from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.vgg_discriminator import VGGDiscriminator, strides_of

ESRGAN = {
    "input_size": 128,
    "channels": [64, 64, 128, 128, 256, 256, 512, 512, 512, 512],
    "strides": [1, 2] * 5,
    "kernels": [3, 4],
    "fc": [100],
}


def convs_of(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(
    ("channels", "strides"),
    [
        ([64, 64, 128, 128, 256, 256, 512, 512], (1, 2, 1, 2, 1, 2, 1, 2)),
        ([64, 64, 128, 128, 256, 512, 512], (1, 2, 1, 2, 1, 1, 2)),
        ([64], (1,)),
        ([64, 64, 64], (1, 2, 2)),
    ],
)
def test_equal_neighbours_mean_stride_two(channels, strides):
    assert strides_of(channels) == strides


def test_srgans_of_the_paper():
    network = VGGDiscriminator(96)
    convs = convs_of(network)
    assert [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == [
        (64, 3, 1), (64, 3, 2), (128, 3, 1), (128, 3, 2), (256, 3, 1), (256, 3, 2), (512, 3, 1), (512, 3, 2)
    ]  # fmt: skip
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 7
    assert (network.linear1.in_features, network.linear1.out_features) == (512 * 6 * 6, 1024)
    assert network.linear2.out_features == 1
    assert network(torch.rand(2, 3, 96, 96)).shape == (2, 1)


def test_esrgans_keys_and_shapes_are_basicsrs():
    state = VGGDiscriminator(**ESRGAN).state_dict()
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    expected = {"conv0_0.bias": (64,)}
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        place, size = f"{number // 2}_{number % 2}", 3 + number % 2
        expected[f"conv{place}.weight"] = (outputs, inputs, size, size)
        if number:
            expected |= {f"bn{place}.{part}": (outputs,) for part in ("weight", "bias", "running_mean", "running_var")}
            expected[f"bn{place}.num_batches_tracked"] = ()
    expected |= {"linear1.weight": (100, 8192), "linear1.bias": (100,)}
    expected |= {"linear2.weight": (1, 100), "linear2.bias": (1,)}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


def test_forward_written_out():
    torch.manual_seed(0)
    network = VGGDiscriminator(16, [4, 4, 6, 6], kernels=(3, 4), fc=(5, 3), colour="y")
    image = torch.rand(3, 1, 16, 16)

    def lrelu(x):
        return torch.where(x > 0, x, 0.2 * x)

    def normed(x):
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = lrelu(network.conv0_0(image))
    x = lrelu(normed(network.conv0_1(x)))
    assert x.shape[-1] == 8
    x = lrelu(normed(network.conv1_0(x)))
    x = lrelu(normed(network.conv1_1(x))).reshape(3, 6 * 4 * 4)
    x = network.linear3(lrelu(network.linear2(lrelu(network.linear1(x)))))
    torch.testing.assert_close(network(image), x)


@pytest.mark.parametrize(
    ("norm", "bias", "biased"),
    [
        ("batch", None, [True, False, False]),
        ("batch", True, [True] * 3),
        ("batch", False, [False] * 3),
        (None, None, [True] * 3),
        (None, False, [False] * 3),
    ],
)
def test_norm_and_bias(norm, bias, biased):
    network = VGGDiscriminator(8, [4, 4, 8], norm=norm, bias=bias)
    assert [conv.bias is not None for conv in convs_of(network)] == biased
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == (2 if norm else 0)


def test_without_norm_a_image_is_judged_alone():
    torch.manual_seed(0)
    network = VGGDiscriminator(8, [4, 4, 8, 8], norm=None)
    images = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


@pytest.mark.parametrize("multiple", [1, 3, 8])
def test_any_multiple_of_sixteen(multiple):
    size = 16 * multiple
    assert VGGDiscriminator(size, [2, 2, 4, 4, 8, 8, 16, 16])(torch.rand(2, 3, size, size)).shape == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 100}, "input_size=100 is not possible; with 4 convolutions of stride 2 it is a multiple of 16"),
        ({"input_size": 0}, "input_size=0"),
        ({"input_size": 128, "strides": [1, 2]}, "8 channels need as many strides, got 2"),
        ({"input_size": 128, "strides": [1, 2, 1, 4] * 2}, "strides=4 is not possible; allowed: 1, 2"),
        ({"input_size": 128, "kernels": [4, 4]}, r"kernels=\(4, 4\) is not possible"),
        ({"input_size": 128, "fc": [0]}, r"fc\[0\]=0"),
        ({"input_size": 128, "channels": []}, "0 channels"),
        ({"input_size": 128, "norm": "instance"}, "allowed: 'batch', None"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        VGGDiscriminator(**arguments)


def test_another_size_is_refused():
    with pytest.raises(ConfigError, match="input_size=32, got images of 32 x 48"):
        VGGDiscriminator(32)(torch.rand(1, 3, 32, 48))


def test_check_compares_with_the_training_crops():
    cfg = {"type": "VGGDiscriminator", "input_size": 96}

    def told(dataset):
        return VGGDiscriminator.check(cfg, {"data": {"train": {"dataset": dataset}}})

    assert told({"gt_size": 96}) == []
    assert told({"gt_size": 128}) == [
        "input_size is 96, but data.train.dataset.gt_size is 128: they must be equal"
    ]  # fmt: skip
    assert "data.train.dataset.datasets.1.gt_size is 64" in told({"datasets": [{"gt_size": 96}, {"gt_size": 64}]})[0]
    assert (
        "data.train.dataset.datasets.b.gt_size" in told({"datasets": {"a": {"gt_size": 96}, "b": {"gt_size": 64}}})[0]
    )
    assert VGGDiscriminator.check(cfg, {}) == VGGDiscriminator.check(cfg, {"data": {"train": None}}) == []
