"""What every registered network that upscales must do. A new network is tested by being registered.

Discriminators: see `test_all_discriminators`.
"""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from torch import nn

from srtoolbox.devices import without_memory
from srtoolbox.errors import ConfigError
from srtoolbox.inference.tiling.receptive_field import receptive_field_of
from srtoolbox.registry import NETWORKS
from tests.models.networks.small import GENERATORS, small_arguments, small_config

SCALES = (1, 2, 3, 4, 8)


def possible(name: str) -> list[int]:
    scales = []
    for scale in SCALES:
        try:
            NETWORKS.build(small_config(name, scale))
        except ConfigError as error:
            assert "allowed" in str(error)
        else:
            scales.append(scale)
    return scales


CASES = [(name, scale) for name in GENERATORS for scale in possible(name)]
"""Each network at each scale that it has."""


def is_light(name: str, scale: int) -> bool:
    """True for a network of few modules, whose tests take moments."""
    return sum(1 for _ in NETWORKS.build(small_config(name, scale)).modules()) <= 40


LIGHT = {case: is_light(*case) for case in CASES}
MARKED = [pytest.param(*case, marks=() if case[1] == 3 or LIGHT[case] else pytest.mark.slow) for case in CASES]
"""`CASES`, light networks at all scales and others at one, the rest marked as slow."""
MARKED_FIELDS = [
    pytest.param(*case, marks=() if LIGHT[case] and case[1] in (3, 4) else pytest.mark.slow) for case in CASES
]
"""`CASES`, light networks at two scales, the rest marked as slow: for tests that look at many places."""


def positive_double(network: nn.Module) -> nn.Module:
    """All weights positive and of unit gain: no activation is dead or flat, so every path shows in the gradient."""
    network = network.double().eval()
    for parameter in network.parameters():
        with torch.no_grad():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(torch.rand_like(parameter).add_(0.5) / fan_in)
    return network


@pytest.mark.parametrize("name", GENERATORS)
def test_usual_scales_are_possible(name):
    assert {2, 3, 4} <= set(possible(name))


@pytest.mark.parametrize(("name", "scale"), MARKED)
def test_output_is_scale_times_the_input_and_trains(name, scale):
    network = NETWORKS.build(small_config(name, scale))
    assert (network.scale, network.in_channels) == (scale, {"y": 1, "rgb": 3}[network.colour])
    assert isinstance(network.size_multiple, int)
    size = [network.size_multiple * n for n in (7, 10)]
    lq = torch.rand(2, network.in_channels, *size, requires_grad=True)
    sr = network(lq)
    assert sr.shape == (2, network.in_channels, scale * size[0], scale * size[1])
    assert sr.dtype == torch.float32
    sr.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def reach(network: nn.Module, pixel: int, side: int) -> int:
    """Return the distance from (pixel, pixel) of the farthest LR pixel of an image that its output depends on."""
    lq = torch.rand(1, network.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    block = slice(pixel * network.scale, (pixel + 1) * network.scale)
    network(lq)[..., block, block].sum().backward()
    seen = [lq.grad.abs().sum([d for d in range(4) if d != axis]).nonzero().flatten() - pixel for axis in (2, 3)]
    return max(max(-int(axis.min()), int(axis.max())) for axis in seen)


@pytest.mark.parametrize(("name", "scale"), MARKED_FIELDS)
def test_receptive_field_is_exact(name, scale):
    network = positive_double(NETWORKS.build(small_config(name, scale)))
    if getattr(network, "padded_multiple", 1) > 1:  # attention in windows: not the same everywhere
        assert receptive_field_of(network) is None
        return
    radius, cell = receptive_field_of(network), network.size_multiple  # measured where the network states none
    if radius is None:
        assert reach(network, 20, 41) == 20
        return
    assert isinstance(radius, int)
    side = -(-(2 * radius + 4 + cell) // cell) * cell
    centre = side // 2 // cell * cell
    # a network that works in cells sees equally far from none of their pixels: the farthest counts
    seen = 0
    for _ in range(8):  # a pooling by the maximum lets one pixel of each cell through, another in each image
        seen = max(seen, *(reach(network, centre + pixel, side) for pixel in range(cell)), 0)
        if seen >= radius:
            break
    assert seen == radius


@pytest.mark.parametrize(("name", "scale"), MARKED)
def test_state_dict_round_trip_through_another_instance(name, scale):
    config = small_config(name, scale)
    first, second = NETWORKS.build(config).eval(), NETWORKS.build(config).eval()
    second.load_state_dict(first.state_dict())
    lq = torch.rand(1, first.in_channels, 8 * first.size_multiple, 8 * first.size_multiple)
    assert torch.equal(first(lq), second(lq))


@pytest.mark.parametrize("name", GENERATORS)
def test_json_config_builds_the_same_network(name):
    arguments = inspect.signature(NETWORKS.get(name)).parameters
    defaults = {key: p.default for key, p in arguments.items() if p.default is not p.empty}
    config = {"type": name, "scale": 2, **defaults, **small_arguments(name)}
    torch.manual_seed(1)
    first = NETWORKS.build(config)
    torch.manual_seed(1)
    second = NETWORKS.build(json.loads(json.dumps(config)))
    assert str(first) == str(second)
    states = first.state_dict(), second.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


@pytest.mark.parametrize("name", GENERATORS)
def test_can_be_built_on_the_meta_device(name):
    with without_memory():
        network = NETWORKS.build({"type": name, "scale": 2})
    assert all(p.is_meta for p in network.parameters())


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("scale", [0, -2, 2.5, "2", True])
def test_a_wrong_scale_is_refused(name, scale):
    with pytest.raises(ConfigError, match=rf"{name}: scale="):
        NETWORKS.build({"type": name, "scale": scale})


@pytest.mark.parametrize("name", GENERATORS)
def test_bf16_autocast_stays_close(name):
    network = NETWORKS.build(small_config(name, 2)).eval()
    lq = torch.rand(1, network.in_channels, 12, 12)
    with torch.inference_mode():
        exact = network(lq)
        with torch.autocast("cpu", torch.bfloat16):
            assert (network(lq).float() - exact).abs().max() < 0.05


@pytest.mark.parametrize("name", GENERATORS)
def test_channels_last_gives_the_same(name):
    network = NETWORKS.build(small_config(name, 3)).eval()
    lq = torch.rand(2, network.in_channels, 12, 14)
    with torch.inference_mode():
        exact = network(lq)
        other = network.to(memory_format=torch.channels_last)(lq.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(other, exact, atol=1e-5, rtol=1e-5)
