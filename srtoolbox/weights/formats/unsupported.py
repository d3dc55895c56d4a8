"""What a file looks like whose network is not here: an answer better than a list of keys."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple


class Stranger(NamedTuple):
    """A kind of file that is no generator of this toolbox, told by keys that all of its files have."""

    what: str
    marks: tuple[str, ...]


def _net(name: str) -> str:
    return f"{name}, which has no network here"


# the more special before the more general
STRANGERS = (
    Stranger("LPIPS's linear layers: part of a metric", (r"lin0\.model\.1\.weight",)),
    Stranger(
        "a discriminator (a U-Net with spectral norm), not a generator", (r"conv0\.weight", r"conv1\.weight_orig")
    ),
    Stranger("a discriminator (VGG style), not a generator", (r"conv0_0\.weight", r"linear1\.weight")),
    Stranger("a discriminator, not a generator", (r"features\.0\.weight", r"classifier\..*", r".*running_var")),
    Stranger("a SqueezeNet for classification: give it to a perceptual loss", (r"features\.3\.squeeze\.weight",)),
    Stranger("a ResNet for classification: give it to a perceptual loss", (r"layer1\.0\.conv1\.weight", r"fc\.weight")),
    Stranger(
        "a VGG or AlexNet for classification: give it to a perceptual loss",
        (r"features\.0\.weight", r"classifier\.\d+\.weight"),
    ),
    Stranger("a diffusion model", (r"(model\.)?diffusion_model\..*",)),
    Stranger(_net("HAT"), (r"layers\.0\.residual_group\.overlap_attn\..*",)),
    Stranger(_net("Swin2SR"), (r"layers\.0\.residual_group\.blocks\.0\.attn\.logit_scale",)),
    Stranger(_net("SwinIR"), (r"layers\.0\.residual_group\.blocks\.0\.attn\.qkv\.weight",)),
    Stranger(_net("DAT"), (r"layers\.0\.blocks\.0\.attn\..*", r"before_RG\..*")),
    Stranger(_net("Restormer"), (r"encoder_level1\.0\.attn\.qkv\.weight",)),
    Stranger(_net("NAFNet"), (r"intro\.weight", r"encoders\.0\.0\.conv1\.weight")),
    Stranger(_net("RCAN"), (r"body\.0\.body\.0\.body\.3\.conv_du\.0\.weight",)),
    Stranger(_net("RCAN"), (r"body\.0\.residual_group\.0\.rcab\..*",)),
    Stranger(_net("EDSR"), (r"head\.0\.weight", r"body\.0\.body\.0\.weight", r"tail\..*")),
    Stranger(_net("EDSR"), (r"conv_first\.weight", r"body\.0\.conv1\.weight", r"conv_after_body\.weight")),
    Stranger(_net("RDN"), (r"SFENet1\.weight",)),
    Stranger(_net("CARN"), (r"b1\.b1\..*", r"entry\.weight")),
    Stranger(_net("SAFMN"), (r"to_feat\.weight", r"feats\.0\..*", r"to_img\.0\.weight")),
    Stranger(_net("RLFN"), (r"block_1\.c1_r\.weight",)),
    Stranger(_net("SRResNet of 2018 (its body ends with a convolution)"), (r"1\.sub\.0\.res\.0\.weight",)),
)


def looks_like(keys: Collection[str]) -> str | None:
    """What a file with these keys looks like; None where nobody knows."""
    for stranger in STRANGERS:
        if fits(stranger.marks, keys):
            return stranger.what
    return None


def fits(marks: Collection[str], keys: Collection[str]) -> bool:
    """Whether each of the regular expressions matches some whole key."""
    return all(any(re.fullmatch(mark, key) for key in keys) for mark in marks)
