"""What several networks share: checks of arguments, stacks of "same" convolutions, exact receptive fields.

Facts every network carries as attributes, so that nobody switches on class names:
`scale` (int), `in_channels`, `colour` ('rgb' or 'y'),
`size_multiple`: the LR height and width must be multiples of it (`inference` pads),
`receptive_field`: radius r in LR pixels: the scale x scale output pixels of LR pixel p depend on the LR pixels
    p - r ... p + r of each axis and on no others (None: on the whole picture, or unknown).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from torch import nn

from srtoolbox.errors import ConfigError

CHANNELS = {"y": 1, "rgb": 3}


def one_of(owner: str, name: str, value: object, allowed: Iterable[object]) -> None:
    """Raises ConfigError unless `value` is among `allowed`."""
    allowed = list(allowed)
    if value not in allowed or isinstance(value, bool):
        raise ConfigError(f"{owner}: {name}={value!r} is not possible; allowed: {', '.join(map(repr, allowed))}")


def positive(owner: str, **values: int) -> None:
    """Raises ConfigError unless each of `values` is a positive integer."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{owner}: {name}={value!r} is not possible; it is a positive integer")


def add_convs(
    network: nn.Module, widths: Sequence[int], kernels: Sequence[int], padding_mode: str = "zeros"
) -> list[nn.Conv2d]:
    """Add "same" convolutions `conv1`, `conv2` ... to `network`: conv i maps widths[i - 1] to widths[i] channels.

    Raises:
        ConfigError: the numbers do not fit together, or a kernel is even (its centre lies on no pixel).
    """
    owner = type(network).__name__
    if len(kernels) != len(widths) - 1:
        raise ConfigError(
            f"{owner}: {len(kernels)} kernels need {len(kernels) - 1} hidden channels, got {len(widths) - 2}"
        )
    positive(owner, **{f"channels[{i}]": width for i, width in enumerate(widths[1:-1])})
    for kernel in kernels:
        if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
            raise ConfigError(f"{owner}: kernels={tuple(kernels)!r} is not possible; each is a positive odd integer")
    convs = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode=padding_mode)
        for inputs, outputs, kernel in zip(widths[:-1], widths[1:], kernels, strict=True)
    ]
    for number, conv in enumerate(convs, start=1):
        network.add_module(f"conv{number}", conv)
    return convs


def receptive_field(steps: Sequence[int | tuple[str, int]]) -> int:
    """Exact radius in LR pixels of a chain of "same" convolutions and upsamplings.

    Args:
        steps: in forward order, a kernel size for each convolution, ("shuffle", s) for a sub-pixel upsampling by s and
            ("bicubic", s) for an interpolation by s (kernel of half-width 2 LR pixels).
    """
    low, high = 0, math.prod(step[1] for step in steps if not isinstance(step, int)) - 1
    for step in reversed(steps):
        if isinstance(step, int):
            low, high = low - step // 2, high + step // 2
            continue
        kind, factor = step
        if kind == "shuffle":
            low, high = low // factor, high // factor
        elif factor > 1:  # HR pixel q lies at LR position (q + 1/2) / factor - 1/2 and sees the LR pixels nearer than 2
            first, last = (Fraction(2 * q + 1 - factor, 2 * factor) for q in (low, high))
            low, high = math.floor(first - 2) + 1, math.ceil(last + 2) - 1
    return max(-low, high)
