"""IMDN and SRVGGNetCompact, in their authors' names."""

from __future__ import annotations

from srtoolbox.weights.formats.layout import (
    Arguments,
    Layout,
    Misfit,
    State,
    as_they_are,
    colour_of,
    count,
    root,
    tensor,
)


def imdn(state: State, scale: int | None) -> Arguments:
    """IMDN's arguments."""
    first, last = tensor(state, "fea_conv.weight"), tensor(state, "upsampler.0.weight")
    return {
        "scale": root(last.shape[0] / first.shape[1], "a sub-pixel upsampling"),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": count(state, "IMDB{n}.c1.weight"),
    }


def srvgg(state: State, scale: int | None) -> Arguments:
    """SRVGGNetCompact's arguments."""
    numbers = sorted(int(key.split(".")[1]) for key in state if key.startswith("body.") and key.endswith(".weight"))
    first, last = tensor(state, "body.0.weight"), state[f"body.{numbers[-1]}.weight"]
    if last.dim() != 4:
        raise Misfit("it ends without a convolution")
    return {
        "scale": root(last.shape[0] / first.shape[1], "a sub-pixel upsampling"),
        "colour": colour_of(first.shape[1]),
        "num_features": first.shape[0],
        "num_blocks": sum(state[f"body.{number}.weight"].dim() == 4 for number in numbers) - 2,
    }


LAYOUTS = (
    Layout("IMDN", "IMDN", "", (r"fea_conv\.weight", r"IMDB1\.c1\.weight", r"upsampler\.0\.weight"), as_they_are, imdn),
    Layout(
        "SRVGGNetCompact",
        "SRVGGNetCompact",
        "",
        (r"body\.0\.weight", r"body\.1\.weight", r"body\.2\.bias"),
        as_they_are,
        srvgg,
    ),
)
