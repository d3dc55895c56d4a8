"""PLKSR in its authors' names, RealPLKSR in neosr's (traiNNer-redux's)."""

from __future__ import annotations

from srtoolbox.models.networks.plksr import MIXERS
from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    count,
    first_convolution,
    root,
    share,
    tensor,
)


def _common(state: State, after_blocks: int) -> Arguments:
    """Return what both have; the last convolution is so many places after the blocks."""
    if "feats.1.lk.conv.weight" not in state:
        raise Misfit("its large kernels are sparse ones of the paper's ablations, which are not here")
    blocks, first = count(state, "feats.{n}.refine.weight"), tensor(state, "feats.0.weight")
    large = state["feats.1.lk.conv.weight"]
    last = tensor(state, f"feats.{blocks + after_blocks}.weight")
    return {
        "scale": root(last.shape[0] / first.shape[1]),
        **first_convolution(state, "feats.0.weight"),
        "num_blocks": blocks,
        "kernel_size": large.shape[2],
        "split_ratio": share(large.shape[0], first.shape[0]),
        "use_ea": "feats.1.attn.f.0.weight" in state,
    }


def plksr(state: State, scale: int | None) -> Arguments:
    """Return PLKSR's arguments but `with_idt`, which leaves no trace."""
    mixer = tuple(tensor(state, f"feats.1.channe_mixer.{number}.weight").shape[2] for number in (0, 2))
    names = [name for name, kernels in MIXERS.items() if kernels == mixer]
    if not names:
        raise Misfit(f"its channel mixers have kernels of {mixer[0]} and {mixer[1]}")
    return {**_common(state, 1), "ccm_type": names[0]}


def realplksr(state: State, scale: int | None) -> Arguments:
    """Return RealPLKSR's arguments but the number of groups, 4, and the dropout of its training."""
    return {
        **_common(state, 2),
        "layer_norm": "feats.1.layer_norm.weight" in state,
        "dysample": "to_img.offset.weight" in state,
    }


MARKS = "feats.0.weight feats.1.refine.weight feats.1.lk.* feats.1."
LAYOUTS = (
    Layout("PLKSR", "", f"{MARKS}channe_mixer.0.weight", plksr),
    Layout("RealPLKSR", "", f"{MARKS}channel_mixer.0.weight", realplksr),
)
EXPORTS = (Export("basicsr", "PLKSR", {}, {}), Export("basicsr", "RealPLKSR", {}, {}))
