"""HAT's variants, keys and overlapping windows; its results are compared in `test_against_spandrel`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.devices import without_memory
from srtoolbox.errors import ConfigError
from srtoolbox.models.networks.hat import HAT, overlap_positions, overlapping_windows

SMALL = {"num_features": 12, "depths": [1], "num_heads": [2], "window_size": 4, "squeeze_factor": 4}
S = {"num_features": 144, "compress_ratio": 24, "squeeze_factor": 24}
L = {"depths": [6] * 12, "num_heads": [6] * 12}


@pytest.mark.parametrize(("arguments", "millions"), [(S, 9.62), ({}, 20.77), (L, 40.85)])
def test_the_papers_sizes(arguments, millions):
    """9.6, 20.8 and 40.8 million in the paper's tables, at x4."""
    with without_memory():
        network = HAT(4, **arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_state_dict_keys_are_the_authors():
    block = {f"blocks.0.{layer}" for layer in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    block |= {f"blocks.0.conv_block.cab.{layer}" for layer in ("0", "2", "3.attention.1", "3.attention.3")}
    overlap = {f"overlap_attn.{layer}" for layer in ("norm1", "qkv", "proj", "norm2", "mlp.fc1", "mlp.fc2")}
    group = {f"residual_group.{layer}" for layer in block | overlap} | {"conv"}
    ends = {"conv_first", "patch_embed.norm", "norm", "conv_after_body", "conv_before_upsample.0", "conv_last"}
    state = HAT(4, **SMALL).state_dict()
    layers = {f"layers.0.{layer}" for layer in group} | ends | {"upsample.0", "upsample.2"}
    tables = {
        f"layers.0.residual_group.{name}.relative_position_bias_table" for name in ("blocks.0.attn", "overlap_attn")
    }
    assert set(state) == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")} | tables


def test_overlapping_windows_are_cut_one_by_one(monkeypatch):
    features = torch.rand(2, 8, 12, 2 * 3 * 2)
    parts = overlapping_windows(features, 4, 1, 3)
    padded = F.pad(features, (0, 0, 1, 1, 1, 1))
    for number in range(2 * 2 * 3):
        image, place = divmod(number, 6)
        top, left = place // 3 * 4, place % 3 * 4
        pixels = padded[image, top : top + 6, left : left + 6].reshape(36, 2, 3, 2)
        assert torch.equal(parts[:, number], pixels.permute(1, 2, 0, 3))
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(overlapping_windows(features, 4, 1, 3), parts)


def test_each_distance_has_its_own_row():
    index = overlap_positions(4, 6).view(4, 4, 6, 6)
    rows: dict[tuple[int, int], set[int]] = {}
    for y in range(4):
        for x in range(4):
            for row in range(6):
                for column in range(6):
                    rows.setdefault((row - y, column - x), set()).add(int(index[y, x, row, column]))
    assert all(len(found) == 1 for found in rows.values())
    assert {row for found in rows.values() for row in found} == set(range(9**2))


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"overlap_ratio": 0.25}, "overlap_ratio"),
        ({"squeeze_factor": 13}, "squeeze_factor"),
        ({"depths": []}, "depths"),
    ],
)
def test_what_is_not_possible_is_named(arguments, key):
    with pytest.raises(ConfigError, match=f"HAT: {key}=") as caught:
        HAT(2, **{**SMALL, **arguments})
    assert caught.value.faults[0].key == key
