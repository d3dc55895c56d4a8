"""SAFMN and SAFMN++ in their authors' names."""

from __future__ import annotations

from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    State,
    count,
    first_convolution,
    root,
    share,
    tensor,
)


def _ends(state: State) -> Arguments:
    first = tensor(state, "to_feat.weight")
    return {
        "scale": root(tensor(state, "to_img.0.weight").shape[0] / first.shape[1]),
        **first_convolution(state, "to_feat.weight"),
    }


def safmn(state: State, scale: int | None) -> Arguments:
    """Return SAFMN's arguments."""
    arguments = _ends(state)
    hidden = tensor(state, "feats.0.ccm.ccm.0.weight").shape[0]
    return {
        **arguments,
        "num_blocks": count(state, "feats.{n}.norm1.weight"),
        "ffn_scale": share(hidden, arguments["num_features"]),
    }


def safmnpp(state: State, scale: int | None) -> Arguments:
    """Return SAFMN++'s arguments."""
    arguments, is_residual = _ends(state), "feats.0.conv2.conv1.weight" in state
    mixer = tensor(state, "feats.0.conv2.conv1.weight" if is_residual else "feats.0.conv2.conv.0.weight")
    return {
        **arguments,
        "num_blocks": count(state, "feats.{n}.conv1.proj.weight"),
        "ffn_scale": share(mixer.shape[0], arguments["num_features"]),
        "ratio": arguments["num_features"] // tensor(state, "feats.0.conv1.dwconv.weight").shape[0],
        "residual": is_residual,
    }


PLUS_PLUS = "to_feat.weight feats.0.conv1.dwconv.weight feats.0.conv2.{} to_img.0.weight"
LAYOUTS = (
    Layout("SAFMN", "", "to_feat.weight feats.0.safm.aggr.weight feats.0.ccm.ccm.0.weight to_img.0.weight", safmn),
    Layout("SAFMNPP", "", PLUS_PLUS.replace("{}", "conv.0.weight"), safmnpp, title="SAFMN++"),
    Layout("SAFMNPP", "", PLUS_PLUS.replace("{}", "conv1.weight"), safmnpp, title="SAFMN++"),
)
EXPORTS = (Export("basicsr", "SAFMN", {}, {}), Export("basicsr", "SAFMNPP", {}, {}))
