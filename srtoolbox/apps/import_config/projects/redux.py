"""traiNNer-redux (github.com/the-database/traiNNer-redux), with its former format of losses, too."""

from __future__ import annotations

from typing import Any

from srtoolbox.apps.import_config.counterpart import COLOURS, Counterpart
from srtoolbox.apps.import_config.family.project import Project
from srtoolbox.apps.import_config.projects import networks as nets
from srtoolbox.apps.import_config.projects.basicsr import BASICSR, BETTER, METRICS, OPTIMIZERS, UNET, VGG, VIDEO
from srtoolbox.apps.import_config.projects.losses import LOSSES, STANDING_IN

RCAN = Counterpart(
    "RCAN",
    names={
        "n_colors": ("colour", COLOURS),
        "n_feats": "num_features",
        "n_resgroups": "num_groups",
        "n_resblocks": "num_blocks",
        "reduction": "reduction",
        "rgb_range": ("img_range", float),
        "unshuffle_mod": "unshuffle",
        "norm": ("rgb_mean", {True: [0.4488, 0.4371, 0.404], False: [0.0, 0.0, 0.0]}),
    },
    defaults={"norm": False},
    fixed={
        "res_scale": (1, "residuals of RCAN are not scaled"),
        "kernel_size": (3, "kernels have 3 x 3 places"),
        "act_mode": ("relu", "the activation is ReLU"),
    },
)
LAYERED = nets.REALPLKSR.but(layer_norm=True)
NETWORKS = {
    **nets.NETWORKS,
    "esrgan": nets.RRDBNET,
    "esrgan_lite": nets.RRDBNET.but(num_filters=32, num_blocks=12),
    "compact": nets.COMPACT,
    "ultracompact": nets.COMPACT.but(num_conv=8),
    "superultracompact": nets.COMPACT.but(num_feat=24, num_conv=8),
    "span": nets.SPAN_PLAIN,
    "span_s": nets.SPAN_PLAIN.but(feature_channels=32),
    "swinir": nets.SWINIR,
    **dict.fromkeys(("swinir_m", "swinir_medium"), nets.SWINIR_M),
    **dict.fromkeys(("swinir_s", "swinir_small"), nets.SWINIR_S),
    **dict.fromkeys(("swinir_l", "swinir_large"), nets.SWINIR_L),
    "hat_s": nets.HAT_S,
    "hat_m": nets.HAT_M,
    "hat_l": nets.HAT_L,
    "dat": nets.DAT_M,
    "dat_2": nets.DAT_2,
    "dat_s": nets.DAT_S,
    "dat_light": nets.DAT_LIGHT.but(upsampler="pixelshuffle"),
    "srformer": nets.SRFORMER_M,
    "srformer_medium": nets.SRFORMER_M,
    "srformer_light": nets.SRFORMER_LIGHT.but(embed_dim=180),
    "atd": nets.ATD_M,
    "atd_light": nets.ATD_LIGHT.but(num_heads=[6] * 4),
    "drct": nets.DRCT,
    "drct_l": nets.DRCT_L,
    "drct_xl": nets.DRCT.but(num_heads=[6] * 14),
    "rcan": RCAN,
    "rcan_unshuffle": RCAN.but(unshuffle_mod=True),
    "safmn_l": nets.SAFMN_L,
    "plksr": nets.PLKSR_M,
    "plksr_tiny": nets.PLKSR_TINY,
    "realplksr": LAYERED,
    "realplksr_tiny": LAYERED.but(n_blocks=12, kernel_size=13, use_ea=False),
}
DISCRIMINATORS = {
    "unetdiscriminatorsn": UNET,
    "vggstylediscriminator": VGG,
    **dict.fromkeys(("dunet", "metagan2", "metagan3", "patchgandiscriminator", "patchgandiscriminatorsn"), STANDING_IN),
    **dict.fromkeys(("multiscalepatchgandiscriminatorsn", "resnet", "vggstylediscriminatorsn"), STANDING_IN),
}
PYIQA = {**BETTER, "crop_border": "whole images are compared"}
ALL_METRICS = {
    **METRICS,
    "calculate_lpips": Counterpart("LPIPS", unused=PYIQA),
    "calculate_dists": Counterpart("DISTS", unused=PYIQA),
}
SCHEDULE_FREE = Counterpart(
    "ScheduleFreeAdamW",
    names={name: name for name in ("lr", "betas", "weight_decay", "eps", "warmup_steps", "r", "weight_lr_power")},
    unused={"foreach": "torch chooses the fastest form by itself", "fused": "torch chooses the fastest form by itself"},
)
MODES = ["bilinear", "bicubic", "nearest-exact", "lanczos"]
DEGRADATIONS: dict[str, Any] = {
    "blur_prob": 0.0, "resize_mode_list": MODES, "resize_range": (0.4, 1.5), "gaussian_noise_prob": 0.0,
    "noise_range": (0, 0), "poisson_scale_range": (0, 0), "gray_noise_prob": 0.0, "jpeg_range": (75, 95),
    "kernel_range": (5, 17), "sinc_prob": 0.0, "blur_sigma": (0.2, 2),
    "blur_prob2": 0.0, "resize_mode_list2": MODES, "resize_range2": (0.6, 1.2), "gaussian_noise_prob2": 0.0,
    "noise_range2": (0, 0), "poisson_scale_range2": (0, 0), "gray_noise_prob2": 0.0, "jpeg_range2": (75, 95),
    "kernel_range2": (5, 17), "sinc_prob2": 0.0, "blur_sigma2": (0.2, 1),
    "resize_mode_list3": MODES, "final_sinc_prob": 0.0, "final_kernel_range": (5, 17),
}  # fmt: skip
REDUX = Project(
    name="traiNNer-redux",
    networks=NETWORKS,
    discriminators=DISCRIMINATORS,
    losses=LOSSES,
    metrics=ALL_METRICS,
    optimizers={
        **OPTIMIZERS,
        "adamwschedulefree": SCHEDULE_FREE,
        "adan": Counterpart("Adan", names={name: name for name in ("lr", "betas", "weight_decay", "eps")}),
        "radam": Counterpart("RAdam", names={name: name for name in ("lr", "betas", "weight_decay", "eps")}),
        "prodigy": Counterpart("Prodigy", names={name: name for name in ("lr", "betas", "weight_decay", "eps", "d0")}),
        "soap": Counterpart("SOAP", names={name: name for name in ("lr", "betas", "weight_decay", "eps")}),
    },
    datasets={
        "pairedimagedataset": "paired",
        "singleimagedataset": "single",
        "realesrgandataset": "degraded",
        "realesrganpaireddataset": "paired",
    },
    models=BASICSR.models,
    other_tasks=dict.fromkeys(("pairedvideodataset", "tscunet", "tscunet_v2"), VIDEO),
    flips=True,
    without_fp16=frozenset(
        name for name in NETWORKS if name.partition("_")[0] in ("atd", "dat", "drct", "hat", "srformer", "swinir")
    ),
    pool=120,
    degradations=DEGRADATIONS,
)
