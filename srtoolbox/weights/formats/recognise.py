"""Files of weights recognised by their tensors: the network here, all of its arguments, the tensors in our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from torch import Tensor

from srtoolbox.devices import without_memory
from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted
from srtoolbox.weights.formats import compact, plain, residual, rrdb
from srtoolbox.weights.formats.containers import Contents, WeightsChoice, find_weights
from srtoolbox.weights.formats.layout import (
    Arguments,
    Layout,
    Misfit,
    State,
    Unsure,
    malformed_as_misfit,
    with_counters,
)
from srtoolbox.weights.formats.unsupported import fits, looks_like
from srtoolbox.weights.state_dicts import differences, group_keys

LAYOUTS = (*rrdb.LAYOUTS, *residual.LAYOUTS, *compact.LAYOUTS, *plain.LAYOUTS)
_SCALE_IN_NAME = re.compile(r"(?<![a-z0-9])(?:x([1-8])|([1-8])x)(?![0-9])", re.IGNORECASE)


class Recognised(NamedTuple):
    """A network of another project as one of ours."""

    config: dict[str, Any]
    """`type` and arguments."""
    tensors: dict[str, Tensor]
    """Its state_dict in our names."""
    sentence: str
    """'ESRGAN, old key layout, x4, 23 blocks, EMA weights'."""


def recognise(
    state: Mapping[str, Any], source: str, *, scale: int | None = None, weights: WeightsChoice = "ema"
) -> Recognised:
    """What another project's file holds, from its tensors alone.

    Args:
        state: the file as it was loaded, wrappers and all.
        source: its name: for messages, and where the tensors fit any scale (SRCNN, VDSR, FSRCNN)
            for the 'x2' in it.
        scale: the scale, where the tensors leave it open; it goes before the name.
        weights: 'ema' prefers averaged weights where there are some, 'raw' the trained ones.

    Raises:
        CheckpointError: no weights in it, or of no network here: says what it looks like; or of a
            scale that nothing tells, or of another one than wanted.
    """
    contents = find_weights(state, source, weights=weights)
    hint = scale if scale is not None else scale_in(source)
    reasons = []
    for layout in LAYOUTS:
        if not fits(layout.marks, contents.tensors):
            continue
        try:
            return _as_ours(layout, contents, source, scale, hint)
        except Misfit as misfit:
            reasons.append(f"looks like {_called(layout)}, but {misfit}")
        except Unsure as unsure:
            raise CheckpointError(
                f"{source}: {_called(layout)}, whose weights fit {unsure}, and nothing says which it is here; say it: "
                f"upscale --scale N, load_network(..., scale=N), or an x2 in the file's name"
            ) from None
    raise CheckpointError(f"{source}: {_unknown(contents, reasons)}")


def our_names(state: State) -> State | None:
    """Plain tensors of a layout that is known, in our names; None where it is not known."""
    for layout in LAYOUTS:
        if fits(layout.marks, state):
            try:
                with malformed_as_misfit():
                    return with_counters(layout.to_ours(state))
            except Misfit:
                continue
    return None


def scale_in(source: str) -> int | None:
    """The one factor that a file's name tells: 4 of 'net_x4.pth' or '4x_net.pth'; None where it tells none or two."""
    found = {int(a or b) for a, b in _SCALE_IN_NAME.findall(PurePath(source).stem.replace("_", " "))}
    return found.pop() if len(found) == 1 else None


def _as_ours(layout: Layout, contents: Contents, source: str, scale: int | None, hint: int | None) -> Recognised:
    with malformed_as_misfit():
        tensors = with_counters(layout.to_ours(contents.tensors))
        arguments = {**layout.arguments(tensors, hint), **dict(layout.hidden)}
    config = {"type": layout.network, **arguments}
    fault = _fault(config, tensors)
    if fault:
        raise Misfit(fault)
    if scale not in (None, arguments["scale"]):
        raise CheckpointError(f"{source}: {_called(layout)} that upscales x{arguments['scale']}, not x{scale}")
    return Recognised(config, tensors, _sentence(layout, arguments, contents) + _doubt(source, scale))


def _doubt(source: str, scale: int | None) -> str:
    """', though ...' where the scale that was asked for is not the one in the file's name."""
    named = scale_in(source)
    return f", though its name says x{named}" if None not in (scale, named) and scale != named else ""


def _fault(config: Mapping[str, Any], tensors: State) -> str:
    """'' where the network has just these tensors; found out without memory for its weights."""
    try:
        with without_memory():
            network = NETWORKS.build(config)
    except ConfigError as error:
        return str(error)
    return differences(network.state_dict(), tensors)


def _called(layout: Layout) -> str:
    return f"{layout.title}, {layout.name}" if layout.name else layout.title


def _sentence(layout: Layout, arguments: Arguments, contents: Contents) -> str:
    parts = [_called(layout), f"x{arguments['scale']}"]
    if "kernels" in arguments:
        parts.append("-".join(map(str, arguments["kernels"])))
    if "num_blocks" in arguments:
        parts.append(f"{arguments['num_blocks']} block{'s' if arguments['num_blocks'] > 1 else ''}")
    if arguments.get("num_features", 64) != 64:
        parts.append(f"{arguments['num_features']} features")
    if arguments["colour"] == "y":
        parts.append("luma")
    if contents.averaged:
        parts.append("EMA weights")
    return ", ".join(parts)


def _unknown(contents: Contents, reasons: list[str]) -> str:
    if reasons:
        return "; ".join(reasons)
    what = looks_like(contents.tensors)
    if what is not None:
        return f"looks like {what}"
    groups = group_keys(contents.tensors)
    shown = ", ".join(groups[:4]) + (f" and {len(groups) - 4} groups more" if len(groups) > 4 else "")
    return (
        f"holds {counted(len(contents.tensors), 'tensor')} of no network known here ({shown}). If one of yours "
        f"fits, name its config (load_network(..., config=...), upscale --config, test CONFIG)"
    )
