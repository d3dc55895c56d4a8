"""MMagic and MMEditing (github.com/open-mmlab/mmagic): what their names stand for here."""

from __future__ import annotations

from srtoolbox.apps.import_config.counterpart import COLOURS, Counterpart
from srtoolbox.apps.import_config.projects.basicsr import ADAM, MEAN, OPTIMIZERS, root
from srtoolbox.apps.import_config.projects.networks import OUTPUTS, SWINIR
from srtoolbox.config.values import Value

PRETRAINED = "load_from says it"
CHANNELS = {"in_channels": ("colour", COLOURS)}
BODY = {"mid_channels": "num_features", "num_blocks": "num_blocks", "upscale_factor": "scale"}
UNUSED = {"out_channels": OUTPUTS, "init_cfg": PRETRAINED, "pretrained": PRETRAINED}


def _hidden(channels: Value) -> list[int]:
    """Return the channels between the input and the output of SRCNN."""
    return [int(width) for width in channels[1:-1]]


EDSR = Counterpart(
    "EDSR",
    names={**CHANNELS, **BODY, "res_scale": ("residual_scaling", float), "rgb_mean": ("rgb_mean", list)},
    defaults={"mid_channels": 64, "num_blocks": 16, "res_scale": 1},
    always={"img_range": 1.0},
    fixed={"rgb_std": ([1.0, 1.0, 1.0], "images are not divided by a deviation")},
    unused=UNUSED,
)
RDN = Counterpart(
    "RDN",
    names={**CHANNELS, **BODY, "num_layers": "num_convs", "channel_growth": "growth_channels"},
    always={"img_range": 1.0},
    unused=UNUSED,
)
SRCNN = Counterpart(
    "SRCNN",
    names={"channels": ("channels", _hidden), "kernel_sizes": ("kernels", list), "upscale_factor": "scale"},
    always={"colour": "rgb", "padding": "zeros", "init": "torch"},
    unused=UNUSED,
)
NETWORKS = {
    "edsr": EDSR,
    "edsrnet": EDSR,
    "msrresnet": Counterpart("MSRResNet", names={**CHANNELS, **BODY}, unused=UNUSED),
    "rrdbnet": Counterpart("RRDBNet", names={**CHANNELS, **BODY, "growth_channels": "growth_channels"}, unused=UNUSED),
    "rdn": RDN,
    "rdnnet": RDN,
    "srcnn": SRCNN,
    "srcnnnet": SRCNN,
    "swinirnet": SWINIR,
    "swinir": SWINIR,
}
DISCRIMINATORS = {
    "modifiedvgg": Counterpart(
        "VGGDiscriminator",
        names={**CHANNELS, "mid_channels": "width"},
        defaults={"mid_channels": 64},
        always={"input_size": 128},
        unused=UNUSED,
    ),
    "unetdiscriminatorwithspectralnorm": Counterpart(
        "UNetDiscriminatorSN",
        names={**CHANNELS, "mid_channels": "num_features", "skip_connection": "skip_connection"},
        unused=UNUSED,
    ),
}
VGG19 = {"2": "conv1_2", "7": "conv2_2", "16": "conv3_4", "25": "conv4_4", "34": "conv5_4", "35": "relu5_4"}


def _layers(weights: Value) -> dict[str, float]:
    """Return {layer: weight} for numbers of torchvision's `features`."""
    return {VGG19.get(str(layer), f"features.{layer}"): float(weight) for layer, weight in weights.items()}


WISE = {"reduction": MEAN, "sample_wise": (False, "the mean over all values is taken")}
LOSSES = {
    "l1loss": Counterpart("L1Loss", names={"loss_weight": "weight"}, fixed=WISE),
    "mseloss": Counterpart("MSELoss", names={"loss_weight": "weight"}, fixed=WISE),
    "charbonnierloss": Counterpart(
        "CharbonnierLoss",
        names={"loss_weight": "weight", "eps": ("eps", root)},
        defaults={"eps": 1e-12},
        fixed=WISE,
    ),
    "perceptualloss": Counterpart(
        "PerceptualLoss",
        names={
            "layer_weights": ("layers", _layers),
            "vgg_type": "backbone",
            "use_input_norm": "normalize_input",
            "perceptual_weight": "weight",
            "style_weight": "style_weight",
            "criterion": "criterion",
        },
        defaults={"style_weight": 1.0, "norm_img": True},
        fixed={"norm_img": (False, "images are in [0, 1], not brought there from [-1, 1]")},
        unused={"pretrained": "torchvision's weights of ImageNet"},
    ),
}
PLANES = {
    "input_order": "images are (N, C, H, W)",
    "channel_order": "images are RGB",
    "gt_key": "the truth is `gt`",
    "pred_key": "the result is the network's",
    "prefix": "scores are told by set and metric",
    "collect_device": "scores are gathered by image",
    "scaling": "levels of 8 bit",
    "dest": "scores are told by set and metric",
}
Y = {"y": True, "Y": True, "None": False}
METRICS = {
    "psnr": Counterpart(
        "PSNR",
        names={"crop_border": "crop_border", "convert_to": ("y_channel", Y)},
        defaults={"convert_to": "None"},
        unused=PLANES,
    ),
    "ssim": Counterpart(
        "SSIM",
        names={"crop_border": "crop_border", "convert_to": ("y_channel", Y)},
        defaults={"convert_to": "None"},
        unused=PLANES,
    ),
    "mse": Counterpart("MSE", always={"y_channel": False}, unused={**PLANES, "mask_key": "all pixels count"}),
    "mae": Counterpart("MAE", always={"y_channel": False}, unused={**PLANES, "mask_key": "all pixels count"}),
    "niqe": Counterpart(
        "NIQE",
        names={"crop_border": "crop_border"},
        unused={**PLANES, "is_predicted": "of the result", "convert_to": "luma"},
    ),
}
MODELS = {
    "baseeditmodel": "plain",
    "basicrestorer": "plain",
    "srgan": "gan",
    "esrgan": "relativistic",
    "realesrgan": "gan",
}
OWN_OPTIMIZERS = {**OPTIMIZERS, "adam": Counterpart("Adam", names=ADAM)}
TOP = {
    "default_scope": "names are looked up in one registry a kind",
    "env_cfg": "how a run is started, not what it computes",
    "dist_params": "how a run is started, not what it computes",
    "launcher": "how a run is started, not what it computes",
    "model_wrapper_cfg": "how a run is started, not what it computes",
    "find_unused_parameters": "how a run is started, not what it computes",
    "cudnn_benchmark": "torch chooses",
    "opencv_num_threads": "torch chooses",
    "mp_start_method": "the system's own",
    "log_level": "the log tells what it tells",
    "log_processor": "the log has means over hooks.logger.interval",
    "workflow": "a run trains, and evaluates when it is due",
    "visual_config": "the log keeps a few images of each evaluation",
    "visualizer": "the log keeps a few images of each evaluation",
    "vis_backends": "the log keeps a few images of each evaluation",
    "save_dir": "all of a run lies in its work dir",
    "val_cfg": "data.val says it",
    "auto_scale_lr": "rates are those of the config",
    "test_pipeline": "images are read as they are",
    "val_pipeline": "images are read as they are",
    "demo_pipeline": "images are read as they are",
    "inference_pipeline": "images are read as they are",
    "custom_imports": "components are those of srtoolbox",
}
