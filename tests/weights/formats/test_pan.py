from __future__ import annotations

import pytest

from srtoolbox.errors import CheckpointError
from srtoolbox.models.networks.pan import PAN
from srtoolbox.weights.recognise import recognise


@pytest.mark.parametrize("scale", [2, 3])
def test_one_upsampling_step_serves_two_scales(scale: int) -> None:
    state = PAN(scale, num_features=8, num_blocks=1).state_dict()
    with pytest.raises(CheckpointError, match="PAN, whose weights fit x2 and x3, and nothing says which"):
        recognise(state, "pan.pth")
    assert recognise(state, f"PAN_x{scale}.pth").config["scale"] == scale
