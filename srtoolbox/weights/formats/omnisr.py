"""OmniSR in its authors' names."""

from __future__ import annotations

from srtoolbox.weights.formats import Arguments, Layout, State, count, first_convolution, root, tensor
from srtoolbox.weights.formats.swinir import window_size

BLOCK = "residual_layer.0.residual_layer.0.layer."
COUNTS = "*total_ops *total_params"  # of operations, left by the authors' measurement


def omnisr(state: State, scale: int | None) -> Arguments:
    """Return OmniSR's arguments."""
    first = tensor(state, "input.weight")
    table = f"{BLOCK}2.fn.rel_pos_bias.weight"
    window = {"window_size": window_size(state, table)} if table in state else {}
    return {
        "scale": root(tensor(state, "up.0.weight").shape[0] / first.shape[1]),
        **first_convolution(state, "input.weight"),
        "num_groups": count(state, "residual_layer.{n}.esa.conv1.weight"),
        "num_blocks": count(state, "residual_layer.0.residual_layer.{n}.layer.0.fn.0.weight"),
        **window,
        "pe": table in state,
        "bias": "input.bias" in state,
    }


MARKS = f"input.weight {BLOCK}0.fn.4.gate.1.weight {BLOCK}5.fn.temperature up.0.weight"
LAYOUTS = (Layout("OmniSR", "", MARKS, omnisr, constants=COUNTS),)
