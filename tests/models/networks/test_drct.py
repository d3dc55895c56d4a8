"""DRCT's variants, keys and padding; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.devices import without_memory
from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.drct import DRCT, heads_of
from srtoolbox.weights.formats import Misfit
from srtoolbox.weights.formats.drct import drct, with_constants
from srtoolbox.weights.recognise import recognise

SMALL = {"num_features": 8, "num_heads": [2], "growth_channels": 4, "window_size": 4}


@pytest.mark.parametrize(("groups", "millions"), [(6, 14.13), (12, 27.58)])
def test_the_releases_sizes(groups, millions):
    """Those of DRCT and DRCT-L in the authors' README, at x4."""
    with without_memory():
        network = DRCT(4, num_heads=[6] * groups)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_state_dict_keys_are_the_authors():
    block = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    group = {f"swin{number}.{layer}" for number in range(1, 6) for layer in block}
    group |= {f"adjust{number}" for number in range(1, 6)}
    ends = {"conv_first", "patch_embed.norm", "norm", "conv_after_body", "conv_before_upsample.0", "conv_last"}
    layers = {f"layers.0.{layer}" for layer in group} | ends | {"upsample.0"}
    tables = {f"layers.0.swin{number}.attn.relative_position_bias_table" for number in range(1, 6)}
    assert (
        set(DRCT(3, **SMALL).state_dict())
        == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")} | tables
    )


def test_heads_of_the_papers_blocks():
    assert [heads_of(180 + 32 * number, 6) for number in range(5)] == [6, 4, 2, 6, 4]


def test_images_are_mirrored_up_to_windows():
    network = DRCT(2, **SMALL).eval()
    lq = torch.rand(1, 3, 7, 10)
    with torch.inference_mode():
        whole = network(F.pad(lq, (0, 2, 0, 1), mode="reflect"))
        torch.testing.assert_close(network(lq), whole[..., :14, :20])
        assert network(torch.rand(1, 3, 1, 3)).shape == (1, 3, 2, 6)


def test_a_network_without_shifts_is_refused():
    state = with_constants(DRCT(2, **SMALL).state_dict())
    assert recognise(state, "x.pth").config["num_heads"] == [2]
    unshifted = {key: value for key, value in state.items() if not key.endswith("attn_mask")}
    with pytest.raises(Misfit, match="its windows are not shifted"):
        drct(unshifted, None)


def test_heads_that_divide_nothing_are_named():
    with pytest.raises(ConfigError, match="num_heads=7 is not possible; of 11 channels it makes 3 heads") as caught:
        DRCT(2, num_features=7, num_heads=[7], growth_channels=4, window_size=4)
    assert caught.value.faults[0].key == "num_heads"
