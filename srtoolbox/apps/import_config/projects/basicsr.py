"""BasicSR (github.com/XPixelGroup/BasicSR), from its option files of 2020 on."""

from __future__ import annotations

from dataclasses import replace

from srtoolbox.apps.import_config.counterpart import Counterpart
from srtoolbox.apps.import_config.family.project import Project
from srtoolbox.apps.import_config.projects.networks import CHANNELS, NETWORKS
from srtoolbox.config.values import Value


def root(value: Value) -> float:
    """Return the eps of sqrt(x^2 + eps^2) for that of sqrt(x^2 + eps)."""
    return float(value) ** 0.5


VGG = Counterpart(
    "VGGDiscriminator",
    names={**CHANNELS, "num_feat": ("width", int), "input_size": ("input_size", int)},
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
        names={"loss_weight": "weight", "eps": ("eps", root)},
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
PLAIN = ("lr", "weight_decay", "betas", "eps")
ADAM = {name: name for name in (*PLAIN, "amsgrad")}
FUSED = {name: "torch chooses the fastest form by itself" for name in ("fused", "foreach")}
OPTIMIZERS = {
    "adam": Counterpart("Adam", names=ADAM, unused=FUSED),
    "adamw": Counterpart("AdamW", names=ADAM, unused=FUSED),
    "nadam": Counterpart("NAdam", names={name: name for name in (*PLAIN, "decoupled_weight_decay")}, unused=FUSED),
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
        **dict.fromkeys(("hatmodel", "datmodel", "atdmodel", "drctmodel", "srformermodel", "safmnmodel"), "plain"),
        "realhatmsemodel": "plain",
        "realhatganmodel": "gan",
        "srganmodel": "gan",
        "realesrganmodel": "gan",
        "esrganmodel": "relativistic",
        "srganartifactsdismodel": "gan",
        "realesrganartifactsdismodel": "gan",
        "esrganartifactsdismodel": "relativistic",
    },
    other_tasks=OTHER_TASKS,
)
REALESRGAN = replace(BASICSR, name="Real-ESRGAN")
