"""What several networks share: checks of arguments, stacks of "same" convolutions, exact receptive fields.

Facts every network carries as attributes, so that nobody switches on class names:
`scale` (int), `in_channels`, `colour` ('rgb' or 'y'),
`size_multiple`: the LR height and width must be multiples of it (`inference` pads),
`receptive_field`: radius r in LR pixels: the scale x scale output pixels of LR pixel p depend on the LR pixels
    p - r ... p + r of each axis and on no others (None: on the whole picture, or unknown).

`hidden_arguments`, on the class, where it has any: arguments that leave no trace in the state_dict, each with the
    values that are known in the field. Weights of other projects are tried with all of them (weights/trial.py).

Two more are offered where a network has that shape; large pictures are upscaled with less memory for it:
`extract(lq)` and `reconstruct(features, lq)`, which make up `forward`, with `reconstruct_field`: what the latter sees,
    in LR pixels: for a body at the LR size under a tail of several upsampling steps.
`refine(upscaled)`, what follows where `forward` begins with a bicubic interpolation, and `refine_field`, what it sees,
    in pixels of the output: such a network takes any scale.
A discriminator has `kind = 'discriminator'` on its class, `in_channels`, `colour` and
`input_size`: the side of the pictures it judges, or None where it takes any that is a multiple of `size_multiple`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import nn

from srtoolbox.errors import ConfigError

CHANNELS = {"y": 1, "rgb": 3}
Step = int | tuple[str, int] | tuple[str, int, int]


def kind_of(network: type | nn.Module) -> str:
    """'generator' (what upscales, said by nobody) or 'discriminator', by the class attribute `kind`."""
    return getattr(network, "kind", "generator")


def gt_sizes(context: Mapping[str, Any]) -> dict[str, int]:
    """The `gt_size` of every training dataset of a config, by its place: what a discriminator is shown."""
    node: Any = context
    for key in ("data", "train", "dataset"):
        node = node.get(key) if isinstance(node, Mapping) else None
    found: dict[str, int] = {}
    pending = [("data.train.dataset", node)]
    while pending:
        path, node = pending.pop(0)
        if not isinstance(node, Mapping):
            continue
        if isinstance(node.get("gt_size"), int):
            found[f"{path}.gt_size"] = node["gt_size"]
        inner = node.get("datasets")
        named = inner.items() if isinstance(inner, Mapping) else enumerate(inner or ())
        pending += [(f"{path}.datasets.{name}", item) for name, item in named]
    return found


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


def receptive_field(steps: Sequence[Step]) -> int:
    """Exact radius in LR pixels of a chain of "same" convolutions and changes of size.

    Args:
        steps: in forward order, a kernel size for each convolution, ("shuffle", s) for an upsampling by s that takes
            every pixel from the one below it (sub-pixel, nearest), ("bicubic", s) for an interpolation by s (kernel of
            half-width 2 LR pixels), ("transposed", s, kernel) for a transposed convolution padded by kernel // 2, and
            ("unshuffle", s), as the first step only, for a sub-pixel downsampling.
    """
    cell = steps[0][1] if steps and isinstance(steps[0], tuple) and steps[0][0] == "unshuffle" else 1
    rest = steps[1:] if cell > 1 else steps
    scale = math.prod(step[1] for step in rest if not isinstance(step, int)) // cell
    radii = []
    for pixel in range(cell):  # the pixels of one cell see the same cells, but lie at different places in theirs
        low, high = _seen(rest, pixel * scale, (pixel + 1) * scale - 1)
        radii += [pixel - low * cell, high * cell + cell - 1 - pixel]
    return max(radii)


def _seen(steps: Sequence[Step], low: int, high: int) -> tuple[int, int]:
    """First and last input pixel that the output pixels low ... high depend on."""
    for step in reversed(steps):
        if isinstance(step, int):
            low, high = low - step // 2, high + step // 2
            continue
        kind, factor = step[:2]
        if kind == "shuffle":
            low, high = low // factor, high // factor
        elif kind == "transposed":  # input i adds to outputs i * factor - pad ... i * factor - pad + kernel - 1
            kernel, pad = step[2], step[2] // 2
            low, high = -((kernel - 1 - pad - low) // factor), (high + pad) // factor
        elif factor > 1:  # HR pixel q lies at LR position (q + 1/2) / factor - 1/2 and sees the LR pixels nearer than 2
            first, last = (Fraction(2 * q + 1 - factor, 2 * factor) for q in (low, high))
            low, high = math.floor(first - 2) + 1, math.ceil(last + 2) - 1
    return low, high
