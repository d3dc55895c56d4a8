from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.carn import CARN


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("groups", "parameters"), [(None, 1_591_939), (4, 414_787)])
def test_the_released_files_sizes(groups, parameters):
    """They have the upsamplers of three scales, and 24 numbers for the means."""
    with torch.device("meta"):
        networks = {scale: CARN(scale, groups=groups) for scale in (2, 3, 4)}
    body = size(networks[4]) - size(networks[4].upsample)
    assert body + sum(size(network.upsample) for network in networks.values()) == parameters


def layers(**options: object) -> set[str]:
    with torch.device("meta"):
        return {key.rpartition(".")[0] for key in CARN(**options).state_dict()}


def test_state_dict_keys_are_the_authors():
    fusions = {f"{block}c{n}.body.0" for block in ("", "b1.", "b2.", "b3.") for n in (1, 2, 3)}
    common = fusions | {"entry", "exit", "upsample.up.body.0"}
    plain = {f"b{block}.b{n}.body.{layer}" for block in (1, 2, 3) for n in (1, 2, 3) for layer in (0, 2)}
    shared = {f"b{block}.b1.body.{layer}" for block in (1, 2, 3) for layer in (0, 2, 4)}
    assert layers(scale=3) == common | plain
    assert layers(scale=4) == common | plain | {"upsample.up.body.3"}
    assert layers(scale=2, groups=4) == common | shared


def test_groups_must_divide_the_features():
    with pytest.raises(ConfigError, match="CARN: groups=3 is not possible; 64 features are no multiple of it"):
        CARN(2, groups=3)
