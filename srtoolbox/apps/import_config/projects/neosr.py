"""neosr (github.com/neosr-project/neosr): TOML, and YAML before 2024."""

from __future__ import annotations

from dataclasses import replace

from srtoolbox.apps.import_config.counterpart import Counterpart
from srtoolbox.apps.import_config.family.project import Project
from srtoolbox.apps.import_config.projects import networks as nets
from srtoolbox.apps.import_config.projects.basicsr import BASICSR, FUSED, OPTIMIZERS, UNET
from srtoolbox.apps.import_config.projects.losses import LDL, LOSSES, STANDING_IN
from srtoolbox.apps.import_config.projects.redux import ALL_METRICS

FLASH = {"flash_attn": "torch chooses the fastest attention that there is"}


def _fast(counterpart: Counterpart) -> Counterpart:
    return replace(counterpart, unused={**counterpart.unused, **FLASH})


NETWORKS = {
    **nets.NETWORKS,
    "compact": nets.COMPACT,
    "esrgan": nets.RRDBNET,
    "swinir_small": _fast(nets.SWINIR_S),
    "swinir_medium": _fast(nets.SWINIR_M),
    "swinir_large": _fast(nets.SWINIR_L),
    "hat_s": _fast(nets.HAT_S),
    "hat_m": _fast(nets.HAT_M),
    "hat_l": _fast(nets.HAT_L),
    "dat_light": _fast(nets.DAT_LIGHT),
    "dat_small": _fast(nets.DAT_S),
    "dat_medium": _fast(nets.DAT_M),
    "dat_2": _fast(nets.DAT_2),
    "srformer_light": _fast(nets.SRFORMER_LIGHT),
    "srformer_medium": _fast(nets.SRFORMER_M),
    "atd": nets.ATD_M,
    "atd_light": nets.ATD_LIGHT,
    "drct": nets.DRCT,
    "drct_l": nets.DRCT_L,
    "safmn_l": nets.SAFMN_L,
    "span": nets.SPAN_PLAIN,
    "plksr": nets.PLKSR_M,
    "plksr_tiny": nets.PLKSR_TINY,
    "realplksr": nets.REALPLKSR,
    "realplksr_s": nets.REALPLKSR_S,
    "realplksr_l": nets.REALPLKSR.but(dim=96),
}
DISCRIMINATORS = {
    "unet": UNET,
    **dict.fromkeys(("a2fpn", "ea2fpn", "metagan", "dunet", "patchgan", "elunet"), STANDING_IN),
}
ADAN = {name: name for name in ("lr", "betas", "weight_decay", "eps")}
FREE = {**FUSED, "schedule_free": "the optimizer says it", "no_prox": "as the optimizer has it"}
NO_SCHEDULE_FREE = "has no counterpart; ScheduleFreeAdamW stands in its place, with betas of its own: try other rates"
OWN_OPTIMIZERS = {
    "adan": Counterpart("Adan", names=ADAN, unused=FREE),
    "soap": Counterpart("SOAP", names={**ADAN, "precondition_frequency": "precondition_frequency"}, unused=FREE),
    "adamw_sf": Counterpart("ScheduleFreeAdamW", names={**ADAN, "warmup_steps": "warmup_steps"}, unused=FREE),
    **dict.fromkeys(
        ("adan_sf", "soap_sf"),
        Counterpart(
            "ScheduleFreeAdamW",
            names={"lr": "lr", "weight_decay": "weight_decay", "warmup_steps": "warmup_steps"},
            unused={**FREE, "betas": "of the other optimizer", "eps": "of the other optimizer"},
            standing_in=NO_SCHEDULE_FREE,
        ),
    ),
    **dict.fromkeys(
        ("adamw_win", "lamb", "lion"),
        Counterpart(
            "AdamW",
            names={"lr": "lr", "weight_decay": "weight_decay"},
            unused={**FREE, "betas": "of the other optimizer", "eps": "of the other optimizer"},
            standing_in="has no counterpart; AdamW stands in its place: try other rates",
        ),
    ),
}
AVERAGED = "as in its paper, where the average of the weights says which pixels count; theirs does without"
CROPPED = ("calculate_psnr", "calculate_ssim")
NEOSR = Project(
    name="neosr",
    networks=NETWORKS,
    discriminators=DISCRIMINATORS,
    losses={**LOSSES, **dict.fromkeys(("ldl", "ldlloss", "ldl_loss"), replace(LDL, different=AVERAGED))},
    metrics={**ALL_METRICS, **{name: ALL_METRICS[name].but(crop_border=4) for name in CROPPED}},
    optimizers={**OPTIMIZERS, **OWN_OPTIMIZERS},
    datasets={**BASICSR.datasets, "paired": "paired", "single": "single", "otf": "degraded"},
    models={"image": "any", "otf": "any", "default": "any"},
    flips=True,
    clips=True,
    gan_weight=0.1,
    gt_before=512,
)
