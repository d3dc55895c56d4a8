from __future__ import annotations

import pytest
import torch

from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.rlfn import RLFN

NTIRE = {"num_features": 46, "mid_channels": 48, "num_blocks": 4}


@pytest.mark.parametrize(
    ("scale", "options", "parameters"),
    [
        (2, {}, 526_856),
        (4, {}, 543_740),
        (2, {"num_features": 48}, 454_620),
        (4, {"num_features": 48}, 470_208),
        (4, NTIRE, 317_218),
    ],
)
def test_the_papers_sizes(scale, options, parameters):
    """527 K and 543 K; RLFN-S: 454 K and 470 K; 0.317 M in the report of NTIRE 2022."""
    with torch.device("meta"):
        assert sum(p.numel() for p in RLFN(scale, **options).parameters()) == parameters


def test_state_dict_keys_are_the_authors():
    esa = [f"esa.{name}" for name in ("conv1", "conv_f", "conv2", "conv3", "conv4")]
    blocks = {f"block_{block}.{part}" for block in range(1, 7) for part in ["c1_r", "c2_r", "c3_r", "c5", *esa]}
    with torch.device("meta"):
        layers = {key.rpartition(".")[0] for key in RLFN(3).state_dict()}
    assert layers == blocks | {"conv_1", "conv_2", "upsampler.0"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_close_on_images_up_to_255(dtype):
    torch.manual_seed(0)
    network, lq = RLFN(2, num_features=16, num_blocks=2).eval(), torch.rand(1, 3, 30, 20)
    with torch.inference_mode():
        exact = network(lq)
        with torch.autocast("cpu", dtype):
            assert (network(lq).float() - exact).abs().max() < 0.05


def test_impossible_arguments_are_named():
    with pytest.raises(ConfigError, match="RLFN: img_range=0 is not possible; it is above 0"):
        RLFN(2, img_range=0)
    with pytest.raises(ConfigError, match="RLFN: esa_channels=0 is not possible"):
        RLFN(2, esa_channels=0)
