"""The authors' files of CARN: frozen means, and the upsamplers of three scales in one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError
from srtoolbox.models.networks.carn import CARN
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.finetune import starting_weights
from srtoolbox.weights.recognise import recognise

SMALL = {"num_features": 8, "num_blocks": 2}


def for_three_scales(groups: int | None) -> dict[str, Tensor]:
    """Return what the authors save of one training for x2, x3 and x4."""
    state = {}
    for scale in (2, 3, 4):
        own = CARN(scale, groups=groups, **SMALL).state_dict()
        state |= {key.replace("upsample.up.", f"upsample.up{scale}."): value for key, value in own.items()}
    means = {f"{name}.shifter.bias": torch.zeros(3) for name in ("sub_mean", "add_mean")}
    return {**state, **means, **{key.replace("bias", "weight"): torch.eye(3) for key in means}}


@pytest.mark.parametrize("groups", [None, 2])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_each_scale_comes_out_of_one_file(groups: int | None, scale: int) -> None:
    state = for_three_scales(groups)
    for options in ({"source": "carn.pth", "scale": scale}, {"source": f"carn_x{scale}.pth"}):
        found = recognise(state, **options)
        assert found.config == {"type": "CARN", "scale": scale, "colour": "rgb", "groups": groups, **SMALL}
        assert found.sentence == f"CARN, for three scales, x{scale}, 2 blocks, 8 features"
        own = f"upsample.up{scale}.body.0.weight"
        assert torch.equal(found.tensors["upsample.up.body.0.weight"], state[own])


def test_the_scale_must_be_said_and_there() -> None:
    state = for_three_scales(None)
    with pytest.raises(CheckpointError, match="whose weights fit x2, x3 and x4, and nothing says which"):
        recognise(state, "carn.pth")
    with pytest.raises(CheckpointError, match=r"x.pth: looks like CARN, for three scales, but it .* not x8$"):
        recognise(state, "x.pth", scale=8)


@pytest.mark.parametrize("scale", [2, 3])
def test_fine_tuning_starts_from_the_runs_own_scale(scale: int) -> None:
    """At x2 and x3 the upsamplers have as many tensors."""
    state, config = for_three_scales(None), {"type": "CARN", "scale": scale, **SMALL}
    start = starting_weights(state, "carn.pth", config, NETWORKS.build(config).state_dict())
    assert torch.equal(start["upsample.up.body.0.bias"], state[f"upsample.up{scale}.body.0.bias"])
