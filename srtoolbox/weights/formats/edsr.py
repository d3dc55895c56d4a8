"""EDSR in the names of its authors' PyTorch release, which are ours, and of BasicSR."""

from __future__ import annotations

import torch

from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    count,
    first_convolution,
    rename,
    shuffle_scale,
    tensor,
)

MEAN_SHIFTS = "(sub|add)_mean.(weight|bias)"  # frozen convolutions that take the mean off, and add it


def mean_of(state: State) -> Arguments:
    """Return `img_range` and `rgb_mean` by the frozen `sub_mean`; nothing where there is none."""
    if "sub_mean.bias" not in state:
        return {}
    weight, bias = tensor(state, "sub_mean.weight"), state["sub_mean.bias"]
    if bias.shape != (3,) or not torch.equal(weight.flatten().float(), torch.eye(3).flatten()):
        raise Misfit("its sub_mean does more than take a mean off")
    img_range = 255.0 if bias.abs().max() > 1 else 1.0
    mean = [round(-value / img_range, 4) for value in bias.double().tolist()]
    return {"img_range": img_range, "rgb_mean": mean}


def tail_scale(state: State) -> int:
    """Return the scale by the sub-pixel steps `tail.0.{0,2,4}`, none of which is scale 1."""
    return shuffle_scale(state, "tail.0.{}.weight", range(0, 2 * count(state, "tail.0.{n}.weight"), 2))


def edsr(state: State, scale: int | None) -> Arguments:
    """Return EDSR's arguments; `residual_scaling` leaves no trace: wide ones are trained with 0.1."""
    first = first_convolution(state, "head.0.weight")
    return {
        "scale": tail_scale(state),
        **first,
        "num_blocks": count(state, "body.{n}.body.0.weight"),
        "residual_scaling": 0.1 if first["num_features"] > 128 else 1.0,
        **mean_of(state),
    }


def from_basicsr(state: State) -> State:
    """Rename BasicSR's; the body's last convolution is numbered after the blocks."""
    blocks = count(state, "body.{n}.conv1.weight")
    names = {"conv_first": "head.0", "conv_after_body": f"body.{blocks}", "conv_last": "tail.1"}
    names |= {"body.{n}.conv1": "body.{n}.body.0", "body.{n}.conv2": "body.{n}.body.2", "upsample.{n}": "tail.0.{n}"}
    return rename(state, names)


def to_basicsr(state: State) -> State:
    """Rename as `from_basicsr` does, backwards."""
    blocks = count(state, "body.{n}.body.0.weight")
    names = {"head.0": "conv_first", f"body.{blocks}": "conv_after_body", "tail.1": "conv_last"}
    names |= {"body.{n}.body.0": "body.{n}.conv1", "body.{n}.body.2": "body.{n}.conv2", "tail.0.{n}": "upsample.{n}"}
    return rename(state, names)


BASICSR = "conv_first.weight body.0.conv1.weight conv_after_body.weight conv_last.weight"
LAYOUTS = (
    Layout("EDSR", "", "head.0.weight body.0.body.0.weight tail.1.weight", edsr, constants=MEAN_SHIFTS),
    Layout("EDSR", "BasicSR's names", BASICSR, edsr, from_basicsr),
)
EXPORTS = (Export("basicsr", "EDSR", to_basicsr, {"colour": ("rgb",), "scale": (1, 2, 3, 4, 8)}),)
