"""The origin of results, as `upscale` and `upscale_video` write it (`image.provenance`)."""

from __future__ import annotations

import hashlib
import inspect
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
        source: the network, as it was given; of one in memory the digest is that of its tensors.
        upscaler: the one that was made of it.
        more: options beside those of `Upscaler`; None and False are left out.
    """
    step: dict[str, Any] = {"software": f"srtoolbox {__version__}", "network": _name_of(upscaler.network)}
    options = {name: value for name, value in more.items() if value not in (None, False)}
    if isinstance(source, nn.Module | Upscaler):
        step |= _tensors_of(upscaler.network)
    else:
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
    return type(_bare(network)).__name__


def _bare(network: nn.Module) -> nn.Module:
    bare = unwrap(network)
    while isinstance(bare, NetworkWrapper):
        bare = unwrap(bare.network)
    return bare


def _tensors_of(network: nn.Module) -> dict[str, Any]:
    """Return `weights` of a network in memory, by names, types, shapes and bytes of its tensors; {} without any."""
    state = _bare(network).state_dict()
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return {"weights": [{"name": "in memory", "sha256_of_tensors": digest.hexdigest()}]} if tensors else {}


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
