"""BasicSR (github.com/XPixelGroup/BasicSR), from its option files of 2020 on."""

from __future__ import annotations

from srtoolbox.apps.import_config.counterpart import COLOURS, Counterpart
from srtoolbox.apps.import_config.family.project import Project
from srtoolbox.config.values import Value

OUTPUTS = "as many as channels come in"
CHANNELS = {"num_in_ch": ("colour", COLOURS)}
MEMORY = "recomputing activations saves memory there; it does not change the result"
ANY_SIZE = "windows are made for images of any size"


def _root(value: Value) -> float:
    """Return the eps of sqrt(x^2 + eps^2) for that of sqrt(x^2 + eps)."""
    return float(value) ** 0.5


def transformer(type_: str, names: dict[str, Value], **defaults: Value) -> Counterpart:
    """Return the counterpart of a network of windows, whose arguments are named as SwinIR's authors do."""
    return Counterpart(
        type_,
        names={
            "upscale": "scale",
            "in_chans": ("colour", COLOURS),
            "embed_dim": "num_features",
            "num_heads": "num_heads",
            "qkv_bias": "qkv_bias",
            "img_range": ("img_range", float),
            "upsampler": ("upsampler", lambda name: name or "pixelshuffle"),  # none at scale 1, as here
            "resi_connection": "resi_connection",
            **names,
        },
        defaults=defaults,
        fixed={
            "patch_size": (1, "patches are pixels here"),
            "qk_scale": (None, "scores of attention are scaled by the root of a head's width"),
            "drop_rate": (0.0, "there is no dropout of features"),
            "attn_drop_rate": (0.0, "there is no dropout of attention"),
            "ape": (False, "there is no learnt value for each place of an image"),
            "patch_norm": (True, "features are normalised at the beginning"),
        },
        unused={"img_size": ANY_SIZE, "use_checkpoint": MEMORY, "use_chk": MEMORY, "num_out_ch": OUTPUTS},
    )


SWINIR = transformer(
    "SwinIR",
    {
        "depths": "depths",
        "window_size": "window_size",
        "mlp_ratio": ("mlp_ratio", float),
        "drop_path_rate": "drop_path_rate",
    },
    embed_dim=96,
    depths=[6, 6, 6, 6],
    num_heads=[6, 6, 6, 6],
    window_size=7,
    mlp_ratio=4.0,
    upsampler="",
)
RRDBNET = Counterpart(
    "RRDBNet",
    names={
        **CHANNELS,
        "scale": "scale",
        "upscale": "scale",
        "num_feat": "num_features",
        "num_block": "num_blocks",
        "num_grow_ch": "growth_channels",
    },
    unused={"num_out_ch": OUTPUTS},
)
COMPACT = Counterpart(
    "SRVGGNetCompact",
    names={**CHANNELS, "upscale": "scale", "num_feat": "num_features", "num_conv": "num_blocks"},
    fixed={"act_type": ("prelu", "the activation is PReLU"), "learn_residual": (True, "the enlarged input is added")},
    unused={"num_out_ch": OUTPUTS},
)
NETWORKS = {
    "rrdbnet": RRDBNET,
    "msrresnet": Counterpart(
        "MSRResNet",
        names={**CHANNELS, "upscale": "scale", "num_feat": "num_features", "num_block": "num_blocks"},
        unused={"num_out_ch": OUTPUTS},
    ),
    "edsr": Counterpart(
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
        unused={"num_out_ch": OUTPUTS},
    ),
    "rcan": Counterpart(
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
        unused={"num_out_ch": OUTPUTS},
    ),
    "srvggnetcompact": COMPACT,
    "swinir": SWINIR,
}
VGG = Counterpart(
    "VGGDiscriminator",
    names={**CHANNELS, "num_feat": "width", "input_size": "input_size"},
    defaults={"input_size": 128, "num_feat": 64},
)
UNET = Counterpart(
    "UNetDiscriminatorSN",
    names={**CHANNELS, "num_feat": "num_features", "skip_connection": "skip_connection"},
)
DISCRIMINATORS = {
    "vggstylediscriminator": VGG,
    "vggstylediscriminator128": VGG,
    "vggstylediscriminator256": VGG.but(input_size=256),
    "unetdiscriminatorsn": UNET,
}
MEAN = ("mean", "the mean over all values is taken; multiply the weight where another sum is wanted")
PERCEPTUAL = Counterpart(
    "PerceptualLoss",
    names={
        "layer_weights": ("layers", lambda layers: {name: float(weight) for name, weight in layers.items()}),
        "vgg_type": "backbone",
        "use_input_norm": "normalize_input",
        "perceptual_weight": "weight",
        "style_weight": "style_weight",
        "criterion": "criterion",
    },
    fixed={
        "range_norm": (False, "images are in [0, 1], not brought there from [-1, 1]"),
        "norm_img": (False, "images are in [0, 1], not brought there from [-1, 1]"),
        "requires_grad": (False, "the features' network does not learn"),
        "remove_pooling": (False, "the features' network keeps its pooling"),
    },
    unused={"pooling_stride": "the features' network has torchvision's pooling"},
)
LOSSES = {
    "l1loss": Counterpart("L1Loss", names={"loss_weight": "weight"}, fixed={"reduction": MEAN}),
    "mseloss": Counterpart("MSELoss", names={"loss_weight": "weight"}, fixed={"reduction": MEAN}),
    "charbonnierloss": Counterpart(
        "CharbonnierLoss",
        names={"loss_weight": "weight", "eps": ("eps", _root)},
        defaults={"eps": 1e-12},
        fixed={"reduction": MEAN},
    ),
    "perceptualloss": PERCEPTUAL,
    "ldl": Counterpart("LDLLoss", names={"loss_weight": "weight"}, fixed={"reduction": MEAN}),
}
BETTER = {"better": "the metric knows it", "input_order": "images are RGB", "suffix": "belongs to saving"}
SCORES = {"crop_border": "crop_border", "test_y_channel": "y_channel"}
METRICS = {
    "calculate_psnr": Counterpart("PSNR", names=SCORES, defaults={"test_y_channel": False}, unused=BETTER),
    "calculate_ssim": Counterpart("SSIM", names=SCORES, defaults={"test_y_channel": False}, unused=BETTER),
    "calculate_niqe": Counterpart(
        "NIQE",
        names={"crop_border": "crop_border"},
        unused={**BETTER, "num_thread": "one process", "convert_to": "luma, as there"},
    ),
}
ADAM = {"lr": "lr", "weight_decay": "weight_decay", "betas": "betas", "eps": "eps", "amsgrad": "amsgrad"}
FUSED = {name: "torch chooses the fastest form by itself" for name in ("fused", "foreach")}
OPTIMIZERS = {
    "adam": Counterpart("Adam", names=ADAM, unused=FUSED),
    "adamw": Counterpart("AdamW", names=ADAM, unused=FUSED),
    "nadam": Counterpart("NAdam", names={**ADAM, "decoupled_weight_decay": "decoupled_weight_decay"}, unused=FUSED),
    "sgd": Counterpart(
        "SGD",
        names={name: name for name in ("lr", "weight_decay", "momentum", "dampening", "nesterov")},
        unused=FUSED,
    ),
}
VIDEO = "video"
FACES = "faces"
OTHER_TASKS = {
    **dict.fromkeys(
        ("videobasemodel", "edvrmodel", "videorecurrentmodel", "videorecurrentganmodel", "videogenerationmodel"), VIDEO
    ),
    **dict.fromkeys(("edvr", "duf", "tof", "basicvsr", "iconvsr", "basicvsrpp", "basicvsrplusplus", "spynet"), VIDEO),
    **dict.fromkeys(("redsdataset", "redsrecurrentdataset", "vimeo90kdataset", "vimeo90krecurrentdataset"), VIDEO),
    **dict.fromkeys(("videotestdataset", "videotestvimeo90kdataset", "videotestdufdataset"), VIDEO),
    **dict.fromkeys(
        ("hifacegannet", "hifaceganmodel", "dfdnet", "stylegan2model", "stylegan2generator", "ffhqdataset"), FACES
    ),
    **dict.fromkeys(("hifacegan", "gfpganv1", "gfpganmodel", "videorecurrenttestdataset"), FACES),
}
BASICSR = Project(
    name="BasicSR",
    networks=NETWORKS,
    discriminators=DISCRIMINATORS,
    losses=LOSSES,
    metrics=METRICS,
    optimizers=OPTIMIZERS,
    datasets={
        "pairedimagedataset": "paired",
        "singleimagedataset": "single",
        "realesrgandataset": "degraded",
        "realesrganpaireddataset": "paired",
    },
    models={
        "srmodel": "plain",
        "swinirmodel": "plain",
        "realesrnetmodel": "plain",
        "srganmodel": "gan",
        "realesrganmodel": "gan",
        "esrganmodel": "relativistic",
    },
    other_tasks=OTHER_TASKS,
)
