"""Networks that `spandrel` has too: its weights opened here, ours opened there, equal outputs at several sizes.

A row is a network's arguments here and there; all parameters are random, so that each of them matters.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats import State, families, rename
from srtoolbox.weights.formats.edsr import with_means
from srtoolbox.weights.recognise import recognise

SIZES = ((24, 32), (21, 18), (16, 41))


class Row(NamedTuple):
    """One variant of a network."""

    config: dict[str, Any]  # as it is recognised here, without what is as by default
    there: str  # 'ARCHITECTURE.Class' in spandrel
    arguments: dict[str, Any]  # of spandrel's class
    sizes: tuple[tuple[int, int], ...] = SIZES
    package: str = "spandrel"  # or 'spandrel_extra_arches'
    written: Callable[[nn.Module], State] | None = None  # ours as it is saved; None: see `for_others`


def rcan_as_written(network: nn.Module) -> State:
    state = {key: value.clone() for key, value in network.state_dict().items()}
    return with_means(state, network.mean.flatten().tolist()) if network.img_range == 255 else state


def rcan(scale: int, num_groups: int, num_blocks: int, reduction: int, **options: bool) -> Row:
    """With their 1x1 convolutions around the network, whose random values join ours, or without."""
    config = {"type": "RCAN", "scale": scale, "num_features": 16, "num_groups": num_groups, "num_blocks": num_blocks}
    unshuffle = options.get("unshuffle_mod", False)
    theirs = {"scale": scale, "n_feats": 16, "n_resgroups": num_groups, "n_resblocks": num_blocks}
    sizes = ((24, 32), (4, 12), (16, 40)) if unshuffle else SIZES
    config |= {"reduction": reduction, "unshuffle": unshuffle}
    return Row(config, "RCAN.RCAN", {**theirs, "reduction": reduction, **options}, sizes, written=rcan_as_written)


def hat(scale: int, window_size: int, compress_ratio: int, squeeze_factor: int, **others: Any) -> Row:
    same = {"depths": [2, 1], "num_heads": [2, 3], "window_size": window_size, "compress_ratio": compress_ratio}
    same |= {"squeeze_factor": squeeze_factor, "mlp_ratio": 2.0, **others}
    theirs = {"embed_dim": 12, "upscale": scale, "img_size": 4 * window_size, **same}
    if theirs.pop("colour", "rgb") == "y":
        theirs["in_chans"] = 1
    return Row({"type": "HAT", "scale": scale, "num_features": 12, **same}, "HAT.HAT", theirs, ((16, 24), (13, 10)))


def drct(scale: int, num_heads: list[int], growth_channels: int, **others: Any) -> Row:
    same = {"num_heads": num_heads, "window_size": 4, "mlp_ratio": 2.0, **others}
    config = {"type": "DRCT", "scale": scale, "num_features": 12, "growth_channels": growth_channels, **same}
    theirs = {"embed_dim": 12, "gc": growth_channels, "upscale": scale, "img_size": 16, "upsampler": "pixelshuffle"}
    theirs |= {"depths": [6] * len(num_heads), **same}
    if theirs.pop("colour", "rgb") == "y":
        theirs["in_chans"] = 1
    return Row(config, "DRCT.DRCT", theirs, ((16, 24), (12, 8), (4, 16)))  # theirs takes whole windows only


def omnisr(scale: int, num_groups: int, num_blocks: int, window_size: int, pe: bool = True, bias: bool = True) -> Row:
    config = {"type": "OmniSR", "scale": scale, "num_features": 8, "num_groups": num_groups, "num_blocks": num_blocks}
    theirs = {"num_feat": 8, "res_num": num_groups, "block_num": num_blocks, "window_size": window_size}
    more = {"pe": pe, "bias": bias}
    window = {"window_size": window_size} if pe else {}
    return Row({**config, **window, **more}, "OmniSR.OmniSR", {**theirs, **more, "up_scale": scale})


def safmn(scale: int, num_features: int, num_blocks: int, ffn_scale: float = 2.0) -> Row:
    config = {"type": "SAFMN", "scale": scale, "num_features": num_features, "num_blocks": num_blocks}
    theirs = {"dim": num_features, "n_blocks": num_blocks, "ffn_scale": ffn_scale, "upscaling_factor": scale}
    return Row({**config, "ffn_scale": ffn_scale}, "SAFMN.SAFMN", theirs)


def swinir(scale: int, upsampler: str = "", img_size: int = 16, **others: Any) -> Row:
    """A small SwinIR, with arguments that have one name here and there."""
    shared = {"depths": [2, 1], "num_heads": [2, 3], "window_size": 4, "mlp_ratio": 2.0, **others}
    shared |= {"upsampler": upsampler} if upsampler else {}
    config = {"type": "SwinIR", "scale": scale, "num_features": 12, **shared}
    theirs = {"upscale": scale, "embed_dim": 12, "img_size": img_size, **shared}
    if theirs.pop("colour", "rgb") == "y":
        theirs["in_chans"] = 1
    return Row(config, "SwinIR.SwinIR", theirs, ((16, 12), (13, 10), (5, 7)))


def srformer(scale: int, upsampler: str, **others: Any) -> Row:
    """A small SRFormer, with windows whose half is odd: so are the paper's."""
    row = swinir(scale, upsampler, window_size=6, num_heads=[2, 4], img_size=24, **others)
    config = {**row.config, "type": "SRFormer", "num_features": 16}
    return Row(config, "SRFormer.SRFormer", {**row.arguments, "embed_dim": 16}, row.sizes, "spandrel_extra_arches")


def span(scale: int, num_features: int, norm: bool = True) -> Row:
    config = {"type": "SPAN", "scale": scale, "num_features": num_features, "norm": norm, "fused": False}
    theirs = {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": num_features, "upscale": scale, "norm": norm}
    return Row(config, "SPAN.SPAN", theirs)


def plksr(kind: str, scale: int, **options: object) -> Row:
    config = {"type": kind, "scale": scale, "num_features": 16, "num_blocks": 2, "kernel_size": 7, **options}
    theirs = {"dim": 16, "n_blocks": 2, "upscaling_factor": scale, "kernel_size": 7, **options}
    return Row(config, f"PLKSR.{kind}", theirs)


def dat(scale: int, upsampler: str, **others: Any) -> Row:
    """A small DAT, whose groups have shifted windows in the third and in the first block."""
    shared = {"num_heads": [2, 6], "split_size": [2, 4], "expansion_factor": 2.0, "upsampler": upsampler, **others}
    config = {"type": "DAT", "scale": scale, "num_features": 36, "depths": [3, 2], **shared}
    theirs = {"upscale": scale, "embed_dim": 36, "depth": [3, 2], **shared}
    if theirs.pop("colour", "rgb") == "y":
        theirs["in_chans"] = 1
    return Row(config, "DAT.DAT", theirs, ((16, 12), (13, 10), (5, 7)))


def atd(scale: int, upsampler: str = "", norm: bool = True, **others: Any) -> Row:
    """A small ATD, whose last category is not full."""
    shared = {"depths": [2, 1], "num_heads": [2, 3], "window_size": 4, "num_tokens": 5, "reducted_dim": 3, "norm": norm}
    shared |= {"convffn_kernel_size": 3, "mlp_ratio": 2.0, **others, **({"upsampler": upsampler} if upsampler else {})}
    config = {"type": "ATD", "scale": scale, "num_features": 12, **shared}
    theirs = {"upscale": scale, "embed_dim": 12, "category_size": 256, **shared}
    if theirs.pop("colour", "rgb") == "y":
        theirs["in_chans"] = 1
    return Row(config, "ATD.ATD", theirs, ((16, 20), (13, 30), (5, 7)))


ROWS = {
    "DRCT_x3": drct(3, [6, 3], 4),
    "HAT_x3": hat(3, 4, 3, 6),
    "HAT_x2_others": hat(2, 8, 6, 12, overlap_ratio=0.25, mlp_ratio=1.5, qkv_bias=False),
    "ATD_x2": atd(2, "pixelshuffle"),
    "ATD_x4_no_mean": atd(4, "nearest+conv", norm=False, resi_connection="3conv"),
    "OmniSR_x3": omnisr(3, 1, 2, 4, bias=False),
    "OmniSR_x4": omnisr(4, 2, 1, 8),
    "RCAN_x1_unshuffled": rcan(1, 1, 2, 16, unshuffle_mod=True, norm=False),
    "RCAN_x2_unshuffled": rcan(2, 1, 2, 4, unshuffle_mod=True),
    "RCAN_x2_no_mean": rcan(2, 2, 1, 8, norm=False),
    "RCAN_x3": rcan(3, 2, 2, 16),
    "RCAN_x4": rcan(4, 3, 1, 4),
    "DAT_x2": dat(2, "pixelshuffle"),
    "SAFMN_x2": safmn(2, 36, 2),
    "SAFMN_x4": safmn(4, 12, 3, 1.75),
    "SRFormer_x3": srformer(3, "pixelshuffle"),
    "SRFormer_x2_light": srformer(2, "pixelshuffledirect", mlp_ratio=1.5, qkv_bias=False),
    "SwinIR_x2": swinir(2, "pixelshuffle"),
    "SwinIR_x3_light": swinir(3, "pixelshuffledirect", mlp_ratio=1.5),
    "SwinIR_x2_real": swinir(2, "nearest+conv", resi_connection="3conv"),
    "SwinIR_x1_jpeg": swinir(1, window_size=7, img_range=255.0, img_size=28),
    "PLKSR_x2": plksr("PLKSR", 2, ccm_type="DCCM", split_ratio=0.5),
    "PLKSR_x3_CCM": plksr("PLKSR", 3, ccm_type="CCM", use_ea=False),
    "RealPLKSR_x4": plksr("RealPLKSR", 4, layer_norm=False),
    "RealPLKSR_x2_neosr": plksr("RealPLKSR", 2, layer_norm=True, dysample=True),
    "RealPLKSR_x3_dysample": plksr("RealPLKSR", 3, use_ea=False, dysample=True),
    "RealPLKSR_x1": plksr("RealPLKSR", 1, layer_norm=True),
    "SPAN_x2": span(2, 12),
    "SPAN_x4_neosr": span(4, 8, norm=False),
}
MORE_ROWS = {
    "DRCT_x2_luma": drct(2, [2], 6, mlp_ratio=1.5, qkv_bias=False, colour="y"),
    "DRCT_x1": drct(1, [4], 4),
    "HAT_x8_luma": hat(8, 4, 2, 4, overlap_ratio=1.0, colour="y"),
    "HAT_x1": hat(1, 4, 12, 4),
    "ATD_x3_light": atd(3, "pixelshuffledirect", convffn_kernel_size=7, mlp_ratio=1.0, window_size=6),
    "ATD_x1_luma": atd(1, colour="y", qkv_bias=False),
    "OmniSR_x1": omnisr(1, 1, 1, 8, pe=False),
    "SRFormer_x4_real": srformer(4, "nearest+conv", resi_connection="3conv"),
    "SRFormer_x1": srformer(1, "", colour="y"),
    "DAT_x1_luma": dat(1, "pixelshuffledirect", colour="y"),
    "DAT_x3_light": dat(3, "pixelshuffledirect", resi_connection="3conv", split_size=[8, 2]),
    "DAT_x4": dat(4, "pixelshuffle", qkv_bias=False, expansion_factor=1.5),
    "SwinIR_x8_luma": swinir(8, "pixelshuffle", colour="y"),
    "SwinIR_x4_real": swinir(4, "nearest+conv"),
    "SwinIR_x8_real": swinir(8, "nearest+conv"),
    "SwinIR_x1_luma": swinir(1, colour="y"),
}
"""Those that the default run leaves out."""


@pytest.fixture(scope="module")
def spandrel() -> ModuleType:
    """Import spandrel after torchvision, which may have to be mended first."""
    if importlib.util.find_spec("spandrel") is None:
        pytest.skip("spandrel is not installed")
    torchvision_models()
    return importlib.import_module("spandrel")


def randomised(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    for parameter in network.requires_grad_(False).parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.add_(0.3 * noise)
    for key, statistic in network.named_buffers():
        if "running_" in key:
            statistic.add_(0.3 * torch.rand(statistic.shape, generator=generator))
    return network.eval()


@torch.no_grad()
def agree(ours: nn.Module, theirs: nn.Module, size: tuple[int, int], channels: int) -> None:
    """Equal to 1e-5 of the range of values, in float64, where the order of sums hardly matters."""
    image = torch.rand(2, channels, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected: Tensor = theirs.double()(image.clone())
    result = ours.double()(image)
    spread = float(expected.max() - expected.min())
    assert spread > 0
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5 * spread)


def for_others(network: nn.Module) -> State:
    """Return a network's tensors as `convert_checkpoint --to basicsr` writes them, or as they are."""
    kind, exports = type(network).__name__, [row for family in families() for row in getattr(family, "EXPORTS", ())]
    names = next((row.names for row in exports if (row.to, row.network) == ("basicsr", kind)), {})
    names = {ours: theirs for theirs, ours in names.items()} if isinstance(names, Mapping) else names
    return {key: value.clone() for key, value in rename(network.state_dict(), names).items()}


@pytest.mark.parametrize("name", [*ROWS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_ROWS)])
def test_weights_go_from_there_to_here_and_back(
    spandrel: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {**ROWS, **MORE_ROWS}[name]
    # its ATD leaves the order in a category to PyTorch, which on some CPUs takes any
    monkeypatch.setattr(torch, "sort", lambda values, dim, stable: values.sort(dim=dim, stable=True))
    if row.package != "spandrel":
        pytest.importorskip(row.package).install(ignore_duplicates=True)
    architecture, kind = row.there.split(".")
    network_class = getattr(importlib.import_module(f"{row.package}.architectures.{architecture}"), kind)
    torch.manual_seed(0)
    theirs = randomised(network_class(**row.arguments))
    state = {key: value.clone() for key, value in theirs.state_dict().items()}
    found = recognise(state, "x.pth")
    assert {**found.config, **row.config} == found.config
    ours = NETWORKS.build(found.config).eval().requires_grad_(False)
    ours.load_state_dict(found.tensors)
    saved = (row.written or for_others)(ours)
    for size in row.sizes:
        agree(ours, theirs, size, ours.in_channels)
    opened = spandrel.ModelLoader().load_from_state_dict(saved)
    assert type(opened.model) is network_class and opened.scale == ours.scale
    agree(ours, opened.model.eval(), row.sizes[-1], ours.in_channels)
