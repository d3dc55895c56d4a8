"""The forms in which files of our families come about, made by spandrel's classes: who opens them, as what.

What neosr, traiNNer-redux and the authors write: each by the network here with all its arguments, or
by spandrel, which says so.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.devices import without_drawing
from srtoolbox.errors import CheckpointError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.recognise import recognise
from tests.models.networks.test_against_spandrel import randomised

if importlib.util.find_spec("spandrel") is None:
    pytest.skip("needs the extra 'spandrel'", allow_module_level=True)

EXTRA = ("SRFormer",)
"""Those of spandrel_extra_arches."""


class Form(NamedTuple):
    """A network of spandrel's class and what its file is opened as."""

    there: str  # 'ARCHITECTURE.Class' in spandrel
    arguments: dict[str, Any]  # of that class
    opened: dict[str, Any]  # the arguments here that matter, `type` among them


def old_esrgan(scale: int, unshuffle: bool = False, **arguments: Any) -> Form:
    theirs = {"num_blocks": 23, "scale": scale, **arguments}
    opened = {"type": "RRDBNet", "scale": scale, "num_blocks": theirs["num_blocks"]}
    if unshuffle:
        factor = arguments["shuffle_factor"]
        opened |= {"scale": scale // factor, "unshuffle": True}
        theirs["in_nc"] = 3 * factor**2
    return Form("ESRGAN.RRDBNet", theirs, opened)


def compact(scale: int, num_features: int, num_blocks: int, **more: Any) -> Form:
    theirs = {"upscale": scale, "num_feat": num_features, "num_conv": num_blocks, **more}
    opened = {"type": "SRVGGNetCompact", "scale": scale, "num_features": num_features, "num_blocks": num_blocks}
    return Form("Compact.SRVGGNetCompact", theirs, {**opened, "colour": "y" if more.get("num_in_ch") == 1 else "rgb"})


def span(scale: int, num_features: int, norm: bool) -> Form:
    theirs = {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": num_features, "upscale": scale, "norm": norm}
    return Form("SPAN.SPAN", theirs, {"type": "SPAN", "scale": scale, "num_features": num_features, "norm": norm})


def realplksr(scale: int, num_features: int = 64, num_blocks: int = 28, **same: Any) -> Form:
    opened = {"type": "RealPLKSR", "scale": scale, "num_features": num_features, "num_blocks": num_blocks, **same}
    theirs = {"upscaling_factor": scale, "dim": num_features, "n_blocks": num_blocks, **same}
    return Form("PLKSR.RealPLKSR", theirs, opened)


def windows(there: str, scale: int, num_features: int, depths: list[int], heads: int, **same: Any) -> Form:
    """A network of windows whose arguments are named alike here and there."""
    opened = {"type": there, "scale": scale, "num_features": num_features, "num_heads": [heads] * len(depths), **same}
    theirs = {"upscale": scale, "embed_dim": num_features, "num_heads": [heads] * len(depths), "mlp_ratio": 2.0, **same}
    growth = {"gc": theirs.pop("growth_channels")} if "growth_channels" in theirs else {}
    named = {"depth": depths} if there == "DAT" else {"depths": depths}
    theirs = {"img_size": 64, **theirs, **growth, **named}
    if there == "DRCT":
        theirs["upsampler"] = "pixelshuffle"
    else:
        opened["depths"] = depths
    if there == "DAT":
        theirs.pop("mlp_ratio")
    return Form(f"{there}.{there}", theirs, opened)


SWINIR = {"window_size": 8}
HAT = {"window_size": 16, "compress_ratio": 3, "squeeze_factor": 30, "overlap_ratio": 0.5}
ATD = {"window_size": 16, "num_tokens": 128, "reducted_dim": 20, "convffn_kernel_size": 5}
ATD_LIGHT = {"window_size": 16, "num_tokens": 64, "reducted_dim": 8, "convffn_kernel_size": 7, "mlp_ratio": 1.0}
DAT_2 = {"split_size": [8, 32], "expansion_factor": 2.0}
PUBLIC = {
    "4x-UltraSharp": old_esrgan(4),
    "8x_NMKD": old_esrgan(8),
    "2x_ESRGAN": old_esrgan(2),
    "1x_ESRGAN": old_esrgan(1),
    "4x_lite": old_esrgan(4, num_filters=32, num_blocks=12),
    "4x_ESRGAN_plus": old_esrgan(4, plus=True),
    "2x_unshuffled": old_esrgan(4, unshuffle=True, shuffle_factor=2),
    "1x_unshuffled": old_esrgan(4, unshuffle=True, shuffle_factor=4),
    "2x_Compact": compact(2, 64, 16),
    "2x_UltraCompact": compact(2, 64, 8),
    "2x_SuperUltraCompact": compact(2, 24, 8),
    "realesr-general-x4v3": compact(4, 64, 32),
    "1x_SRVGG": compact(1, 64, 16),
    "4x_span_ch48": span(4, 48, norm=True),
    "4xNomos_span": span(4, 48, norm=False),
    "2x_span_ch52": span(2, 52, norm=False),
    "1x_span": span(1, 48, norm=False),
    "4x_realplksr_gn": realplksr(4, layer_norm=False, dysample=False),
    "4x_realplksr_dysample": realplksr(4, layer_norm=False, dysample=True),
    "2x_realplksr_dysample_layer_norm": realplksr(2, layer_norm=True, dysample=True),
    "4x_realplksr_layer_norm": realplksr(4, layer_norm=True, dysample=False),
    "1x_realplksr_dysample": realplksr(1, layer_norm=True, dysample=True),
    "4x_realplksr_tiny": realplksr(4, num_blocks=12, kernel_size=13, use_ea=False, layer_norm=True),
    "4x_realplksr_large": realplksr(4, num_features=96, layer_norm=True),
    "4xNomos8kDAT": windows("DAT", 4, 180, [6] * 6, 6, split_size=[8, 32], expansion_factor=4.0),
    "4x_DAT2": windows("DAT", 4, 180, [6] * 6, 6, **DAT_2),
    "4x_DAT_S": windows("DAT", 4, 180, [6] * 6, 6, split_size=[8, 16], expansion_factor=2.0),
    "2x_DAT_light": windows("DAT", 2, 60, [18], 6, **DAT_2, resi_connection="3conv", upsampler="pixelshuffledirect"),
    "4xNomosUni_HAT-L": windows("HAT", 4, 180, [6] * 12, 6, **HAT),
    "4x_HAT": windows("HAT", 4, 180, [6] * 6, 6, **HAT),
    "4x_HAT-S": windows("HAT", 4, 144, [6] * 6, 6, **{**HAT, "compress_ratio": 24, "squeeze_factor": 24}),
    "4x_OmniSR": Form(
        "OmniSR.OmniSR",
        {"num_feat": 64, "res_num": 5, "block_num": 1, "window_size": 8, "up_scale": 4},
        {"type": "OmniSR", "scale": 4, "num_groups": 5, "num_blocks": 1, "window_size": 8, "pe": True, "bias": True},
    ),
    "4x_ATD": windows("ATD", 4, 210, [6] * 6, 6, **ATD, upsampler="pixelshuffle"),
    "4x_ATD_no_norm": windows("ATD", 4, 210, [6] * 2, 6, **ATD, upsampler="nearest+conv", norm=False),
    "2x_ATD_light": windows("ATD", 2, 48, [6] * 4, 4, **ATD_LIGHT, upsampler="pixelshuffledirect"),
    "realSR_BSRGAN_SwinIR-M_x4": windows("SwinIR", 4, 180, [6] * 6, 6, **SWINIR, upsampler="nearest+conv"),
    "classicalSR_SwinIR-M_x4": windows("SwinIR", 4, 180, [6] * 6, 6, **SWINIR, upsampler="pixelshuffle"),
    "realSR_SwinIR-L_x4": windows(
        "SwinIR", 4, 240, [6] * 9, 8, **SWINIR, upsampler="nearest+conv", resi_connection="3conv"
    ),
    "lightweightSR_SwinIR-S_x2": windows("SwinIR", 2, 60, [6] * 4, 6, **SWINIR, upsampler="pixelshuffledirect"),
    "colorDN_SwinIR-M": windows("SwinIR", 1, 180, [6] * 6, 6, **SWINIR),
    "4x_DRCT": windows("DRCT", 4, 180, [6] * 6, 6, window_size=16, growth_channels=32),
    "4x_DRCT-L": windows("DRCT", 4, 180, [6] * 12, 6, window_size=16, growth_channels=32),
    "4x_SRFormer": windows("SRFormer", 4, 180, [6] * 6, 6, window_size=24, upsampler="pixelshuffle"),
    "2x_SRFormer_light": windows("SRFormer", 2, 60, [6] * 4, 6, window_size=16, upsampler="pixelshuffledirect"),
    "4x_SAFMN": Form(
        "SAFMN.SAFMN",
        {"dim": 128, "n_blocks": 16},
        {"type": "SAFMN", "scale": 4, "num_features": 128, "num_blocks": 16},
    ),
    "4x_RCAN": Form("RCAN.RCAN", {"scale": 4}, {"type": "RCAN", "num_groups": 10, "num_blocks": 20, "reduction": 16}),
}
"""The hyperparameters of files that are about, in full size."""


def by_spandrel(there: str, x: int, /, **arguments: Any) -> Form:
    architecture = there.split(".", maxsplit=1)[0]
    return Form(there, arguments, {"type": "Spandrel", "scale": x, "architecture": architecture})


_SMALL = {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 4, "img_size": 16, "upscale": 2}
_SMALL_SWINIR = {**_SMALL, "upsampler": "pixelshuffle", "mlp_ratio": 2.0}
_SMALL_HAT = {**_SMALL, "compress_ratio": 3, "squeeze_factor": 3}
_SMALL_ATD = {**_SMALL, "upsampler": "pixelshuffle", "num_tokens": 8, "reducted_dim": 4}
_SMALL_DRCT = {**_SMALL, "depths": [6], "gc": 8, "upsampler": "pixelshuffle"}
FORMS = {
    "ESRGAN_x1": old_esrgan(1, num_filters=8, num_blocks=1),
    "ESRGAN_x8_plus": old_esrgan(8, num_filters=8, num_blocks=1, plus=True),
    "ESRGAN_x16": by_spandrel("ESRGAN.RRDBNet", 16, num_filters=8, num_blocks=1, scale=16),
    "ESRGAN_x2_unshuffled": old_esrgan(4, unshuffle=True, shuffle_factor=2, num_filters=8, num_blocks=1),
    "ESRGAN_x1_unshuffled": old_esrgan(4, unshuffle=True, shuffle_factor=4, num_filters=8, num_blocks=1),
    "ESRGAN_x1_one_step_unshuffled": by_spandrel(
        "ESRGAN.RRDBNet", 1, num_filters=8, num_blocks=1, scale=2, in_nc=12, shuffle_factor=2
    ),
    "ESRGAN_gray": Form(
        "ESRGAN.RRDBNet",
        {"num_filters": 8, "num_blocks": 1, "in_nc": 1, "out_nc": 1},
        {"type": "RRDBNet", "scale": 4, "colour": "y"},
    ),
    "ESRGAN_colours_gray": by_spandrel("ESRGAN.RRDBNet", 4, num_filters=8, num_blocks=1, in_nc=1, out_nc=3),
    "Compact_x1": compact(1, 8, 2),
    "Compact_gray": compact(3, 8, 2, num_in_ch=1, num_out_ch=1),
    "Compact_colours_gray": by_spandrel("Compact.SRVGGNetCompact", 2, num_feat=8, num_conv=2, num_in_ch=1, upscale=2),
    "SPAN_x1": span(1, 8, norm=False),
    "SPAN_x3": span(3, 8, norm=True),
    "RealPLKSR_x1_dysample": realplksr(1, 16, 2, layer_norm=True, dysample=True),
    "RealPLKSR_x2_dysample": realplksr(2, 16, 2, layer_norm=False, dysample=True),
    "RealPLKSR_x3_dysample": realplksr(3, 16, 2, layer_norm=True, dysample=True),
    "RealPLKSR_x4_dysample": realplksr(4, 16, 2, kernel_size=13, use_ea=False, layer_norm=True, dysample=True),
    "RealPLKSR_x8_dysample": realplksr(8, 16, 2, layer_norm=True, dysample=True),
    "RealPLKSR_split": realplksr(2, 16, 1, split_ratio=0.5, layer_norm=False),
    "PLKSR_sparse": by_spandrel("PLKSR.PLKSR", 4, dim=16, n_blocks=1, lk_type="SparsePLK"),
    "PLKSR_rectangles": by_spandrel("PLKSR.PLKSR", 4, dim=16, n_blocks=1, lk_type="RectSparsePLK"),
    "HAT_without_body_convolution": by_spandrel("HAT.HAT", 2, **_SMALL_HAT, resi_connection="identity"),
    "HAT_without_first_norm": by_spandrel("HAT.HAT", 2, **_SMALL_HAT, patch_norm=False),
    "HAT_narrow_tail": by_spandrel("HAT.HAT", 2, **_SMALL_HAT, num_feat=32),
    "ATD_without_first_norm": by_spandrel("ATD.ATD", 2, **_SMALL_ATD, patch_norm=False),
    "DRCT_without_body_convolution": by_spandrel("DRCT.DRCT", 2, **_SMALL_DRCT, resi_connection="identity"),
    "DRCT_of_one_window": by_spandrel("DRCT.DRCT", 2, **{**_SMALL_DRCT, "img_size": 4}),
    "SwinIR_unshuffled": by_spandrel("SwinIR.SwinIR", 2, **{**_SMALL_SWINIR, "upscale": 4}, start_unshuffle=2),
    "SwinIR_x1_unshuffled": by_spandrel(
        "SwinIR.SwinIR", 1, **{**_SMALL_SWINIR, "upscale": 4, "upsampler": "nearest+conv"}, start_unshuffle=4
    ),
    "RCAN_kernel": by_spandrel("RCAN.RCAN", 2, scale=2, n_resgroups=1, n_resblocks=1, n_feats=16, kernel_size=5),
    "SAFMN": Form("SAFMN.SAFMN", {"dim": 12, "n_blocks": 1, "ffn_scale": 1.5}, {"type": "SAFMN", "ffn_scale": 1.5}),
}
"""Every choice that spandrel reads off tensors, where test_against_spandrel has none with it, small."""
QUICK = ("ESRGAN_gray", "SPAN_x1", "RealPLKSR_x4_dysample", "HAT_narrow_tail", "SwinIR_unshuffled")
OF_ONE_SIZE = {
    "HAT": Form("HAT.HAT", {**_SMALL_HAT, "ape": True}, {}),
    "ATD": Form("ATD.ATD", {**_SMALL_ATD, "img_size": 64, "ape": True}, {}),
    "DRCT": Form("DRCT.DRCT", {**_SMALL_DRCT, "ape": True}, {}),
    "SwinIR": Form("SwinIR.SwinIR", {**_SMALL_SWINIR, "ape": True}, {}),
    "Swin2SR": Form("Swin2SR.Swin2SR", {**_SMALL_SWINIR, "ape": True}, {}),
    "SRFormer": Form("SRFormer.SRFormer", {**_SMALL_SWINIR, "window_size": 12, "img_size": 24, "ape": True}, {}),
}
"""Those that have learnt a value for each place in an image, which no file that is about has."""


def made(form: Form) -> nn.Module:
    """A network of spandrel's class, of zeros."""
    torchvision_models()
    architecture, name = form.there.split(".")
    package = "spandrel"
    if architecture in EXTRA:
        package = pytest.importorskip("spandrel_extra_arches").__name__
    module = importlib.import_module(f"{package}.architectures.{architecture}")
    kind = next(value for value in vars(module).values() if getattr(value, "__name__", "") == name)
    with without_drawing():
        return kind(**form.arguments).eval()


def as_written(network: nn.Module) -> dict[str, Tensor]:
    """The state_dict as training programs have it: SwinIR's unshuffling is a module before the convolution."""
    state = {key: value.clone() for key, value in network.state_dict().items()}
    if getattr(network, "start_unshuffle", 1) > 1:
        state = {key.replace("conv_first.", "conv_first.1."): value for key, value in state.items()}
    return state


def check(form: Form, state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    found = recognise({"params_ema": state}, "x.pth")
    assert {**found.config, **form.opened} == found.config
    assert ("opened by spandrel " in found.sentence) == (form.opened["type"] == "Spandrel")
    return found.config, found.tensors


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_ONE_SIZE)
def test_networks_for_images_of_one_size_are_refused(name: str) -> None:
    form = OF_ONE_SIZE[name]
    with pytest.raises(CheckpointError, match=rf"x.pth: .*{name}.*(absolute_pos_embed|of images of \d+ pixels alone)"):
        recognise(as_written(made(form)), "x.pth")


@pytest.mark.parametrize("mark", [torch.tensor(0.0), torch.zeros(0), torch.ones(1, dtype=torch.float16)])
def test_what_says_that_span_takes_no_mean_off_may_have_any_shape(mark: Tensor) -> None:
    form = FORMS["SPAN_x1"]
    check(form, {**as_written(made(form)), "no_norm": mark})


def test_an_unshuffled_swinir_opens_by_the_names_that_spandrel_gives_it() -> None:
    form = FORMS["SwinIR_unshuffled"]
    _, tensors = check(form, made(form).state_dict())
    assert "network.conv_first.weight" in tensors


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC)
def test_files_that_are_about_are_opened_here(name: str) -> None:
    check(PUBLIC[name], as_written(made(PUBLIC[name])))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FORMS]
)
def test_each_form_is_opened_and_computes_the_same(name: str) -> None:
    theirs = randomised(made(FORMS[name]))
    config, tensors = check(FORMS[name], as_written(theirs))
    ours = NETWORKS.build(config).eval().requires_grad_(False)
    ours.load_state_dict(tensors)
    channels = FORMS[name].arguments.get("in_nc", FORMS[name].arguments.get("num_in_ch", 3))
    image = torch.rand(2, 1 if channels == 1 else 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()
    with torch.inference_mode():
        expected = theirs.double()(image.clone())
        result = ours.double()(image.expand(-1, ours.in_channels, -1, -1))
    assert expected.amin() < expected.amax()
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
