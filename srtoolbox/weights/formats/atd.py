"""ATD in the names of its authors, which neosr and traiNNer share."""

from __future__ import annotations

import torch

from srtoolbox.models.networks.attention import relative_positions
from srtoolbox.weights.formats import Arguments, Export, Layout, State, colour_of, count, share, tensor, without
from srtoolbox.weights.formats.swinir import upsampling, window_size

LAYER = "layers.{}.residual_group.layers.{}."
TABLE = LAYER + "attn_win.relative_position_bias_table"
INDEX = "relative_position_index_SA"


def atd(state: State, scale: int | None) -> Arguments:
    """Return ATD's arguments; the light network has groups of 128 pixels, others of 256."""
    first, layer = tensor(state, "conv_first.weight"), LAYER.format(0, 0)
    groups, features = range(count(state, "layers.{n}.residual_group.td")), first.shape[0]
    upsampler = upsampling(state, first.shape[1])
    is_light = features == 48 and upsampler.get("upsampler") == "pixelshuffledirect"
    return {
        **upsampler,
        "colour": colour_of(first.shape[1]),
        "num_features": features,
        "depths": [count(state, LAYER.format(group, "{n}") + "norm1.weight") for group in groups],
        "num_heads": [tensor(state, TABLE.format(group, 0)).shape[1] for group in groups],
        "window_size": window_size(state, TABLE.format(0, 0)),
        "category_size": 128 if is_light else 256,
        "num_tokens": tensor(state, f"{layer}attn_atd.scale").shape[0],
        "reducted_dim": tensor(state, f"{layer}attn_atd.wq.weight").shape[0],
        "convffn_kernel_size": tensor(state, f"{layer}convffn.dwconv.depthwise_conv.0.weight").shape[2],
        "mlp_ratio": share(tensor(state, f"{layer}convffn.fc1.weight").shape[0], features),
        "qkv_bias": f"{layer}wqkv.bias" in state,
        "resi_connection": "1conv" if "conv_after_body.weight" in state else "3conv",
        "norm": "no_norm" not in state,
    }


def without_constants(state: State) -> State:
    """Drop the positions, which the network makes itself."""
    return without(state, INDEX)


def with_constants(state: State) -> State:
    """Add the positions, which the authors' network keeps in its files."""
    side = window_size(state, TABLE.format(0, 0))
    return {INDEX: relative_positions((side, side)).to(torch.int64), **state}


MARKS = "conv_first.weight layers.0.residual_group.td *.attn_atd.scale *.attn_aca.logit_scale"
LAYOUTS = (Layout("ATD", "", MARKS, atd, without_constants),)
EXPORTS = (Export("basicsr", "ATD", with_constants, {}),)
