"""One file of weights into another: any that can be read, in our form or in another project's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srtoolbox.io.tensor_files import save_safetensors, save_tensors
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.formats.export import export, flat, plain_names
from srtoolbox.weights.load import NETWORK_KEY, NetworkFile, arguments_of, build_network, read_network
from srtoolbox.weights.trial import describe, innermost


def convert(
    source: str | Path,
    target: Path,
    to: str,
    *,
    config: Mapping[str, Any] | None = None,
    scale: int | None = None,
    trial: bool = True,
    raw: bool = False,
) -> str:
    """Write `target` and return a description of what was converted.

    Args:
        source: a checkpoint of ours or of another project.
        target: `.pth`, or `.safetensors`, which holds one set of weights: the averaged ones where
            there are some.
        to: 'ours', 'plain' (a bare state_dict in our names) or one of `formats.export.FORMATS`.
        config, scale, trial: as in `read_network`.
        raw: leave averaged weights out.

    Raises:
        CheckpointError: unreadable, not recognised, or a network that the other project has not.
    """
    trained = read_network(source, config=config, weights="raw", scale=scale, trial=trial)
    averaged = None if raw else _averaged_weights(source, trained)
    build_network(averaged or trained)  # refuses what does not fit
    arguments = {"type": trained.config["type"], **arguments_of(trained.config)}
    if to == "ours":
        networks = {"generator": trained.tensors}
        if averaged is not None:
            networks["generator_ema"] = averaged.tensors
        save_checkpoint(target, {"iter": 0, "config": json.dumps(trained.run_config), "networks": networks})
    else:
        ema = averaged.tensors if averaged is not None else None
        if to == "plain":
            state: dict[str, Any] = _bare_state(arguments, ema or trained.tensors)
        else:
            state = export(arguments, trained.tensors, ema, to)
        if target.suffix == ".safetensors":
            save_safetensors(target, flat(state), {"format": "pt", NETWORK_KEY: json.dumps(arguments)})
        else:
            save_tensors(target, state)
    is_one_set = target.suffix == ".safetensors" or to in ("plain", "esrgan", "esrgan2019")
    kinds = "" if averaged is None else ", averaged weights" if is_one_set else ", trained and averaged weights"
    name = innermost(arguments)["type"]
    description = f"{name} x{arguments['scale']}{kinds}, format {to}"
    if to == "plain":
        description += f": {plain_names(name)}"
    hidden = ", ".join(describe(arguments))
    if hidden and to != "ours" and target.suffix != ".safetensors":
        description += f"; it cannot say {hidden}, as a .safetensors or a checkpoint of ours does"
    return description


def _bare_state(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names of the network inside an Adapter."""
    if config["type"] != "Adapter":
        return dict(tensors)
    inner = {key.removeprefix("network."): value for key, value in tensors.items()}
    return _bare_state(config["network"], inner) if config.get("network") else inner


def _averaged_weights(source: str | Path, trained: NetworkFile) -> NetworkFile | None:
    """Return the averaged weights of the trained network; None where the file has one kind only."""
    averaged = read_network(source, config=trained.config, weights="ema", trial=False, quiet=True)
    pairs = ((value, trained.tensors[key]) for key, value in averaged.tensors.items())
    return None if all(torch.equal(*pair) for pair in pairs) else averaged
