"""What every registered discriminator must do. A new one is tested by being registered."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from torch import nn

from srtoolbox.devices import without_memory
from srtoolbox.interfaces import network_kind
from srtoolbox.registry import NETWORKS

DISCRIMINATORS = [name for name in NETWORKS if network_kind(NETWORKS.get(name)) == "discriminator"]
SMALL = {"input_size": 32, "channels": [8, 8, 16, 16], "fc": [10], "num_features": 8}


def small_config(name: str) -> dict:
    arguments = inspect.signature(NETWORKS.get(name)).parameters
    return {"type": name, **{key: value for key, value in SMALL.items() if key in arguments}}


@pytest.fixture(params=DISCRIMINATORS)
def network(request) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS.build(small_config(request.param))


def settled(network: nn.Module) -> nn.Module:
    """In eval mode, after running statistics and power iterations have come near what they estimate."""
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(2, network.in_channels, 32, 32))
    return network.eval()


def test_all_are_found():
    assert sorted(DISCRIMINATORS) == DISCRIMINATORS
    assert {"VGGDiscriminator", "UNetDiscriminatorSN", "PatchDiscriminator"} <= set(DISCRIMINATORS)
    assert not {"SRResNet", "RRDBNet", "Bicubic"} & set(DISCRIMINATORS)


def test_facts_and_logits(network):
    assert not hasattr(network, "scale")
    assert network.in_channels == {"y": 1, "rgb": 3}[network.colour]
    assert isinstance(network.size_multiple, int)
    assert network.input_size is None or isinstance(network.input_size, int)
    image = torch.rand(2, network.in_channels, 32, 32, requires_grad=True)
    logits = network(image)
    assert logits.shape[:2] == (2, 1)
    assert logits.dim() == (2 if network.input_size else 4)
    assert logits.min() < logits.max()
    logits.mean().backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_two_passes_before_one_backward(network):
    """Real and fake are judged, then one loss is made of both."""
    real, fake = torch.rand(2, 2, network.in_channels, 32, 32)
    loss = network(real).mean() - network(fake).mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_penalties_on_the_gradient_reach_the_weights(network):
    """R1 differentiates the gradient by the image once more."""
    network = settled(network).double()
    image = torch.rand(3, network.in_channels, 32, 32, dtype=torch.float64, requires_grad=True)

    def penalty() -> torch.Tensor:
        (grad,) = torch.autograd.grad(network(image).sum(), image, create_graph=True)
        return grad.square().sum()

    weight = next(p for p in network.parameters() if p.dim() == 4)
    weight_grad = torch.autograd.grad(penalty(), weight)[0]
    index = tuple(int(i) for i in (weight_grad.abs() == weight_grad.abs().max()).nonzero()[0])
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            weight[index] += step
        values.append(penalty().item())
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(weight_grad[index].item(), rel=1e-3)


def test_state_dict_round_trip(network):
    other = type(network)(
        **{key: value for key, value in small_config(type(network).__name__).items() if key != "type"}
    )
    image = torch.rand(2, network.in_channels, 32, 32)
    network(image)  # moves running statistics and the like
    other.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(image), other.eval()(image))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_json_config_builds_the_same(name):
    arguments = inspect.signature(NETWORKS.get(name)).parameters
    defaults = {key: p.default for key, p in arguments.items() if p.default is not p.empty}
    config = {"type": name, **({"input_size": 32} if "input_size" in arguments else {}), **defaults}
    assert str(NETWORKS.build(config)) == str(NETWORKS.build(json.loads(json.dumps(config))))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_can_be_built_on_the_meta_device(name):
    with without_memory():
        assert all(p.is_meta for p in NETWORKS.build(small_config(name)).parameters())


def test_bf16_autocast_stays_close(network):
    image = torch.rand(2, network.in_channels, 32, 32)
    network = settled(network)
    with torch.inference_mode():
        exact = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            assert (network(image).float() - exact).abs().max() < 0.05
