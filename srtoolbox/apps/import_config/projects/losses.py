"""Losses of traiNNer-redux and neosr, by all their names."""

from __future__ import annotations

from collections.abc import Mapping

from srtoolbox.apps.import_config.counterpart import Counterpart, Near
from srtoolbox.apps.import_config.projects.basicsr import LOSSES as BASICSR
from srtoolbox.apps.import_config.projects.basicsr import MEAN
from srtoolbox.config.values import Value

STANDING_IN = Counterpart(
    "UNetDiscriminatorSN",
    unused=dict.fromkeys(
        ("num_in_ch", "in_ch", "num_feat", "dims", "blocks", "downs", "drop_path", "end_drop", "n_class", "type"),
        "of the other discriminator",
    ),
    standing_in="has no counterpart; UNetDiscriminatorSN stands in its place: another judge, which weighs otherwise",
)
WEIGHT: Mapping[str, str] = {"loss_weight": "weight"}
STAGES = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
FEATURES = "l1 of the features is what it is without: other textures"
PERCEPTUAL = Counterpart(
    "PerceptualLoss",
    names={
        "layer_weights": ("layers", lambda layers: {name: float(weight) for name, weight in layers.items()}),
        "loss_weight": "weight",
        "perceptual_weight": "weight",
        "vgg_type": "backbone",
        "use_input_norm": "normalize_input",
        "style_weight": "style_weight",
    },
    defaults={"layer_weights": STAGES},
    near={"criterion": Near("criterion", {"l1": "l1", "charbonnier": "l1", "l2": "mse", "fro": "fro"}, FEATURES)},
    fixed={
        "range_norm": (False, "images are in [0, 1], not brought there from [-1, 1]"),
        "patchloss": (False, "there is no loss over patches of features"),
        "ipk": (False, "there is no loss over patches of features"),
    },
    unused=dict.fromkeys(
        (
            "w_lambda",
            "alpha",
            "num_proj_fd",
            "phase_weight_fd",
            "stride_fd",
            "clip_min",
            "patch_weights",
            "patch_weight",
        ),
        "of the criteria that have no counterpart",
    ),
)
STRUCTURE = {
    name: "Wang's SSIM, of R, G and B"
    for name in (
        "channels", "downsample", "test_y_channel", "is_prod", "color_space", "include_luminance", "crop_border",
        "window_size", "in_channels", "sigma", "K1", "K2", "L", "padding", "cosim", "cosim_lambda", "reduction",
    )
}  # fmt: skip
MSSSIM = Counterpart(
    "MSSSIMLoss",
    names=WEIGHT,
    unused=STRUCTURE,
    different="Wang's MS-SSIM of R, G and B; theirs has planes, borders or cosines of its own",
)
COLOUR = Counterpart(
    "ColourLoss",
    names=WEIGHT,
    unused=dict.fromkeys(
        ("criterion", "saturation", "brightness", "avgpool", "scale", "blur"), "means of 16 x 16 pixels are compared"
    ),
    different="it keeps colours by means of 16 x 16 pixels; theirs has colours and filters of its own",
)


def _layers(layers: Value) -> dict[str, float]:
    """Return {layer: weight} for conv_3_2, which is the output behind its activation."""
    return {name.replace("conv_", "relu"): float(weight) for name, weight in layers.items()}


CONTEXTUAL = Counterpart(
    "ContextualLoss",
    names={**WEIGHT, "layer_weights": ("layers", _layers), "band_width": "band_width", "net": "backbone"},
    defaults={"layer_weights": {"conv_3_2": 1.0, "conv_4_2": 1.0}},
    unused=dict.fromkeys(
        ("crop_quarter", "max_1d_size", "distance_type", "b", "use_vgg", "calc_type", "z_norm"),
        "all places are compared with all, by cosines",
    ),
)
HUBER = Counterpart(
    "L1Loss",
    names=WEIGHT,
    unused={
        "reduction": "the mean",
        "delta": "of Huber's loss",
        "lambda_val": "of the other loss",
        "min": "",
        "max": "",
    },
    standing_in="has no counterpart; L1Loss stands in its place",
)
STRUCTURE_AND_L1 = Counterpart(
    "L1Loss",
    names=WEIGHT,
    unused=dict.fromkeys(
        ("alpha", "gaussian_sigmas", "data_range", "k", "compensation"), "of the part that is MS-SSIM"
    ),
    standing_in="has no counterpart; L1Loss stands in its place, without the part that is MS-SSIM",
)
LDL = Counterpart(
    "LDLLoss",
    names=WEIGHT,
    fixed={"reduction": MEAN},
    unused={"criterion": "l1, as in its paper", "ksize": "windows of 7 x 7 pixels"},
)
LOSSES = {
    **BASICSR,
    "l1_loss": BASICSR["l1loss"],
    "l2_loss": BASICSR["mseloss"],
    "mse_loss": BASICSR["mseloss"],
    "charbonnier_loss": BASICSR["charbonnierloss"],
    **dict.fromkeys(("huberloss", "huber_loss", "chc", "chc_loss"), HUBER),
    **dict.fromkeys(("msssiml1loss", "ms_ssim_l1_loss"), STRUCTURE_AND_L1),
    **dict.fromkeys(("perceptualloss", "vgg_perceptual_loss", "perceptualfp16loss"), PERCEPTUAL),
    **dict.fromkeys(("mssim", "mssimloss", "mssim_loss"), MSSSIM),
    "ssimloss": Counterpart("SSIMLoss", names=WEIGHT, unused=STRUCTURE, different=MSSSIM.different.replace("MS-", "")),
    **dict.fromkeys(("ldl", "ldlloss", "ldl_loss"), LDL),
    **dict.fromkeys(
        ("dists", "distsloss", "dists_loss"),
        Counterpart(
            "DISTSLoss",
            names=WEIGHT,
            unused=dict.fromkeys(("as_loss", "load_weights", "use_input_norm", "clip_min"), "as its authors have it"),
        ),
    ),
    **dict.fromkeys(
        ("ffloss", "ff_loss", "focalfrequency", "focalfrequencyloss", "focalfrequency_loss"),
        Counterpart(
            "FocalFrequencyLoss",
            names={**WEIGHT, "alpha": "alpha"},
            fixed={
                "patch_factor": (1, "the spectrum is of whole crops"),
                "log_matrix": (False, "weights are not logarithms"),
                "batch_matrix": (False, "weights are of each image"),
            },
            unused={"ave_spectrum": "the spectrum of each image"},
        ),
    ),
    "contextualloss": CONTEXTUAL,
    **dict.fromkeys(("colorloss", "color_loss", "averageloss", "consistency_loss"), COLOUR),
}
