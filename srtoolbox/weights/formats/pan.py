"""PAN in its authors' names."""

from __future__ import annotations

from srtoolbox.weights.formats import Arguments, Layout, State, Unsure, count, first_convolution, tensor


def pan(state: State, scale: int | None) -> Arguments:
    """Return PAN's arguments; its one upsampling step serves x2 and x3."""
    stages = count(state, "upconv{n}.weight")
    if stages < 2 and scale not in (2, 3):
        raise Unsure("x2 and x3")
    return {
        "scale": 4 if stages > 1 else scale,
        **first_convolution(state, "conv_first.weight"),
        "num_blocks": count(state, "SCPA_trunk.{n}.conv3.weight"),
        "upsampling_channels": tensor(state, "upconv1.weight").shape[0],
    }


LAYOUTS = (Layout("PAN", "", "conv_first.weight SCPA_trunk.0.PAConv.k2.weight upconv1.weight", pan),)
