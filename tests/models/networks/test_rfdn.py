from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.rfdn import RFDN


def test_the_released_files_size_and_keys():
    with torch.device("meta"):
        state = RFDN(4).state_dict()
    assert sum(value.numel() for value in state.values()) == 433_448  # 0.433 M in the report of AIM 2020
    esa = [f"esa.{name}" for name in ("conv1", "conv_f", "conv_max", "conv2", "conv3", "conv3_", "conv4")]
    parts = ["c1_d", "c1_r", "c2_d", "c2_r", "c3_d", "c3_r", "c4", "c5", *esa]
    blocks = {f"B{block}.{part}" for block in range(1, 5) for part in parts}
    assert {key.rpartition(".")[0] for key in state} == blocks | {"fea_conv", "c.0", "LR_conv", "upsampler.0"}


def test_too_few_features_are_refused():
    with pytest.raises(ConfigError, match="RFDN: num_features=3 is not possible; it is at least 4"):
        RFDN(2, num_features=3)
