"""SRCNN, ESPCN, FSRCNN and VDSR in the names of the usual PyTorch releases."""

from __future__ import annotations

from srtoolbox.models.networks.vdsr import VIDEO_RANGE
from srtoolbox.weights.formats.layout import (
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
    """(kernel sizes, channels between) of `conv1` ... `convN`."""
    weights = [tensor(state, f"conv{number}.weight") for number in range(1, count(state, "conv{n}.weight") + 1)]
    if any(weight.dim() != 4 or weight.shape[2] != weight.shape[3] for weight in weights):
        raise Misfit("its convolutions are not square")
    return [weight.shape[2] for weight in weights], [weight.shape[0] for weight in weights]


def srcnn(state: State, scale: int | None) -> Arguments:
    """SRCNN's arguments. The scale leaves no trace, and neither does the padding: zeros everywhere but here."""
    kernels, widths = _convs(state)
    channels = state["conv1.weight"].shape[1]
    if widths[-1] != channels:
        raise Misfit(f"its last convolution makes {widths[-1]} channels of {channels}")
    if scale is None:
        raise Unsure("any scale")
    arguments = {"scale": scale, "kernels": kernels, "channels": widths[:-1], "colour": colour_of(channels)}
    return {**arguments, "padding": "zeros"}


def espcn(state: State, scale: int | None) -> Arguments:
    """ESPCN's arguments; the activation leaves no trace and is the paper's."""
    kernels, widths = _convs(state)
    channels = state["conv1.weight"].shape[1]
    factor = root(widths[-1] / channels, "a sub-pixel upsampling")
    return {"scale": factor, "kernels": kernels, "channels": widths[:-1], "colour": colour_of(channels)}


def fsrcnn(state: State, scale: int | None) -> Arguments:
    """FSRCNN's arguments. The stride of the transposed convolution, the scale, leaves no trace."""
    first, shrink = tensor(state, "first_part.0.weight"), tensor(state, "mid_part.0.weight")
    if scale is None:
        raise Unsure("any scale")
    return {
        "scale": scale,
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "shrink_channels": shrink.shape[0],
        "num_mapping": sum(key.startswith("mid_part.") and value.dim() == 4 for key, value in state.items()) - 2,
    }


def fsrcnn_from_lornatang(state: State) -> State:
    """`feature_extraction`, `shrink`, `map`, `expand`, `deconv` -> our parts; the map's numbers go on from 2."""
    length = max((int(key.split(".")[1]) for key in state if key.startswith("map.")), default=-1) + 1
    pairs = [("feature_extraction.{n}", "first_part.{n}"), ("shrink.{n}", "mid_part.{n}"), ("deconv", "last_part")]
    pairs += [(f"map.{number}", f"mid_part.{number + 2}") for number in range(length)]
    pairs += [(f"expand.{number}", f"mid_part.{number + length + 2}") for number in range(2)]
    return renamer(*pairs)(state)


def vdsr(state: State, scale: int | None) -> Arguments:
    """VDSR's arguments; its weights serve all scales."""
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


VDSR_LORNATANG = (("conv1.0", "input"), ("trunk.{n}.conv", "residual_layer.{n}.conv"), ("conv2", "output"))
YJN870_ESPCN = _chain("first_part.0", "first_part.2", "last_part.0")
LORNATANG_ESPCN = _chain("feature_maps.0", "feature_maps.2", "sub_pixel.0")
LAYERS = (("layer_{n}", "conv{n}"), ("layer{n}", "conv{n}"))
LORNATANG_SRCNN = _chain("features.0", "map.0", "reconstruction")

LAYOUTS = (
    # the first two share their names: whose last convolution makes as many channels as came in is SRCNN
    Layout("SRCNN", "SRCNN", "", (r"conv1\.weight", r"conv2\.weight", r"conv3\.weight"), as_they_are, srcnn),
    Layout("SRCNN", "SRCNN", "layer names", (r"layer_?1\.weight", r"layer_?3\.weight"), renamer(*LAYERS), srcnn),
    Layout(
        "SRCNN",
        "SRCNN",
        "Lornatang's names",
        (r"features\.0\.weight", r"map\.0\.weight", r"reconstruction\.weight"),
        renamer(*LORNATANG_SRCNN),
        srcnn,
    ),
    Layout("ESPCN", "ESPCN", "", (r"conv1\.weight", r"conv2\.weight"), as_they_are, espcn),
    Layout(
        "ESPCN",
        "ESPCN",
        "yjn870's names",
        (r"first_part\.0\.weight", r"first_part\.2\.weight", r"last_part\.0\.weight"),
        renamer(*YJN870_ESPCN),
        espcn,
    ),
    Layout(
        "ESPCN",
        "ESPCN",
        "Lornatang's names",
        (r"feature_maps\.0\.weight", r"sub_pixel\.0\.weight"),
        renamer(*LORNATANG_ESPCN),
        espcn,
    ),
    Layout(
        "FSRCNN",
        "FSRCNN",
        "yjn870's names",
        (r"first_part\.0\.weight", r"mid_part\.0\.weight", r"last_part\.weight"),
        as_they_are,
        fsrcnn,
    ),
    Layout(
        "FSRCNN",
        "FSRCNN",
        "Lornatang's names",
        (r"feature_extraction\.0\.weight", r"shrink\.0\.weight", r"deconv\.weight"),
        fsrcnn_from_lornatang,
        fsrcnn,
    ),
    Layout(
        "VDSR",
        "VDSR",
        "twtygqyy's names",
        (r"input\.weight", r"residual_layer\.0\.conv\.weight", r"output\.weight"),
        as_they_are,
        vdsr,
        (("input_range", VIDEO_RANGE),),
    ),
    Layout(
        "VDSR",
        "VDSR",
        "Lornatang's names",
        (r"conv1\.0\.weight", r"trunk\.0\.conv\.weight", r"conv2\.weight"),
        renamer(*VDSR_LORNATANG),
        vdsr,
    ),
)
