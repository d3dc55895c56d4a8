"""Discriminators: Real-ESRGAN's U-Net, whose file for fine-tuning lies beside the generator's."""

from __future__ import annotations

from srtoolbox.weights.formats import Arguments, Layout, State, first_convolution


def arguments(state: State, scale: int | None) -> Arguments:
    """Return the arguments but `skip_connection`, which leaves no trace; published ones have it."""
    return first_convolution(state, "conv0.weight")


LAYOUTS: tuple[Layout, ...] = ()  # of networks that upscale
DISCRIMINATORS = (Layout("UNetDiscriminatorSN", "", "conv0.weight conv{n}.weight_orig conv9.weight", arguments),)
