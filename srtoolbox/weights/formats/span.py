"""SPAN in its authors' and neosr's names, as it is trained and fused for inference."""

from __future__ import annotations

import torch

from srtoolbox.weights.formats import Arguments, Export, Layout, State, colour_of, count, root, tensor


def span(state: State, scale: int | None) -> Arguments:
    """Return SPAN's arguments but range and mean, which leave no trace."""
    first = tensor(state, "conv_1.eval_conv.weight")
    return {
        "scale": root(tensor(state, "upsampler.0.weight").shape[0] / first.shape[1]),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": count(state, "block_{n}.c1_r.eval_conv.weight"),
        "norm": "no_norm" not in state,
        "fused": "conv_1.sk.weight" not in state,
    }


def with_plain_mark(state: State) -> State:
    """Return tensors with `no_norm`, if it is there, in one shape: files have it in several."""
    return {**state, "no_norm": torch.zeros(1)} if "no_norm" in state else state


MARKS = "conv_1.eval_conv.weight block_1.c1_r.eval_conv.weight conv_cat.weight upsampler.0.weight"
LAYOUTS = (
    Layout("SPAN", "", MARKS, span),
    Layout("SPAN", "", f"{MARKS} no_norm", span, with_plain_mark),
)
EXPORTS = (Export("basicsr", "SPAN", {}, {"num_blocks": (6,), "fused": (False,)}),)
