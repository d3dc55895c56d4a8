"""DRCT in the names of its authors, which BasicSR's descendants share."""

from __future__ import annotations

import torch

from srtoolbox.models.networks.attention import relative_positions, shift_mask
from srtoolbox.weights.formats import Arguments, Export, Layout, Misfit, State, colour_of, count, fits, share, tensor
from srtoolbox.weights.formats.swinir import upsampling, window_size

BLOCK = "layers.{}.swin1."
TABLE = "attn.relative_position_bias_table"
MASKS, INDICES = "layers.{n}.swin(2|4).attn_mask", "layers.{n}.swin{n}.attn.relative_position_index"
# of the images that masks in files are for: 64 pixels, as in the authors' configs
SIDE_IN_WINDOWS = 4


def drct(state: State, scale: int | None) -> Arguments:
    """Return DRCT's arguments; `drop_path_rate` only matters in training."""
    first, block = tensor(state, "conv_first.weight"), BLOCK.format(0)
    if fits(INDICES, state) and not fits(MASKS, state):
        raise Misfit("its windows are not shifted: it is for images no larger than one")
    # of all ratios that give the first block's hidden channels, few may give those of the next two
    hidden = [tensor(state, f"layers.0.swin{number}.mlp.fc1.weight") for number in (1, 2, 3)]
    groups = range(count(state, BLOCK.format("{n}") + "norm1.weight"))
    return {
        "scale": upsampling(state, first.shape[1])["scale"],
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_heads": [tensor(state, BLOCK.format(group) + TABLE).shape[1] for group in groups],
        "growth_channels": tensor(state, "layers.0.adjust1.weight").shape[0],
        "window_size": window_size(state, block + TABLE),
        "mlp_ratio": max(share(layer.shape[0], layer.shape[1]) for layer in hidden),
        "qkv_bias": f"{block}attn.qkv.bias" in state,
    }


def with_constants(state: State) -> State:
    """Add the masks and positions that the authors' network keeps in its files."""
    window = window_size(state, BLOCK.format(0) + TABLE)
    side, index = SIDE_IN_WINDOWS * window, relative_positions((window, window)).to(torch.int64)
    mask = shift_mask(torch.zeros(1, side, side, 1), (window, window), (window // 2, window // 2))
    complete = {}
    for key, value in state.items():
        stem, _, leaf = key.partition(".attn.relative_position_bias_")
        if leaf == "table":
            if stem.endswith(("swin2", "swin4")):
                complete[f"{stem}.attn_mask"] = mask.clone()
            complete[f"{stem}.attn.relative_position_index"] = index.clone()
        complete[key] = value
    return complete


MARKS = f"conv_first.weight patch_embed.norm.weight {BLOCK.format(0)}{TABLE} layers.0.adjust5.weight"
LAYOUTS = (Layout("DRCT", "", MARKS, drct, constants=f"{MASKS} {INDICES}"),)
EXPORTS = (Export("basicsr", "DRCT", with_constants, {}),)
