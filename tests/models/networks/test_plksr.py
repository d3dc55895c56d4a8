from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srtoolbox.errors import ConfigError
from srtoolbox.inference.tiling.receptive_field import measure_receptive_field
from srtoolbox.models.networks.blocks import ChannelNorm
from srtoolbox.models.networks.plksr import PLKSR, DySample, ExactGroupNorm, RealPLKSR

TINY = {"num_blocks": 12, "kernel_size": 13, "use_ea": False}
SMALL = {"num_features": 8, "num_blocks": 2, "kernel_size": 5}


@pytest.mark.parametrize(
    ("network", "scale", "arguments", "parameters"),
    [
        (PLKSR, 2, {}, 7_365_324),
        (PLKSR, 4, {}, 7_386_096),
        (PLKSR, 4, TINY, 2_370_544),
        (RealPLKSR, 4, {}, 7_389_680),
        (RealPLKSR, 4, {"layer_norm": True, "dysample": True}, 7_402_243),
    ],
)
def test_sizes(network, scale, arguments, parameters):
    """The paper's prints none; those of its code."""
    with torch.device("meta"):
        assert sum(p.numel() for p in network(scale, **arguments).parameters()) == parameters


def layers(network: torch.nn.Module) -> set[str]:
    return {key.rpartition(".")[0] for key in network.state_dict()}


def test_state_dict_keys_are_the_authors_and_neosrs():
    parts = ["lk.conv", "attn.f.0", "refine"]
    blocks = [f"feats.{n}." for n in range(1, 29)]
    plain = {block + part for block in blocks for part in [*parts, "channe_mixer.0", "channe_mixer.2"]}
    assert layers(PLKSR(2)) == plain | {"feats.0", "feats.29"}
    real = {block + part for block in blocks for part in [*parts, "channel_mixer.0", "channel_mixer.2"]}
    assert layers(RealPLKSR(2)) == real | {"feats.0", "feats.30"} | {f"{block}norm" for block in blocks}
    own = {"to_img", "to_img.offset", "to_img.scope", "to_img.end_conv"}  # the first is of `init_pos`
    expected = real | {"feats.0", "feats.30"} | {f"{block}layer_norm" for block in blocks} | own
    assert layers(RealPLKSR(2, layer_norm=True, dysample=True)) == expected


def test_dysample_moves_what_the_offsets_say():
    """Without offsets it interpolates; with those of a quarter of a pixel it meets the pixels."""
    sampler = DySample(12, 3, 2).double()
    torch.nn.init.zeros_(sampler.offset.weight)
    torch.nn.init.zeros_(sampler.offset.bias)
    features = torch.rand(2, 12, 5, 7, dtype=torch.float64)
    bilinear = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(sampler(features), sampler.end_conv(bilinear))
    torch.nn.init.ones_(sampler.offset.bias)  # times half of a sigmoid of 0: to the middles of the input's pixels
    torch.testing.assert_close(sampler(features)[..., ::2, ::2], sampler.end_conv(features))


@pytest.mark.parametrize(
    "network",
    [
        PLKSR(2, **SMALL),
        PLKSR(3, **SMALL, ccm_type="CCM", use_ea=False),
        RealPLKSR(2, **SMALL, layer_norm=True),
        RealPLKSR(2, **SMALL),
        RealPLKSR(2, **SMALL, layer_norm=True, dysample=True),
    ],
    ids=["PLKSR", "CCM", "layer_norm", "group_norm", "dysample"],
)
def test_the_field_is_as_measured(network):
    assert measure_receptive_field(network) == network.receptive_field


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_statistics_of_groups_keep_their_digits(layout):
    """Where values are far from 0, a variance as the mean square less the square of the mean has none."""
    features = 100 + 0.01 * torch.rand(2, 8, 16, 16, generator=torch.Generator().manual_seed(4))
    norm = ExactGroupNorm(4, 8)
    expected = F.group_norm(features.double(), 4, eps=norm.eps)
    result = norm(features.contiguous(memory_format=layout))
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("norm", [ExactGroupNorm(4, 8), ChannelNorm(8)], ids=lambda norm: type(norm).__name__)
def test_half_precision_statistics_do_not_overflow(norm):
    features = torch.full((1, 8, 6, 6), 600.0).index_fill(1, torch.arange(0, 8, 2), -600).half()  # variance 360000
    with torch.autocast("cpu", torch.float16):
        result = norm(features)
    torch.testing.assert_close(result.float(), features.float() / 600, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (PLKSR, {"kernel_size": 16}, "PLKSR: kernel_size=16 is not possible; it is odd"),
        (PLKSR, {"ccm_type": "MLP"}, "PLKSR: ccm_type='MLP' is not possible; allowed: 'CCM', 'ICCM', 'DCCM'"),
        (PLKSR, {"split_ratio": 0.0}, "PLKSR: split_ratio=0.0 is not possible"),
        (RealPLKSR, {"norm_groups": 5}, "RealPLKSR: norm_groups=5 is not possible; 64 features are no multiple"),
        (RealPLKSR, {"dropout": 1.0}, "RealPLKSR: dropout=1.0 is not possible"),
    ],
)
def test_impossible_arguments_are_named(network, arguments, message):
    with pytest.raises(ConfigError, match=message):
        network(2, **arguments)


def test_groups_are_normalised_in_the_layout_that_they_come_in():
    norm, features = ExactGroupNorm(2, 4), torch.rand(1, 4, 6, 5)
    result = norm(features.contiguous(memory_format=torch.channels_last))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, norm(features))
