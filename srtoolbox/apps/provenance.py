"""The origin of results, as `upscale` and `upscale_video` write it (`image.provenance`)."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from torch import nn

from srtoolbox import __version__
from srtoolbox.apps.networks import Checkpoint, NetworkSource
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import NetworkWrapper, facts_of, unwrap
from srtoolbox.io.files import sha256
from srtoolbox.weights.onnx_file import files_of, is_onnx

_OF_THE_MACHINE = ("batch", "tile")  # settings that change no pixel, or nearly none


def step_of(source: NetworkSource | Upscaler, upscaler: Upscaler, **more: object) -> dict[str, Any]:
    """Return what decides a result beside its image, as JSON values: no time, no path, no machine.

    Args:
        source: the network, as it was given; of one in memory the weights are not known.
        upscaler: the one that was made of it.
        more: options beside those of `Upscaler`; None and False are left out.
    """
    step: dict[str, Any] = {"software": f"srtoolbox {__version__}", "network": _name_of(upscaler.network)}
    options = {name: value for name, value in more.items() if value not in (None, False)}
    if not isinstance(source, nn.Module | Upscaler):
        checkpoint = source if isinstance(source, Checkpoint) else Checkpoint(source)
        step["weights"] = _weights_of(checkpoint)
        if checkpoint.weights != "ema":
            options["weights"] = checkpoint.weights
        if not checkpoint.trial:
            options["trial"] = False
    defaults = inspect.signature(Upscaler).parameters
    for name, value in upscaler.settings.items():
        if name not in _OF_THE_MACHINE and value != defaults[name].default:
            options[name] = value
    return step | {"scale": facts_of(upscaler.network).scale} | ({"options": options} if options else {})


def _name_of(network: nn.Module) -> str:
    """Return the class of a network, without what adapts it."""
    bare = unwrap(network)
    while isinstance(bare, NetworkWrapper):
        bare = unwrap(bare.network)
    return type(bare).__name__


def _weights_of(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return name and digest of each file of weights, and its share where two are blended."""
    shares: list[tuple[str | os.PathLike[str], float]] = [(checkpoint.path, 1 - checkpoint.alpha)]
    if checkpoint.other is not None:
        shares.append((checkpoint.other, checkpoint.alpha))
    entries: list[dict[str, Any]] = []
    for path, share in shares:
        for file in files_of(path) if is_onnx(path) else [path]:
            entries.append({"name": Path(file).name, "sha256": sha256(file)})
            if checkpoint.other is not None:
                entries[-1]["share"] = share
    return entries
