"""Weights of other projects: every wrapper, every prefix, averaged ones first, nothing invented."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srtoolbox.engine.checkpoint import load_network
from srtoolbox.errors import CheckpointError
from srtoolbox.models.interop import PREFIXES, WRAPPERS, network_state
from srtoolbox.registry import NETWORKS

CONFIG = {"type": "ESPCN", "scale": 2, "kernels": [3, 3], "channels": [4]}


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return NETWORKS.build(CONFIG).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    "wrapper", ["params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net"]
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "generator.", "netG.", "model.", "module._orig_mod."])
def test_loads_through_wrapper_and_prefix(
    wrapper: str, prefix: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({wrapper: {prefix + key: value for key, value in tensors.items()}, "epoch": 3}, tmp_path / "x.pth")
    assert same(load_network(tmp_path / "x.pth", config=CONFIG).state_dict(), tensors)


def test_the_lists_are_the_tested_ones() -> None:
    assert len(WRAPPERS) == 7 and len(PREFIXES) == 5


def test_bare_and_nested(tensors: dict[str, torch.Tensor]) -> None:
    assert same(network_state(tensors, "x"), tensors)
    nested = {"model": {"state_dict": {f"module.{key}": value for key, value in tensors.items()}}, "iter": 5}
    assert same(network_state(nested, "x"), tensors)


def test_averaged_weights_go_first(tensors: dict[str, torch.Tensor]) -> None:
    raw = {key: value + 1 for key, value in tensors.items()}
    assert same(network_state({"params": raw, "params_ema": tensors}, "x"), tensors)
    assert same(network_state({"params": raw, "params-ema": tensors}, "x"), tensors)


def test_a_prefix_of_some_keys_is_part_of_their_names(tensors: dict[str, torch.Tensor]) -> None:
    mixed = {"model.head.weight": torch.ones(1), "tail.weight": torch.ones(1)}
    assert list(network_state(mixed, "x")) == list(mixed)


def test_other_entries_are_left_out_and_none_is_an_error(tensors: dict[str, torch.Tensor]) -> None:
    assert same(network_state({**tensors, "epoch": 3, "name": "x"}, "x"), tensors)
    with pytest.raises(CheckpointError, match=r"x.pth: holds no weights \(its keys: epoch, optimizer\)"):
        network_state({"epoch": 3, "optimizer": {}}, "x.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        network_state({"params": {}}, "x.pth")
