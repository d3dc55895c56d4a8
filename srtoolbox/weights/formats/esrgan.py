"""RRDBNet's generations of names: ESRGAN 2018 ('old'), ESRGAN 2019 (BSRGAN, RealSR), today's."""

from __future__ import annotations

import math

from srtoolbox.weights.formats import (
    REMARK,
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    colour_of,
    count,
    rename,
    root,
    tensor,
)

NAMES_2019 = {
    "RRDB_trunk.{n}.RDB{m}.conv{k}": "body.{n}.rdb{m}.conv{k}",
    "trunk_conv": "conv_body",
    "upconv{n}": "conv_up{n}",
    "HRconv": "conv_hr",
}


def from_old(state: State) -> State:
    """Rename `0`, `1.sub.N.RDBm.convk.0`, `1.sub.<blocks>`, and the end, of rising numbers.

    The end is upsampling, HR and last convolution. (All names begin with `model.`, a prefix that
    is gone by now.)
    """
    stems = {key.rpartition(".")[0] for key in state}
    tail = sorted((stem for stem in stems if stem.isdecimal() and stem not in "01"), key=int)
    if len(tail) < 2:
        raise Misfit("its last convolutions are missing")
    *ups, high, last = tail
    names = {"1.sub.{n}.RDB{m}.conv{k}.0": "body.{n}.rdb{m}.conv{k}", "1.sub.{n}": "conv_body"}
    names["1.sub.{n}.RDB{m}.conv1x1"] = "body.{n}.rdb{m}.conv1x1"
    names |= {"0": "conv_first", high: "conv_hr", last: "conv_last"}
    names |= {stem: f"conv_up{number}" for number, stem in enumerate(ups, start=1)}
    return rename(state, names)


def to_old(state: State) -> State:
    """Rename as `from_old` does, backwards; the names get the prefix `model.` again.

    The end is numbered as with nearest upsampling.
    """
    blocks = count(state, "body.{n}.rdb1.conv1.weight")
    stages = count(state, "conv_up{n}.weight")
    names = {"conv_first": "0", "conv_body": f"1.sub.{blocks}"}
    names["body.{n}.rdb{m}.conv{k}"] = "1.sub.{n}.RDB{m}.conv{k}.0"
    names["body.{n}.rdb{m}.conv1x1"] = "1.sub.{n}.RDB{m}.conv1x1"
    # after each doubling come its convolution and an activation; then HR, activation, last
    names |= {f"conv_up{number}": f"{3 * number}" for number in range(1, stages + 1)}
    names |= {"conv_hr": f"{3 * stages + 2}", "conv_last": f"{3 * stages + 4}"}
    return rename(state, {ours: f"model.{theirs}" for ours, theirs in names.items()})


def arguments(state: State, scale: int | None) -> Arguments:
    """Return RRDBNet's arguments but `residual_scaling`, always 0.2, which leaves no trace."""
    first, last = tensor(state, "conv_first.weight"), tensor(state, "conv_last.weight")
    features = first.shape[0]
    convs = count(state, "body.0.rdb1.conv{n}.weight")
    factor, upsampling = _upsampling(state, features)
    cell = root(first.shape[1] / last.shape[0], "it begins with images")
    if factor % cell:
        raise Misfit(f"it enlarges {factor} times what it first reduces by {cell}")
    # one stage that enlarges by repeating pixels: 2 times, or 3 times in files that are all but unknown
    is_guess = not factor and scale not in (2, 3)
    scale = factor // cell or (3 if scale == 3 else 2)
    return {
        "scale": scale,
        "colour": colour_of(last.shape[0]),
        "num_features": features,
        "growth_channels": tensor(state, "body.0.rdb1.conv1.weight").shape[0] if convs > 1 else 32,
        "num_blocks": count(state, "body.{n}.rdb1.conv1.weight"),
        "num_dense_blocks": count(state, "body.0.rdb{n}.conv1.weight"),
        "num_convs": convs,
        "upsampling": upsampling,
        "unshuffle": cell > 1 or scale > 2,
        **({"plus": True} if "body.0.rdb1.conv1x1.weight" in state else {}),
        **({REMARK: "one upsampling step, taken for x2 (--scale 3 where it is for x3)"} if is_guess else {}),
    }


def _upsampling(state: State, features: int) -> tuple[int, str]:
    """Return (enlargement where the tensors tell it, else 0; kind)."""
    stages = count(state, "conv_up{n}.weight")
    outputs = [tensor(state, f"conv_up{number}.weight").shape[0] for number in range(1, stages + 1)]
    if outputs and outputs[0] != features:
        return math.prod(root(output / features) for output in outputs), "pixelshuffle"
    return (0 if stages == 1 else 2**stages), "nearest"


_ARGUMENTS = {"num_dense_blocks": (3,), "num_convs": (5,), "residual_scaling": (0.2,), "upsampling": ("nearest",)}
_TODAY = {**_ARGUMENTS, "plus": (False,), "scale": (1, 2, 4), "unshuffle": (True,)}
# ESRGAN+ has the names of 2018
_EARLIER = {**_ARGUMENTS, "scale": (2, 3, 4, 8), "unshuffle": (False,)}
OLD_MARKS = "1.sub.0.RDB1.conv1.0.weight 0.weight"
MARKS_2019 = "RRDB_trunk.0.RDB1.conv1.weight trunk_conv.weight"
MARKS = "body.0.rdb1.conv1.weight conv_body.weight"
LAYOUTS = (
    Layout("RRDBNet", "old key layout", OLD_MARKS, arguments, from_old, title="ESRGAN"),
    Layout("RRDBNet", "key layout of 2019", MARKS_2019, arguments, NAMES_2019, title="ESRGAN"),
    Layout("RRDBNet", "new key layout", MARKS, arguments, title="ESRGAN"),
)
EXPORTS = (
    Export("basicsr", "RRDBNet", {}, _TODAY),
    Export("mmagic", "RRDBNet", {}, _TODAY),
    Export("esrgan", "RRDBNet", to_old, _EARLIER),
    Export("esrgan2019", "RRDBNet", NAMES_2019, {**_EARLIER, "plus": (False,)}),
)
