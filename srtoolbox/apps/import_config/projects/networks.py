"""Networks by the names and arguments of their authors, which BasicSR and what descends from it share."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.counterpart import COLOURS, Counterpart, Name

OUTPUTS = "as many as channels come in"
MEMORY = "recomputing activations saves memory there; it does not change the result"
ANY_SIZE = "windows are made for images of any size"
CHANNELS: dict[str, Name] = {"num_in_ch": ("colour", COLOURS), "in_ch": ("colour", COLOURS)}
UNUSED = {"num_out_ch": OUTPUTS, "out_ch": OUTPUTS, "img_size": ANY_SIZE, "use_checkpoint": MEMORY, "use_chk": MEMORY}
UPSAMPLING: dict[str, Name] = {
    "upsampler": ("upsampler", lambda name: name or "pixelshuffle"),  # none at scale 1, as here
    "resi_connection": "resi_connection",
}
WINDOWS: dict[str, Name] = {
    "depths": "depths",
    "window_size": "window_size",
    "mlp_ratio": ("mlp_ratio", float),
    "drop_path_rate": "drop_path_rate",
}
FIXED = {
    "patch_size": (1, "patches are pixels here"),
    "qk_scale": (None, "scores of attention are scaled by the root of a head's width"),
    "drop_rate": (0.0, "there is no dropout of features"),
    "attn_drop_rate": (0.0, "there is no dropout of attention"),
    "ape": (False, "there is no learnt value for each place of an image"),
    "patch_norm": (True, "features are normalised at the beginning"),
}


def _transformer(type_: str, names: dict[str, Name], fixed: dict[str, tuple[Any, str]] | None = None) -> Counterpart:
    return Counterpart(
        type_,
        names={
            "upscale": "scale",
            "in_chans": ("colour", COLOURS),
            "embed_dim": "num_features",
            "num_heads": "num_heads",
            "qkv_bias": "qkv_bias",
            "img_range": ("img_range", float),
            **names,
        },
        fixed={**FIXED, **(fixed or {})},
        unused=UNUSED,
    )


SUBPIXEL = {
    "upsampler": ("pixelshuffle", "this network enlarges by sub-pixel convolutions"),
    "resi_connection": ("1conv", "its residual groups end with one convolution"),
    "num_feat": (64, "64 channels are enlarged"),
}
SMALL: dict[str, Any] = {"embed_dim": 96, "depths": [6, 6, 6, 6], "num_heads": [6, 6, 6, 6], "window_size": 7}
SWINIR = _transformer("SwinIR", {**WINDOWS, **UPSAMPLING}).but(**SMALL, mlp_ratio=4.0, upsampler="")
SRFORMER = _transformer("SRFormer", {**WINDOWS, **UPSAMPLING}).but(**SMALL, mlp_ratio=4.0, upsampler="")
HAT_NAMES = ("compress_ratio", "squeeze_factor", "conv_scale", "overlap_ratio")
HAT = _transformer(
    "HAT",
    {**WINDOWS, **{name: name for name in HAT_NAMES}},
    SUBPIXEL,
).but(**SMALL, mlp_ratio=4.0)
DAT = _transformer(
    "DAT",
    {
        "depth": "depths",
        "split_size": "split_size",
        "expansion_factor": ("expansion_factor", float),
        "drop_path_rate": "drop_path_rate",
        **UPSAMPLING,
    },
).but(split_size=[2, 4], depth=[2, 2, 2, 2], num_heads=[2, 2, 2, 2])
ATD_NAMES = ("category_size", "num_tokens", "reducted_dim", "convffn_kernel_size", "norm", "depths", "window_size")
ATD = _transformer("ATD", {**{name: name for name in ATD_NAMES}, "mlp_ratio": ("mlp_ratio", float), **UPSAMPLING}).but(
    embed_dim=90, depths=[6] * 4, num_heads=[6] * 4, window_size=8, reducted_dim=4
)
DRCT_UNUSED = "its blocks have their own number of layers, one for each of num_heads"
DRCT = _transformer(
    "DRCT",
    {name: WINDOWS[name] for name in ("window_size", "mlp_ratio", "drop_path_rate")} | {"gc": "growth_channels"},
    SUBPIXEL,
)
DRCT = Counterpart(
    DRCT.type,
    names=DRCT.names,
    fixed=DRCT.fixed,
    unused={
        **UNUSED,
        "depths": DRCT_UNUSED,
        **dict.fromkeys(
            ("compress_ratio", "squeeze_factor", "conv_scale", "overlap_ratio"), "read, but not used there"
        ),
    },
)
RRDBNET = Counterpart(
    "RRDBNet",
    names={
        **CHANNELS,
        "in_nc": ("colour", COLOURS),
        "scale": "scale",
        "upscale": "scale",
        "num_feat": "num_features",
        "num_filters": "num_features",
        "num_block": "num_blocks",
        "num_blocks": "num_blocks",
        "num_grow_ch": "growth_channels",
        "use_pixel_unshuffle": "unshuffle",
    },
    unused={**UNUSED, "out_nc": OUTPUTS},
)
COMPACT = Counterpart(
    "SRVGGNetCompact",
    names={**CHANNELS, "upscale": "scale", "num_feat": "num_features", "num_conv": "num_blocks"},
    fixed={"act_type": ("prelu", "the activation is PReLU"), "learn_residual": (True, "the enlarged input is added")},
    unused=UNUSED,
)
MSRRESNET = Counterpart(
    "MSRResNet",
    names={**CHANNELS, "upscale": "scale", "num_feat": "num_features", "num_block": "num_blocks"},
    unused=UNUSED,
)
EDSR = Counterpart(
    "EDSR",
    names={
        **CHANNELS,
        "upscale": "scale",
        "num_feat": "num_features",
        "num_block": "num_blocks",
        "res_scale": ("residual_scaling", float),
        "img_range": ("img_range", float),
        "rgb_mean": "rgb_mean",
    },
    defaults={"num_feat": 64, "num_block": 16, "res_scale": 1},
    unused=UNUSED,
)
RCAN = Counterpart(
    "RCAN",
    names={
        **CHANNELS,
        "upscale": "scale",
        "num_feat": "num_features",
        "num_group": "num_groups",
        "num_block": "num_blocks",
        "squeeze_factor": "reduction",
        "img_range": ("img_range", float),
        "rgb_mean": "rgb_mean",
    },
    defaults={"num_block": 16},
    fixed={"res_scale": (1, "residuals of RCAN are not scaled")},
    unused=UNUSED,
)
OMNISR = Counterpart(
    "OmniSR",
    names={
        **CHANNELS,
        **dict.fromkeys(("upsampling", "up_scale", "upscale"), "scale"),
        "num_feat": "num_features",
        "res_num": "num_groups",
        "block_num": "num_blocks",
        "window_size": "window_size",
        "pe": "pe",
        "bias": "bias",
    },
    fixed={"ffn_bias": (True, "the feed-forward layers have biases")},
    unused={
        **UNUSED,
        "block_script_name": "there is one kind of block",
        "block_class_name": "there is one kind of block",
    },
)
SAFMN = Counterpart(
    "SAFMN",
    names={
        "dim": "num_features",
        "n_blocks": "num_blocks",
        "ffn_scale": ("ffn_scale", float),
        "upscaling_factor": "scale",
    },
    unused=UNUSED,
)
SPAN = Counterpart(
    "SPAN",
    names={
        **CHANNELS,
        "upscale": "scale",
        "feature_channels": "num_features",
        "num_blocks": "num_blocks",
        "norm": "norm",
        "img_range": ("img_range", float),
        "rgb_mean": ("rgb_mean", list),
    },
    defaults={"feature_channels": 48},
    fixed={"bias": (True, "convolutions have biases")},
    unused=UNUSED,
)
LARGE: dict[str, Name] = {
    "dim": "num_features",
    "n_blocks": "num_blocks",
    "kernel_size": "kernel_size",
    "split_ratio": "split_ratio",
    "use_ea": "use_ea",
    "upscaling_factor": "scale",
}
PLKSR = Counterpart(
    "PLKSR",
    names={**LARGE, "ccm_type": "ccm_type", "with_idt": "with_idt"},
    fixed={"lk_type": ("PLK", "kernels are dense and partial"), "use_max_kernel": (False, "kernels are dense")},
    unused={
        "sparse_kernels": "of sparse kernels",
        "sparse_dilations": "of sparse kernels",
        "is_coreml": "of another format",
    },
)
REALPLKSR = Counterpart(
    "RealPLKSR",
    names={
        **CHANNELS,
        **LARGE,
        "norm_groups": "norm_groups",
        "dropout": "dropout",
        "dysample": "dysample",
        "layer_norm": "layer_norm",
        "upsampler": ("dysample", {"pixelshuffle": False, "dysample": True}),
    },
    unused=UNUSED,
)
NETWORKS = {
    "rrdbnet": RRDBNET,
    "msrresnet": MSRRESNET,
    "edsr": EDSR,
    "rcan": RCAN,
    "srvggnetcompact": COMPACT,
    "swinir": SWINIR,
    "srformer": SRFORMER,
    "hat": HAT,
    "dat": DAT,
    "atd": ATD,
    "drct": DRCT,
    "omnisr": OMNISR,
    "safmn": SAFMN,
    "span": SPAN,
    "plksr": PLKSR,
    "realplksr": REALPLKSR,
}
SIX: dict[str, Any] = {"embed_dim": 180, "depths": [6] * 6, "num_heads": [6] * 6}
FOUR: dict[str, Any] = {"embed_dim": 60, "depths": [6] * 4, "num_heads": [6] * 4}
DIRECT = {"upsampler": "pixelshuffledirect"}
SWINIR_M = SWINIR.but(**SIX, window_size=8, mlp_ratio=2.0, upsampler="pixelshuffle")
SWINIR_S = SWINIR.but(**FOUR, window_size=8, mlp_ratio=2.0, **DIRECT)
SWINIR_L = SWINIR.but(
    embed_dim=240, depths=[6] * 9, num_heads=[8] * 9, window_size=8, mlp_ratio=2.0, upsampler="nearest+conv",
    resi_connection="3conv",
)  # fmt: skip
HAT_M = HAT.but(**SIX, window_size=16, mlp_ratio=2.0)
HAT_S = HAT_M.but(embed_dim=144, compress_ratio=24, squeeze_factor=24)
HAT_L = HAT_M.but(depths=[6] * 12, num_heads=[6] * 12)
SIX_DEEP: dict[str, Any] = {"embed_dim": 180, "depth": [6] * 6, "num_heads": [6] * 6, "split_size": [8, 32]}
DAT_M = DAT.but(**SIX_DEEP, expansion_factor=4)
DAT_2 = DAT.but(**SIX_DEEP, expansion_factor=2)
DAT_S = DAT.but(**{**SIX_DEEP, "split_size": [8, 16]}, expansion_factor=2)
DAT_LIGHT = DAT.but(
    embed_dim=60, depth=[18], num_heads=[6], split_size=[8, 32], expansion_factor=2, resi_connection="3conv", **DIRECT
)
SRFORMER_M = SRFORMER.but(**SIX, window_size=24, mlp_ratio=2.0, upsampler="pixelshuffle")
SRFORMER_LIGHT = SRFORMER.but(**FOUR, window_size=16, mlp_ratio=2.0, **DIRECT)
ATD_M = ATD.but(
    embed_dim=210,
    depths=[6] * 6,
    num_heads=[6] * 6,
    window_size=16,
    reducted_dim=20,
    upsampler="pixelshuffle",
    norm=False,
)
ATD_LIGHT = ATD.but(
    embed_dim=48, depths=[6] * 4, num_heads=[4] * 4, window_size=16, category_size=128, num_tokens=64, reducted_dim=8,
    convffn_kernel_size=7, mlp_ratio=1.0, norm=False, **DIRECT,
)  # fmt: skip
DRCT_L = DRCT.but(num_heads=[6] * 12)
SAFMN_L = SAFMN.but(dim=128, n_blocks=16)
PLKSR_M = PLKSR.but(ccm_type="DCCM")
PLKSR_TINY = PLKSR_M.but(n_blocks=12, kernel_size=13, use_ea=False)
REALPLKSR_S = REALPLKSR.but(n_blocks=12, kernel_size=13, use_ea=False)
SPAN_PLAIN = SPAN.but(norm=False)
