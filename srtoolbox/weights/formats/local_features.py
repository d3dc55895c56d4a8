"""RFDN and RLFN in their authors' names."""

from __future__ import annotations

from srtoolbox.weights.formats import Arguments, Layout, State, count, first_convolution, root, tensor


def rfdn(state: State, scale: int | None) -> Arguments:
    """Return RFDN's arguments."""
    return {
        "scale": root(tensor(state, "upsampler.0.weight").shape[0] / state["fea_conv.weight"].shape[1]),
        **first_convolution(state, "fea_conv.weight"),
        "num_blocks": count(state, "B{n}.c5.weight"),
        "attention": "spatial" if "B1.esa.conv1.weight" in state else "contrast",
    }


def rlfn(state: State, scale: int | None) -> Arguments:
    """Return RLFN's arguments but `img_range`, which leaves no trace."""
    first, inside = first_convolution(state, "conv_1.weight"), state["block_1.c1_r.weight"].shape[0]
    return {
        "scale": root(tensor(state, "upsampler.0.weight").shape[0] / state["conv_1.weight"].shape[1]),
        **first,
        "num_blocks": count(state, "block_{n}.c5.weight"),
        "mid_channels": None if inside == first["num_features"] else inside,
        "esa_channels": tensor(state, "block_1.esa.conv1.weight").shape[0],
    }


LAYOUTS = (
    Layout("RFDN", "", "fea_conv.weight B1.c1_d.weight upsampler.0.weight", rfdn),
    Layout("RLFN", "", "conv_1.weight block_1.c1_r.weight block_1.esa.conv3.weight", rlfn),
)
