"""EDSR, RDN and RCAN in the names of EDSR-PyTorch, which are ours, of BasicSR and of yjn870."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from srtoolbox.models.networks.blocks import DIV2K_MEAN
from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    colour_of,
    count,
    first_convolution,
    rename,
    root,
    shuffle_scale,
    tensor,
)

MEAN_SHIFTS = ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias")
"""Of frozen 1x1 convolutions around the network: the mean off first, and on at last."""


def with_means(state: State, rgb_mean: Sequence[float] = DIV2K_MEAN) -> State:
    """Add EDSR-PyTorch's 1x1 convolutions, for values in 0 ... 255."""
    identity, mean = torch.eye(3).view(3, 3, 1, 1), 255 * torch.tensor(rgb_mean)
    means = zip(MEAN_SHIFTS, (identity, -mean, identity, mean), strict=True)
    return {**state, **{key: value.clone() for key, value in means}}


def from_edsr_pytorch(state: State) -> State:
    """Return tensors whose `sub_mean.bias` alone is left of the 1x1 convolutions.

    Some projects have trained these with the rest. Then `sub_mean` is a mean and a mixture of
    colours, exactly: W x + b = W (x + b / W). The mixture joins the first convolution, `add_mean`
    the last.
    """
    mix, shift, unmix, back = (tensor(state, key).double() for key in MEAN_SHIFTS)
    if mix.shape != (3, 3, 1, 1) or unmix.shape != mix.shape or shift.shape != (3,) or back.shape != (3,):
        raise Misfit("its sub_mean and add_mean are no convolutions of three colours")
    mix, unmix = mix.flatten(1), unmix.flatten(1)
    inner = {key: value for key, value in state.items() if key not in MEAN_SHIFTS}
    if not (torch.equal(mix, torch.eye(3).double()) and torch.equal(unmix, mix) and torch.equal(shift, -back)):
        inverse, info = torch.linalg.inv_ex(mix)
        if info or not all(value.isfinite().all() for value in (inverse, shift, unmix, back)):
            raise Misfit("its sub_mean loses colours")
        shift = inverse @ shift
        first = next(key for key in ("head.0.weight", "head.1.weight") if key in state)
        head, tail, bias = (tensor(state, key).double() for key in (first, "tail.1.weight", "tail.1.bias"))
        sizes = head.dim(), tail.dim(), *tail.shape[:1], *bias.shape
        if sizes != (4, 4, 3, 3) or head.shape[1] not in (3, 12, 48):
            raise Misfit("its first and last convolution are not those of three colours")
        cells = torch.eye(head.shape[1] // 3).double()  # of one colour, where it is unshuffled
        weights = {
            first: torch.einsum("oihw,ij->ojhw", head, torch.kron(mix, cells)),
            "tail.1.weight": torch.einsum("oc,cihw->oihw", unmix, tail),
            "tail.1.bias": unmix @ bias + back + shift,
        }
        inner |= {key: value.to(state[key].dtype) for key, value in weights.items()}
    return {**inner, "sub_mean.bias": shift}


def mean_of(state: State) -> Arguments:
    """Return `img_range` and `rgb_mean` by the `sub_mean` that is left.

    Nothing where there is none.
    """
    if "sub_mean.bias" not in state:
        return {}
    shift = state["sub_mean.bias"]
    if shift.shape != (3,):
        raise Misfit("its sub_mean is not that of three colours")
    img_range = 255.0 if shift.abs().max() > 1.5 else 1.0
    means = [-value / img_range for value in shift.tolist()]
    # 0.4488 is 0.44880000 and some in float32
    return {"img_range": img_range, "rgb_mean": [m if abs(m - round(m, 6)) > 1e-7 else round(m, 6) for m in means]}


def tail_scale(state: State) -> int:
    """Return the scale by the sub-pixel steps `tail.0.{0,2,4}`, none of which is scale 1."""
    return shuffle_scale(state, "tail.0.{}.weight", range(0, 2 * count(state, "tail.0.{n}.weight"), 2))


def edsr(state: State, scale: int | None) -> Arguments:
    """Return EDSR's arguments.

    `residual_scaling` leaves no trace: wide ones are trained with 0.1.
    """
    first = first_convolution(state, "head.0.weight")
    return {
        "scale": tail_scale(state),
        **first,
        "num_blocks": count(state, "body.{n}.body.0.weight"),
        "residual_scaling": 0.1 if first["num_features"] > 128 else 1.0,
        **mean_of(state),
    }


def rcan(state: State, scale: int | None) -> Arguments:
    """Return RCAN's arguments; files without means are of projects that take none off."""
    last = tensor(state, "tail.1.weight").shape[0]
    head = next(state[key] for key in ("head.0.weight", "head.1.weight") if key in state)
    factor, cell = tail_scale(state), root(head.shape[1] / last, "it begins with images")
    return {
        "scale": factor // cell,
        "colour": colour_of(last),
        "num_features": head.shape[0],
        "num_groups": count(state, "body.{n}.body.0.body.0.weight"),
        "num_blocks": count(state, "body.0.body.{n}.body.0.weight"),
        "reduction": head.shape[0] // tensor(state, "body.0.body.0.body.3.conv_du.0.weight").shape[0],
        "unshuffle": cell > 1,
        **(mean_of(state) or {"img_range": 1.0, "rgb_mean": [0.0, 0.0, 0.0]}),
    }


def rdn(state: State, scale: int | None) -> Arguments:
    """Return RDN's arguments; `img_range` leaves no trace."""
    last, growth = 2 * (count(state, "UPNet.{n}.weight") - 1), state["RDBs.0.convs.0.conv.0.weight"].shape[0]
    factor = 1
    for number in range(0, last, 2):
        factor *= root(tensor(state, f"UPNet.{number}.weight").shape[0] / growth)
    return {
        "scale": factor,
        **first_convolution(state, "SFENet1.weight"),
        "num_blocks": count(state, "RDBs.{n}.LFF.weight"),
        "num_convs": count(state, "RDBs.0.convs.{n}.conv.0.weight"),
        "growth_channels": growth,
    }


def rdn_from_yjn870(state: State) -> State:
    """Rename yjn870's and MMagic's; the last convolution is numbered after the sub-pixel steps."""
    names = {"sfe{n}": "SFENet{n}", "rdbs.{n}.lff": "RDBs.{n}.LFF", "gff.{n}": "GFF.{n}", "upscale.{n}": "UPNet.{n}"}
    names["rdbs.{n}.layers.{m}.conv"] = "RDBs.{n}.convs.{m}.conv.0"
    return rename(state, {**names, "output": f"UPNet.{2 * count(state, 'upscale.{n}.weight')}"})


def rdn_to_yjn870(state: State) -> State:
    """Rename as `rdn_from_yjn870` does, backwards."""
    last = 2 * (count(state, "UPNet.{n}.weight") - 1)
    names = {f"UPNet.{last}": "output", "SFENet{n}": "sfe{n}", "RDBs.{n}.LFF": "rdbs.{n}.lff", "GFF.{n}": "gff.{n}"}
    names["RDBs.{n}.convs.{m}.conv.0"] = "rdbs.{n}.layers.{m}.conv"
    return rename(state, {**names, "UPNet.{n}": "upscale.{n}"})


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


RCAN_BASICSR = {
    "body.{n}.residual_group.{m}.rcab.{k}": "body.{n}.body.{m}.body.{k}",
    "body.{n}.residual_group.{m}.rcab.3.attention.1": "body.{n}.body.{m}.body.3.conv_du.0",
    "body.{n}.residual_group.{m}.rcab.3.attention.3": "body.{n}.body.{m}.body.3.conv_du.2",
    "conv_first": "head.0",
    "upsample.{n}": "tail.0.{n}",
    "conv_last": "tail.1",
}


def rcan_from_basicsr(state: State) -> State:
    """Rename BasicSR's; last convolutions are numbered after the groups, and their blocks."""
    groups = count(state, "body.{n}.conv.weight")
    blocks = count(state, "body.0.residual_group.{n}.rcab.0.weight")
    last = {"body.{n}.conv": f"body.{{n}}.body.{blocks}", "conv_after_body": f"body.{groups}"}
    return rename(state, {**RCAN_BASICSR, **last})


def rcan_to_basicsr(state: State) -> State:
    """Rename as `rcan_from_basicsr` does, backwards."""
    groups = count(state, "body.{n}.body.0.body.0.weight")
    blocks = count(state, "body.0.body.{n}.body.0.weight")
    last = {f"body.{{n}}.body.{blocks}": "body.{n}.conv", f"body.{groups}": "conv_after_body"}
    return rename(state, {**{ours: theirs for theirs, ours in RCAN_BASICSR.items()}, **last})


SHIFT = "sub_mean.bias"
EDSR_MARKS = "head.0.weight body.0.body.0.weight tail.1.weight"
BASICSR = "conv_first.weight body.0.conv1.weight conv_after_body.weight conv_last.weight"
RCAN_MARKS = "head.{n}.weight body.0.body.0.body.3.conv_du.0.weight tail.1.weight"
RCAN_MARKS_BASICSR = "conv_first.weight body.0.residual_group.0.rcab.0.weight conv_last.weight"
RDN_MARKS = "SFENet1.weight RDBs.0.convs.0.conv.0.weight UPNet.0.weight"
RDN_MARKS_YJN870 = "sfe1.weight rdbs.0.layers.0.conv.weight upscale.0.weight output.weight"
_RANGE_255 = {"img_range": 255.0, "rgb_mean": list(DIV2K_MEAN)}
_AT_255 = {"img_range": (255.0,), "rgb_mean": (list(DIV2K_MEAN),), "colour": ("rgb",)}
_BASICSR = {"colour": ("rgb",), "rgb_mean": (list(DIV2K_MEAN),), "scale": (1, 2, 3, 4, 8)}
LAYOUTS = (
    Layout("EDSR", "EDSR-PyTorch's names", f"{EDSR_MARKS} sub_mean.*", edsr, from_edsr_pytorch, constants=SHIFT),
    Layout("EDSR", "", EDSR_MARKS, edsr),
    Layout("EDSR", "BasicSR's names", BASICSR, edsr, from_basicsr),
    Layout("RCAN", "EDSR-PyTorch's names", f"{RCAN_MARKS} sub_mean.*", rcan, from_edsr_pytorch, constants=SHIFT),
    Layout("RCAN", "", RCAN_MARKS, rcan),
    Layout("RCAN", "BasicSR's names", RCAN_MARKS_BASICSR, rcan, rcan_from_basicsr, hidden=_RANGE_255),
    Layout("RDN", "", RDN_MARKS, rdn),
    Layout("RDN", "yjn870's names", RDN_MARKS_YJN870, rdn, rdn_from_yjn870, hidden={"img_range": 1.0}),
)
EXPORTS = (
    Export("basicsr", "EDSR", to_basicsr, _BASICSR),
    Export("basicsr", "RCAN", rcan_to_basicsr, {**_BASICSR, "unshuffle": (False,)}),
    Export("mmagic", "RDN", rdn_to_yjn870, {"img_range": (1.0,), "num_features": (64,), "growth_channels": (64,)}),
    Export("edsr", "EDSR", with_means, _AT_255),
    Export("edsr", "RCAN", with_means, _AT_255),
    Export("edsr", "RDN", {}, {}),
)
