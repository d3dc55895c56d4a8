"""Differences in the browser: an SVG filter and a legend with the colours that `error_map` gives its maps."""

from __future__ import annotations

import numpy as np

from srtoolbox.plots.error_map import PEAK, error_map

LEVELS = 2 * PEAK
"""The difference, in levels of 8 bit, from which on the crops' maps have the last colour."""

_STEPS = np.linspace(0, 255, 18).astype(np.uint8).reshape(1, -1, 1)  # 0, 15, ... 255
STOPS = error_map(_STEPS, np.zeros_like(_STEPS), peak=255)[0]
"""(18, 3) colours from no difference to the largest, equal steps."""


def css_gradient() -> str:
    """The colours from left to right, for a legend."""
    return "linear-gradient(to right, " + ", ".join("#" + bytes(stop).hex() for stop in STOPS) + ")"


def svg_filter(identity: str, levels: int) -> str:
    """An SVG filter that makes of an absolute difference (per channel, black where equal) what `error_map` makes."""
    gain = 255 / levels / 3
    row = f"{gain:.6f} {gain:.6f} {gain:.6f} 0 0"
    tables = [" ".join(f"{value / 255:.4f}" for value in STOPS[:, channel]) for channel in range(3)]
    functions = "".join(
        f'<feFunc{name} type="table" tableValues="{table}"/>' for name, table in zip("RGB", tables, strict=True)
    )
    return (
        f'<filter id="{identity}" color-interpolation-filters="sRGB" x="0" y="0" width="100%" height="100%">'
        f'<feColorMatrix type="matrix" values="{row} {row} {row} 0 0 0 1 0"/>'
        f"<feComponentTransfer>{functions}</feComponentTransfer></filter>"
    )
