"""CARN and CARN-M in their authors' names, with the upsampler of one scale or those of three."""

from __future__ import annotations

from srtoolbox.weights.formats import Arguments, Layout, Misfit, State, Unsure, count, first_convolution, rename, root

MARKS = "entry.weight b1.b1.body.0.weight c1.body.0.weight"
SCALES = (2, 3, 4)
MEANS = ("sub_mean.", "add_mean.")  # frozen: constants of the network here


def carn(state: State, scale: int | None) -> Arguments:
    """Return CARN's arguments: CARN-M's if its residual blocks end with a 1x1 convolution."""
    first = first_convolution(state, "entry.weight")
    features, factor = first["num_features"], 1
    for number in range(count(state, "upsample.up.body.{n}.weight")):
        factor *= root(state[f"upsample.up.body.{3 * number}.weight"].shape[0] / features)
    is_mobile = "b1.b1.body.4.weight" in state
    return {
        "scale": factor,
        **first,
        "num_blocks": count(state, "c{n}.body.0.weight"),
        "groups": features // state["b1.b1.body.0.weight"].shape[1] if is_mobile else None,
    }


def without_means(state: State) -> State:
    """Drop the frozen convolutions that take the mean off and add it."""
    return {key: value for key, value in state.items() if not key.startswith(MEANS)}


def at_scale(scale: int) -> Layout:
    """Return the layout of one scale's network in a file of three."""
    others = tuple(f"upsample.up{other}." for other in SCALES if other != scale)

    def names(state: State) -> State:
        own = {key: value for key, value in without_means(state).items() if not key.startswith(others)}
        return rename(own, {f"upsample.up{scale}.body.{{n}}": "upsample.up.body.{n}"})

    def arguments(state: State, wanted: int | None) -> Arguments:
        if wanted is None:
            raise Unsure("x2, x3 and x4")
        if wanted != scale:
            raise Misfit(f"it upscales x2, x3 and x4, not x{wanted}")
        return carn(state, wanted)

    return Layout("CARN", "for three scales", MARKS + " upsample.up{n}.body.0.weight", arguments, names, at=scale)


LAYOUTS = (
    Layout("CARN", "", MARKS + " upsample.up.body.0.weight", carn, without_means),
    *map(at_scale, SCALES),
)
