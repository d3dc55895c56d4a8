"""HAT in the names of its authors, which BasicSR's descendants share."""

from __future__ import annotations

import torch

from srtoolbox.models.networks.attention import relative_positions
from srtoolbox.models.networks.hat import overlap_positions
from srtoolbox.weights.formats import Arguments, Export, Layout, State, root, tensor
from srtoolbox.weights.formats.swinir import BLOCK, frame, require_small, window_size

OVERLAP = "layers.0.residual_group.overlap_attn."
TABLE = "relative_position_bias_table"
CONSTANTS = "relative_position_index_(SA|OCA)"


def sides(state: State) -> tuple[int, int]:
    """Return the side of windows, and that of those which overlap, by their tables of distances."""
    window = window_size(state, f"{BLOCK.format(0, 0)}attn.{TABLE}")
    larger = root(tensor(state, OVERLAP + TABLE).shape[0], "a table of distances") + 1 - window
    require_small(larger, larger)
    return window, larger


def hat(state: State, scale: int | None) -> Arguments:
    """Return HAT's arguments; `conv_scale` leaves no trace, and is 0.01 in all that are known."""
    block, (window, larger) = BLOCK.format(0, 0), sides(state)
    arguments = frame(state)
    features = arguments["num_features"]
    narrow, gate = (tensor(state, f"{block}conv_block.cab.{layer}.weight") for layer in ("0", "3.attention.1"))
    return {
        **{key: value for key, value in arguments.items() if key not in ("upsampler", "resi_connection")},
        "window_size": window,
        "compress_ratio": features // narrow.shape[0],
        "squeeze_factor": features // gate.shape[0],
        "overlap_ratio": (larger - window) / window,
        "qkv_bias": f"{block}attn.qkv.bias" in state,
    }


def with_constants(state: State) -> State:
    """Add the positions that the authors' network keeps in its files."""
    window, larger = sides(state)
    return {
        "relative_position_index_SA": relative_positions((window, window)).to(torch.int64),
        "relative_position_index_OCA": overlap_positions(window, larger).to(torch.int64),
        **state,
    }


MARKS = f"conv_first.weight patch_embed.norm.weight {OVERLAP}{TABLE} {BLOCK.format(0, 0)}conv_block.cab.0.weight"
LAYOUTS = (Layout("HAT", "", MARKS, hat, constants=CONSTANTS),)
EXPORTS = (Export("basicsr", "HAT", with_constants, {}),)
