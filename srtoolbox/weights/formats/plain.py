"""SRCNN, ESPCN, FSRCNN, VDSR and SRVGGNetCompact in the names of the usual PyTorch releases."""

from __future__ import annotations

from srtoolbox.models.networks.vdsr import VIDEO_RANGE
from srtoolbox.weights.formats import (
    Arguments,
    Layout,
    Misfit,
    State,
    Unsure,
    as_they_are,
    colour_of,
    count,
    renamer,
    root,
    tensor,
)


def _chain(*foreign: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, f"conv{number}") for number, name in enumerate(foreign, start=1))


def _convs(state: State) -> tuple[list[int], list[int]]:
    """Return (kernel sizes, channels between) of `conv1` ... `convN`."""
    numbers = range(1, count(state, "conv{n}.weight") + 1)
    weights = [tensor(state, f"conv{number}.weight") for number in numbers]
    if any(weight.dim() != 4 or weight.shape[2] != weight.shape[3] for weight in weights):
        raise Misfit("its convolutions are not square")
    return [weight.shape[2] for weight in weights], [weight.shape[0] for weight in weights]


def srcnn(state: State, scale: int | None) -> Arguments:
    """Return SRCNN's arguments; scale and padding leave no trace, the latter is zeros elsewhere."""
    kernels, widths = _convs(state)
    channels = state["conv1.weight"].shape[1]
    if widths[-1] != channels:
        raise Misfit(f"its last convolution makes {widths[-1]} channels of {channels}")
    if scale is None:
        raise Unsure("any scale")
    return {
        "scale": scale,
        "kernels": kernels,
        "channels": widths[:-1],
        "colour": colour_of(channels),
        "padding": "zeros",
    }


def espcn(state: State, scale: int | None) -> Arguments:
    """Return ESPCN's arguments; the activation leaves no trace and is the paper's."""
    kernels, widths = _convs(state)
    channels = state["conv1.weight"].shape[1]
    factor = root(widths[-1] / channels, "a sub-pixel upsampling")
    colour = colour_of(channels)
    return {"scale": factor, "kernels": kernels, "channels": widths[:-1], "colour": colour}


def fsrcnn(state: State, scale: int | None) -> Arguments:
    """Return FSRCNN's arguments; the scale, a stride, leaves no trace."""
    first, shrink = tensor(state, "first_part.0.weight"), tensor(state, "mid_part.0.weight")
    if scale is None:
        raise Unsure("any scale")
    parts = [value for key, value in state.items() if key.startswith("mid_part.")]
    return {
        "scale": scale,
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "shrink_channels": shrink.shape[0],
        "num_mapping": sum(part.dim() == 4 for part in parts) - 2,
    }


def fsrcnn_from_lornatang(state: State) -> State:
    """Rename `feature_extraction`, `shrink`, `map`, `expand` and `deconv`.

    `shrink`, `map` and `expand` are one part here, numbered through.
    """
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("map.")]
    length = max(numbers, default=-1) + 1
    pairs = [("feature_extraction.{n}", "first_part.{n}"), ("deconv", "last_part")]
    pairs += [("shrink.{n}", "mid_part.{n}")]
    pairs += [(f"map.{number}", f"mid_part.{number + 2}") for number in range(length)]
    pairs += [(f"expand.{number}", f"mid_part.{number + length + 2}") for number in range(2)]
    return renamer(*pairs)(state)


def vdsr(state: State, scale: int | None) -> Arguments:
    """Return VDSR's arguments; its weights serve all scales."""
    first = tensor(state, "input.weight")
    if scale is None:
        raise Unsure("any scale")
    return {
        "scale": scale,
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": count(state, "residual_layer.{n}.conv.weight"),
        "bias": "input.bias" in state,
    }


def srvgg(state: State, scale: int | None) -> Arguments:
    """Return SRVGGNetCompact's arguments."""
    keys = [key for key in state if key.startswith("body.") and key.endswith(".weight")]
    numbers = sorted(int(key.split(".")[1]) for key in keys)
    first, last = tensor(state, "body.0.weight"), state[f"body.{numbers[-1]}.weight"]
    if last.dim() != 4:
        raise Misfit("it ends without a convolution")
    return {
        "scale": root(last.shape[0] / first.shape[1], "a sub-pixel upsampling"),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": sum(state[f"body.{number}.weight"].dim() == 4 for number in numbers) - 2,
    }


YJN870_ESPCN = _chain("first_part.0", "first_part.2", "last_part.0")
LORNATANG_ESPCN = _chain("feature_maps.0", "feature_maps.2", "sub_pixel.0")
LORNATANG_SRCNN = _chain("features.0", "map.0", "reconstruction")
LORNATANG_VDSR = (
    ("conv1.0", "input"),
    ("trunk.{n}.conv", "residual_layer.{n}.conv"),
    ("conv2", "output"),
)
LAYERS = (("layer_{n}", "conv{n}"), ("layer{n}", "conv{n}"))

LAYOUTS = (
    Layout("SRVGGNetCompact", "", "body.0.weight body.1.weight body.2.bias", as_they_are, srvgg),
    # SRCNN and ESPCN share their usual names: SRCNN's last convolution makes as many channels as
    # come in
    Layout("SRCNN", "", "conv1.weight conv2.weight conv3.weight", as_they_are, srcnn),
    Layout("SRCNN", "layer names", "layer_?1.weight layer_?3.weight", renamer(*LAYERS), srcnn),
    Layout(
        "SRCNN",
        "Lornatang's names",
        "features.0.weight map.0.weight reconstruction.weight",
        renamer(*LORNATANG_SRCNN),
        srcnn,
    ),
    Layout("ESPCN", "", "conv1.weight conv2.weight", as_they_are, espcn),
    Layout(
        "ESPCN",
        "yjn870's names",
        "first_part.0.weight first_part.2.weight last_part.0.weight",
        renamer(*YJN870_ESPCN),
        espcn,
    ),
    Layout(
        "ESPCN",
        "Lornatang's names",
        "feature_maps.0.weight sub_pixel.0.weight",
        renamer(*LORNATANG_ESPCN),
        espcn,
    ),
    Layout(
        "FSRCNN",
        "yjn870's names",
        "first_part.0.weight mid_part.0.weight last_part.weight",
        as_they_are,
        fsrcnn,
    ),
    Layout(
        "FSRCNN",
        "Lornatang's names",
        "feature_extraction.0.weight shrink.0.weight deconv.weight",
        fsrcnn_from_lornatang,
        fsrcnn,
    ),
    Layout(
        "VDSR",
        "twtygqyy's names",
        "input.weight residual_layer.0.conv.weight output.weight",
        as_they_are,
        vdsr,
        (("input_range", VIDEO_RANGE),),
    ),
    Layout(
        "VDSR",
        "Lornatang's names",
        "conv1.0.weight trunk.0.conv.weight conv2.weight",
        renamer(*LORNATANG_VDSR),
        vdsr,
    ),
)
