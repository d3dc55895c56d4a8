"""SRCNN, ESPCN, FSRCNN, VDSR and SRVGGNetCompact in the names of the usual PyTorch releases."""

from __future__ import annotations

import torch

from srtoolbox.models.networks.vdsr import VIDEO_RANGE
from srtoolbox.weights.formats import (
    Arguments,
    Export,
    Layout,
    Misfit,
    State,
    Unsure,
    colour_of,
    count,
    first_convolution,
    rename,
    root,
    tensor,
)


def _convolutions(state: State) -> tuple[list[int], list[int]]:
    """Return (kernel sizes, channels between) of `conv1` ... `convN`."""
    numbers = range(1, count(state, "conv{n}.weight") + 1)
    weights = [tensor(state, f"conv{number}.weight") for number in numbers]
    if any(weight.dim() != 4 or weight.shape[2] != weight.shape[3] for weight in weights):
        raise Misfit("its convolutions are not square")
    return [weight.shape[2] for weight in weights], [weight.shape[0] for weight in weights]


def _required(scale: int | None) -> int:
    """Return the scale of a network whose tensors fit any; raises Unsure where nobody says it."""
    if scale is None:
        raise Unsure("any scale")
    return scale


def srcnn(state: State, scale: int | None) -> Arguments:
    """Return SRCNN's arguments; scale and padding leave no trace, the latter is zeros elsewhere."""
    kernels, widths = _convolutions(state)
    channels = state["conv1.weight"].shape[1]
    if widths[-1] != channels:
        raise Misfit(f"its last convolution makes {widths[-1]} channels of {channels}")
    factor, colour = _required(scale), colour_of(channels)
    return {"scale": factor, "kernels": kernels, "channels": widths[:-1], "colour": colour, "padding": "zeros"}


def espcn(state: State, scale: int | None) -> Arguments:
    """Return ESPCN's arguments; the activation leaves no trace and is the paper's."""
    kernels, widths = _convolutions(state)
    channels = state["conv1.weight"].shape[1]
    factor, colour = root(widths[-1] / channels), colour_of(channels)
    return {"scale": factor, "kernels": kernels, "channels": widths[:-1], "colour": colour}


def fsrcnn(state: State, scale: int | None) -> Arguments:
    """Return FSRCNN's arguments; the scale, a stride, leaves no trace."""
    parts = [value for key, value in state.items() if key.startswith("mid_part.")]
    return {
        "scale": _required(scale),
        **first_convolution(state, "first_part.0.weight"),
        "shrink_channels": state["mid_part.0.weight"].shape[0],
        "num_mapping": sum(part.dim() == 4 for part in parts) - 2,
    }


def fsrcnn_from_lornatang(state: State) -> State:
    """Rename `feature_extraction`, `shrink`, `map`, `expand` and `deconv`.

    `shrink`, `map` and `expand` are one part here, numbered through.
    """
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("map.")]
    length = max(numbers, default=-1) + 1
    names = {"feature_extraction.{n}": "first_part.{n}", "deconv": "last_part"}
    names["shrink.{n}"] = "mid_part.{n}"
    names |= {f"map.{number}": f"mid_part.{number + 2}" for number in range(length)}
    names |= {f"expand.{number}": f"mid_part.{number + length + 2}" for number in range(2)}
    return rename(state, names)


def fsrcnn_from_nhat_thanh(state: State) -> State:
    """Rename `feature_extract`, `shrink`, `map_1` ... `map_N`, `expand`, `deconv`, `activation_1` ... `4`.

    Between the convolutions of `map` it has no activation: PReLUs of slope 1 are none.
    """
    length = count(state, "map_{n}.weight")
    names = {"feature_extract": "first_part.0", "activation_1": "first_part.1", "deconv": "last_part"}
    names |= {"shrink": "mid_part.0", "activation_2": "mid_part.1", "expand": f"mid_part.{2 * length + 2}"}
    names |= {"activation_3": f"mid_part.{2 * length + 1}", "activation_4": f"mid_part.{2 * length + 3}"}
    names |= {f"map_{number}": f"mid_part.{2 * number}" for number in range(1, length + 1)}
    slope = tensor(state, "activation_3.weight")
    ones = {f"mid_part.{2 * number + 1}.weight": torch.ones_like(slope) for number in range(1, length)}
    return rename(state, names) | ones


def vdsr(state: State, scale: int | None) -> Arguments:
    """Return VDSR's arguments; its weights serve all scales."""
    return {
        "scale": _required(scale),
        **first_convolution(state, "input.weight"),
        "num_blocks": count(state, "residual_layer.{n}.conv.weight"),
        "bias": "input.bias" in state,
    }


def srvgg(state: State, scale: int | None) -> Arguments:
    """Return SRVGGNetCompact's arguments."""
    keys = [key for key in state if key.startswith("body.") and key.endswith(".weight")]
    weights = [state[key] for key in sorted(keys, key=lambda key: int(key.split(".")[1]))]
    if weights[-1].dim() != 4:
        raise Misfit("it ends without a convolution")
    return {
        "scale": root(weights[-1].shape[0] / weights[0].shape[1]),
        **first_convolution(state, "body.0.weight"),
        "num_blocks": sum(weight.dim() == 4 for weight in weights) - 2,
    }


def srvgg_of_relu(state: State) -> State:
    """Give a network that was trained with ReLU, which has no tensor, the PReLUs that are one.

    Raises:
        Misfit: its tensors are not convolutions alone, at every other place.
    """
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("body.") and key.endswith(".weight")]
    last = max(numbers)
    if sorted(numbers) != list(range(0, last + 1, 2)) or any(state[f"body.{n}.weight"].dim() != 4 for n in numbers):
        raise Misfit("it is not convolutions with ReLU between them")
    slopes = {f"body.{n + 1}.weight": torch.zeros_like(state[f"body.{n}.bias"]) for n in numbers if n != last}
    return {**state, **slopes}


LAYERS = {"layer_{n}": "conv{n}", "layer{n}": "conv{n}"}
LORNATANG_SRCNN = {"features.0": "conv1", "map.0": "conv2", "reconstruction": "conv3"}
YJN870_ESPCN = {"first_part.0": "conv1", "first_part.2": "conv2", "last_part.0": "conv3"}
LORNATANG_ESPCN = {"feature_maps.0": "conv1", "feature_maps.2": "conv2", "sub_pixel.0": "conv3"}
LORNATANG_VDSR = {"conv1.0": "input", "trunk.{n}.conv": "residual_layer.{n}.conv", "conv2": "output"}
LAYOUTS = (
    Layout("SRVGGNetCompact", "", "body.0.weight body.1.weight body.2.bias", srvgg),
    Layout("SRVGGNetCompact", "trained with ReLU", "body.0.weight body.2.bias", srvgg, srvgg_of_relu),
    # before ESPCN, whose usual names are SRCNN's: SRCNN's last convolution makes as many channels
    # as come in
    Layout("SRCNN", "", "conv1.weight conv2.weight conv3.weight", srcnn),
    Layout("SRCNN", "layer names", "layer_?1.weight layer_?3.weight", srcnn, LAYERS),
    Layout(
        "SRCNN", "Lornatang's names", "features.0.weight map.0.weight reconstruction.weight", srcnn, LORNATANG_SRCNN
    ),
    Layout("ESPCN", "", "conv1.weight conv2.weight", espcn),
    Layout(
        "ESPCN", "yjn870's names", "first_part.0.weight first_part.2.weight last_part.0.weight", espcn, YJN870_ESPCN
    ),
    Layout("ESPCN", "Lornatang's names", "feature_maps.0.weight sub_pixel.0.weight", espcn, LORNATANG_ESPCN),
    Layout("FSRCNN", "yjn870's names", "first_part.0.weight mid_part.0.weight last_part.weight", fsrcnn),
    Layout(
        "FSRCNN",
        "Lornatang's names",
        "feature_extraction.0.weight shrink.0.weight deconv.weight",
        fsrcnn,
        fsrcnn_from_lornatang,
    ),
    Layout(
        "FSRCNN",
        "Nhat-Thanh's names",
        "feature_extract.weight map_1.weight activation_4.weight deconv.weight",
        fsrcnn,
        fsrcnn_from_nhat_thanh,
    ),
    Layout(
        "VDSR",
        "twtygqyy's names",
        "input.weight residual_layer.0.conv.weight output.weight",
        vdsr,
        hidden={"input_range": VIDEO_RANGE},
    ),
    Layout("VDSR", "Lornatang's names", "conv1.0.weight trunk.0.conv.weight conv2.weight", vdsr, LORNATANG_VDSR),
)
EXPORTS = (Export("basicsr", "SRVGGNetCompact", {}, {}),)
