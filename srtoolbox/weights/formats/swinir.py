"""SwinIR and SRFormer in the names of their authors, which BasicSR, neosr and traiNNer share."""

from __future__ import annotations

import re

import torch

from srtoolbox.models.networks.attention import relative_positions, shift_mask
from srtoolbox.models.networks.srformer import permuted_mask
from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    TooLarge,
    colour_of,
    count,
    root,
    share,
    shuffle_scale,
    tensor,
)

BLOCK = "layers.{}.residual_group.blocks.{}."
CONSTANT = re.compile(r".*\.(attn_mask|(aligned_)?relative_position_index)")
LARGEST = 48  # side of windows
# of the images that masks in files are for: 48 pixels, as in the authors' configs
SIDE_IN_WINDOWS = 6


def without_constants(state: State) -> State:
    """Drop what the network makes itself: masks for one size of images, and positions."""
    return {key: value for key, value in state.items() if not CONSTANT.fullmatch(key)}


def with_constants(state: State) -> State:
    """Add masks and positions, which networks of the authors and of BasicSR keep in files."""
    attention = BLOCK.format(0, 0) + "attn."
    side = window_size(state, f"{attention}relative_position_bias_table")
    is_permuted = f"{attention}kv.weight" in state
    window = 2 * side if is_permuted else side
    features = torch.zeros(1, SIDE_IN_WINDOWS * window, SIDE_IN_WINDOWS * window, 1)
    if is_permuted:
        name, index = "aligned_relative_position_index", relative_positions((side, side), finer=2)
        mask = permuted_mask(features, window)
    else:
        name, index = "relative_position_index", relative_positions((side, side))
        mask = shift_mask(features, (window, window), (window // 2, window // 2))
    complete = {}
    for key, value in state.items():
        stem, _, leaf = key.partition(".attn.relative_position_bias_")
        if leaf == "table":
            if int(stem.rpartition(".")[2]) % 2:
                complete[f"{stem}.attn_mask"] = mask.clone()
            complete[f"{stem}.attn.{name}"] = index.to(torch.int64)
        complete[key] = value
    return complete


def window_size(state: State, table: str) -> int:
    """Return the side of windows by their table of distances."""
    side = (root(tensor(state, table).shape[0], "a table of distances") + 1) // 2
    require_small(side, side)
    return side


def require_small(height: int, width: int) -> None:
    """Raise TooLarge for windows whose table of relative positions takes gigabytes."""
    if height * width > LARGEST**2:
        raise TooLarge(f"its windows of {height} x {width} pixels are larger than any")


def frame(state: State) -> Arguments:
    """Return the arguments that SwinIR and those after it share, but the window."""
    first = tensor(state, "conv_first.weight")
    groups = count(state, "layers.{n}.residual_group.blocks.0.norm1.weight")
    block = BLOCK.format(0, 0)
    heads = [tensor(state, BLOCK.format(group, 0) + "attn.relative_position_bias_table") for group in range(groups)]
    return {
        **upsampling(state, first.shape[1]),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "depths": [count(state, BLOCK.format(group, "{n}") + "norm1.weight") for group in range(groups)],
        "num_heads": [table.shape[1] for table in heads],
        "mlp_ratio": share(tensor(state, f"{block}mlp.fc1.weight").shape[0], first.shape[0]),
        "resi_connection": "1conv" if "conv_after_body.weight" in state else "3conv",
    }


def upsampling(state: State, channels: int) -> Arguments:
    """Return `scale` and `upsampler`; without one it is a network for x1."""
    if "conv_up1.weight" in state:
        return {"scale": 2 ** count(state, "conv_up{n}.weight"), "upsampler": "nearest+conv"}
    if "conv_before_upsample.0.weight" in state:
        steps = range(0, 2 * count(state, "upsample.{n}.weight"), 2)
        return {"scale": shuffle_scale(state, "upsample.{}.weight", steps), "upsampler": "pixelshuffle"}
    if "upsample.0.weight" in state:
        scale = root(tensor(state, "upsample.0.weight").shape[0] / channels)
        return {"scale": scale, "upsampler": "pixelshuffledirect"}
    return {"scale": 1}


def swinir(state: State, scale: int | None) -> Arguments:
    """Return SwinIR's arguments; `drop_path_rate` only matters in training.

    Its networks of windows of 7 pixels, for JPEG's artefacts, work on 0 ... 255.
    """
    attention = BLOCK.format(0, 0) + "attn."
    if "layers.0.residual_group.overlap_attn.qkv.weight" in state:
        raise Misfit("it has HAT's overlapping attention")
    window = window_size(state, attention + "relative_position_bias_table")
    return {
        **frame(state),
        "window_size": window,
        "qkv_bias": f"{attention}qkv.bias" in state,
        "img_range": 255.0 if window == 7 else 1.0,
    }


def srformer(state: State, scale: int | None) -> Arguments:
    """Return SRFormer's arguments; `drop_path_rate` only matters in training."""
    attention = BLOCK.format(0, 0) + "attn."
    return {
        **frame(state),
        "window_size": 2 * window_size(state, f"{attention}relative_position_bias_table"),
        "qkv_bias": f"{attention}q.bias" in state,
    }


ATTENTION = "layers.0.residual_group.blocks.0.attn"
MARKS = f"conv_first.weight patch_embed.norm.weight {ATTENTION}.relative_position_bias_table"
LAYOUTS = (
    Layout("SwinIR", "", f"{MARKS} {ATTENTION}.qkv.weight", swinir, without_constants),
    Layout("SRFormer", "", f"{MARKS} {ATTENTION}.kv.weight", srformer, without_constants),
)
EXPORTS = (
    Export("basicsr", "SwinIR", with_constants, {}),
    Export("basicsr", "SRFormer", with_constants, {}),
)
