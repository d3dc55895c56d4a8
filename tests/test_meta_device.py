"""Networks without memory have the names and shapes of real ones, and nothing is drawn for them."""

from __future__ import annotations

import pytest
import torch

from srtoolbox.compat.pytorch import DispatchMode
from srtoolbox.devices import without_memory
from srtoolbox.registry import NETWORKS
from tests.models.networks.small import small_config
from tests.models.networks.test_all import GENERATORS


@pytest.mark.parametrize("name", GENERATORS)
def test_names_and_shapes_are_those_of_a_real_network(name: str) -> None:
    with without_memory():
        empty = NETWORKS.build(small_config(name, 2)).state_dict()
    real = NETWORKS.build(small_config(name, 2)).state_dict()
    assert {key: (value.shape, value.dtype) for key, value in empty.items()} == {
        key: (value.shape, value.dtype) for key, value in real.items()
    }
    assert all(value.is_meta for value in empty.values())


class Called(DispatchMode):
    """Notes the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def run(self, func, args, kwargs):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **kwargs)


def test_nothing_is_drawn_but_for_tensors_with_values() -> None:
    before = torch.random.get_rng_state()
    with without_memory(), Called() as called:
        layer = torch.nn.Linear(3, 4)
        torch.nn.init.normal_(layer.weight)
    assert not {"normal_", "uniform_"} & set(called.names), "slow there, and for nothing"
    assert torch.equal(torch.random.get_rng_state(), before)
    with without_memory():
        assert torch.zeros(9, device="cpu").normal_().any()


def test_activations_that_pytorch_has_in_python_alone_are_left_out() -> None:
    features = torch.tensor([[-1.0, 1.0]])
    with without_memory(), Called() as called:
        assert torch.nn.functional.leaky_relu(negative_slope=0.1, input=torch.empty(2, 3)).shape == (2, 3)
        assert torch.nn.LeakyReLU(0.2)(torch.empty(4)).is_meta
        assert torch.nn.functional.leaky_relu(features, 0.5).tolist() == [[-0.5, 1.0]]
    assert called.names.count("leaky_relu") == 1
