from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.rfdn import RFDN, FeatureDistillationBlock


def test_the_released_files_size_and_keys():
    with torch.device("meta"):
        state = RFDN(4).state_dict()
    assert sum(value.numel() for value in state.values()) == 433_448  # 0.433 M in the report of AIM 2020
    esa = [f"esa.{name}" for name in ("conv1", "conv_f", "conv_max", "conv2", "conv3", "conv3_", "conv4")]
    parts = ["c1_d", "c1_r", "c2_d", "c2_r", "c3_d", "c3_r", "c4", "c5", *esa]
    blocks = {f"B{block}.{part}" for block in range(1, 5) for part in parts}
    assert {key.rpartition(".")[0] for key in state} == blocks | {"fea_conv", "c.0", "LR_conv", "upsampler.0"}


@pytest.mark.parametrize(
    ("features", "scale", "thousands"),
    [(48, 2, 534), (48, 3, 541), (48, 4, 550), (52, 2, 626), (52, 3, 633), (52, 4, 643)],
)
def test_the_papers_sizes(features, scale, thousands):
    with torch.device("meta"):
        network = RFDN(scale, num_features=features, num_blocks=6, attention="contrast")
    assert round(sum(p.numel() for p in network.parameters()) / 1000) == thousands


def test_a_block_with_contrast_attention_written_out():
    torch.manual_seed(0)
    block, x = FeatureDistillationBlock(8, "contrast").double(), torch.rand(2, 8, 7, 9, dtype=torch.float64)
    state = block.state_dict()

    def conv(name, features, slope=1.0):
        weight = state[f"{name}.weight"]
        result = F.conv2d(features, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)
        return torch.where(result > 0, result, slope * result)

    kept, features = [], x
    for number in (1, 2, 3):
        kept.append(conv(f"c{number}_d", features, 0.05))
        features = conv(f"c{number}_r", features) + features
        features = torch.where(features > 0, features, 0.05 * features)
    fused = conv("c5", torch.cat([*kept, conv("c4", features, 0.05)], 1))
    mean = fused.mean((2, 3), keepdim=True)
    contrast = mean + ((fused - mean) ** 2).mean((2, 3), keepdim=True) ** 0.5
    gates = torch.sigmoid(conv("cca.conv_du.2", conv("cca.conv_du.0", contrast, 0.0)))
    torch.testing.assert_close(block(x), x + fused * gates)


def test_too_few_features_are_refused():
    with pytest.raises(ConfigError, match="RFDN: num_features=3 is not possible; it is at least 4"):
        RFDN(2, num_features=3)
