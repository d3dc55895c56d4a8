"""DAT in the names of its authors, which neosr and traiNNer share."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from srtoolbox.models.networks.attention import region_mask, regions, relative_positions
from srtoolbox.weights.formats import Arguments, Export, Layout, Misfit, State, colour_of, count, share, tensor, without
from srtoolbox.weights.formats.swinir import require_small, upsampling

CONSTANTS = "*.attn_mask_[01] *.relative_position_index"
SIDE = 64  # of the images that masks in files are for, as in the authors' configs


def dat(state: State, scale: int | None) -> Arguments:
    """Return DAT's arguments; `drop_path_rate` only matters in training."""
    first, block = tensor(state, "conv_first.weight"), "layers.0.blocks.0."
    groups = range(count(state, "layers.{n}.blocks.0.norm1.weight"))
    return {
        **upsampling(state, first.shape[1]),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "depths": [count(state, f"layers.{group}.blocks.{{n}}.norm1.weight") for group in groups],
        "num_heads": [2 * tensor(state, f"layers.{group}.{HEADS}").shape[0] for group in groups],
        "split_size": split_size(tensor(state, f"{block}attn.attns.0.rpe_biases")),
        "expansion_factor": share(tensor(state, f"{block}ffn.fc1.weight").shape[0], first.shape[0]),
        "qkv_bias": f"{block}attn.qkv.bias" in state,
        "resi_connection": "1conv" if "conv_after_body.weight" in state else "3conv",
    }


def split_size(distances: Tensor) -> list[int]:
    """Return the sides of windows by all distances in one, the last of which is the farthest."""
    height, width = (int(distances[-1, axis]) + 1 for axis in (0, 1))
    require_small(height, width)
    if len(distances) != (2 * height - 1) * (2 * width - 1):
        raise Misfit(f"its {len(distances)} distances do not fit windows of {height} x {width} pixels")
    return [height, width]


HEADS = "blocks.0.attn.attns.0.pos.pos3.2.bias"


def without_constants(state: State) -> State:
    """Drop what the network makes itself: masks for one size of images, and positions."""
    return without(state, CONSTANTS)


def with_constants(state: State) -> State:
    """Add masks and positions, which the authors' network keeps in its files."""
    complete = {}
    for key, value in state.items():
        complete[key] = value
        found = re.fullmatch(r"(layers\.(\d+)\.blocks\.(\d+)\.attn\.)attns\.([01])\.rpe_biases", key)
        if not found:
            continue
        stem, branch = found[1], found[4]
        window = int(value[-1, 0]) + 1, int(value[-1, 1]) + 1
        complete[f"{stem}attns.{branch}.relative_position_index"] = relative_positions(window).to(torch.int64)
        if int(found[3]) % 4 == (0 if int(found[2]) % 2 else 2):
            side = -(-SIDE // max(window)) * max(window)
            inside = regions((side, side), window, (window[0] // 2, window[1] // 2), torch.device("cpu"))
            complete[f"{stem}attn_mask_{branch}"] = region_mask(inside, inside, torch.float32)
    return complete


MARKS = "conv_first.weight before_RG.1.weight layers.0.blocks.0.ffn.sg.conv.weight *.attns.0.rpe_biases"
LAYOUTS = (Layout("DAT", "", MARKS, dat, without_constants),)
EXPORTS = (Export("basicsr", "DAT", with_constants, {}),)
