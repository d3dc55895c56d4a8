"""One file of weights into another: any that can be read, in our form or in another project's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError
from srtoolbox.interfaces import fuse_branches
from srtoolbox.io.tensor_files import save_safetensors, save_tensors
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.formats import State, families, rename
from srtoolbox.weights.load import NETWORK_KEY, NetworkFile, arguments_of, build_network, read_network
from srtoolbox.weights.trial import convention_of, describe, innermost

AUTHORS_NAMES = {
    "EDSR": "its authors' names",
    "FSRCNN": "yjn870's names",
    "IMDN": "its authors' names",
    "MSRResNet": "BasicSR's names",
    "OmniSR": "its authors' names",
    "PAN": "its authors' names",
    "RCAN": "its authors' names",
    "RDN": "its authors' names",
    "RFDN": "its authors' names",
    "RLFN": "its authors' names",
    "PLKSR": "its authors' names",
    "RealPLKSR": "neosr's names",
    "RRDBNet": "BasicSR's and Real-ESRGAN's names",
    "SAFMN": "its authors' names",
    "SAFMNPP": "its authors' names",
    "SPAN": "its authors' names",
    "SRVGGNetCompact": "Real-ESRGAN's names",
    "VDSR": "twtygqyy's names",
}
"""Networks whose state_dict here is just as their authors, or the usual release, have it."""


def _params(trained: State, averaged: State | None) -> dict[str, Any]:
    return {"params": trained} if averaged is None else {"params": trained, "params_ema": averaged}


def _roles(trained: State, averaged: State | None) -> dict[str, Any]:
    state = {f"generator.{key}": value for key, value in trained.items()}
    state |= {f"generator_ema.{key}": value for key, value in (averaged or {}).items()}
    return {"meta": {}, "state_dict": state}


def _bare(trained: State, averaged: State | None) -> dict[str, Any]:
    return trained if averaged is None else averaged


# other projects' formats: (trained, averaged or None) -> the content of the file
FORMATS = {"basicsr": _params, "mmagic": _roles, "esrgan": _bare, "esrgan2019": _bare, "edsr": _bare}


def convert(
    source: str | Path,
    target: Path,
    to: str,
    *,
    config: Mapping[str, Any] | None = None,
    scale: int | None = None,
    trial: bool = True,
    raw: bool = False,
    fuse: bool = False,
) -> str:
    """Write `target` and return a description of what was converted.

    Args:
        source: a checkpoint of ours or of another project.
        target: `.pth`, or `.safetensors`, which holds one set of weights: the averaged ones where
            there are some.
        to: 'ours', 'plain' (a bare state_dict in our names) or one of FORMATS.
        config, scale, trial: as in `read_network`.
        raw: leave averaged weights out.
        fuse: write the network in its form for inference: SPAN's branches as one convolution each.

    Raises:
        CheckpointError: unreadable, not recognised, a network that the other project has not, or
            one without a form for inference of its own.
    """
    trained = read_network(source, config=config, weights="raw", scale=scale, trial=trial)
    averaged = None if raw else averaged_weights(source, trained)
    if (averaged or trained).network is None:
        build_network(averaged or trained)  # refuses what does not fit
    if fuse:
        trained = _fused(trained)
        averaged = None if averaged is None else _fused(averaged)
    arguments = {"type": trained.config["type"], **arguments_of(trained.config)}
    if to == "ours":
        networks = {"generator": trained.tensors}
        if averaged is not None:
            networks["generator_ema"] = averaged.tensors
        save_checkpoint(target, {"iter": 0, "config": json.dumps(trained.run_config), "networks": networks})
    else:
        ema = averaged.tensors if averaged is not None else None
        if to == "plain":
            state: dict[str, Any] = bare_state(arguments, ema or trained.tensors)
        else:
            state = _foreign_state(arguments, trained.tensors, ema, to)
        if target.suffix == ".safetensors":
            save_safetensors(target, _flat(state), {"format": "pt", NETWORK_KEY: json.dumps(arguments)})
        else:
            save_tensors(target, state)
    is_one_set = target.suffix == ".safetensors" or (to == "plain" or FORMATS.get(to) is _bare)
    kinds = "" if averaged is None else ", averaged weights" if is_one_set else ", trained and averaged weights"
    name = innermost(arguments)["type"]
    description = f"{name} x{arguments['scale']}{kinds}, format {to}"
    if to == "plain":
        description += f": {plain_names(name)}"
    hidden = ", ".join(describe(arguments))
    if hidden and to != "ours" and target.suffix != ".safetensors":
        description += f"; it cannot say {hidden}, as a .safetensors or a checkpoint of ours does"
    return description


def _fused(file: NetworkFile) -> NetworkFile:
    """Return a network in its form for inference.

    Raises:
        CheckpointError: it has none of its own.
    """
    network = build_network(file)
    if not fuse_branches(network):
        name = innermost(file.config)["type"]
        raise CheckpointError(f"{file.source}: {name} has no branches to fuse; leave --fuse out")
    config = _fused_config(file.config)
    run_config = {**file.run_config, "model": {**file.run_config["model"], "generator": config}}
    return file._replace(config=config, tensors=network.state_dict(), run_config=run_config)


def _fused_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a network, or of that inside an Adapter, in its form for inference."""
    if config["type"] == "Adapter":
        return {**config, "network": _fused_config(config["network"])}
    return {**config, "fused": True}


def plain_names(kind: str) -> str:
    """Describe the names in a bare state_dict of a network here."""
    if kind == "Spandrel":
        return "spandrel's names"
    return f"{AUTHORS_NAMES[kind]}, which are ours" if kind in AUTHORS_NAMES else "our names"


def averaged_weights(source: str | Path, trained: NetworkFile) -> NetworkFile | None:
    """Return the averaged weights of the trained network; None where the file has one kind only."""
    averaged = read_network(source, config=trained.config, weights="ema", trial=False, quiet=True)
    pairs = ((value, trained.tensors[key]) for key, value in averaged.tensors.items())
    return None if all(torch.equal(*pair) for pair in pairs) else averaged


def bare_state(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names of the network inside an Adapter, or of spandrel."""
    if config["type"] not in ("Adapter", "Spandrel"):
        return dict(tensors)
    inner = {key.removeprefix("network."): value for key, value in tensors.items()}
    return bare_state(config["network"], inner) if config.get("network") else inner


def _foreign_state(config: Mapping[str, Any], trained: State, averaged: State | None, to: str) -> dict[str, Any]:
    """Return a network's weights as another project saves them; it may have no such network."""
    kind = config["type"]
    rows = [row for family in families() for row in getattr(family, "EXPORTS", ()) if row.to == to]
    exports = {row.network: row for row in rows}
    if kind == "Adapter":
        way = ", ".join(
            f"{key}={value!r}" for key, value in convention_of(config).items() if value not in (None, "rgb")
        )
        raise CheckpointError(f"{to} feeds its networks RGB in [0, 1]; this one is fed otherwise: {way}")
    if kind not in exports:
        raise CheckpointError(f"{to} has no {kind}; it has {', '.join(exports)}")
    names = exports[kind].names
    if isinstance(names, Mapping):
        names = {ours: theirs for theirs, ours in names.items()}
    for key, values in exports[kind].values.items():
        if config[key] not in values and not (key == "unshuffle" and config["scale"] > 2):
            listing = ", ".join(map(repr, values))
            raise CheckpointError(f"{to} has no {kind} with {key}={config[key]!r} (it takes {listing})")
    return FORMATS[to](rename(trained, names), None if averaged is None else rename(averaged, names))


def _flat(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the one set of tensors that fits into a `.safetensors`: averaged weights go first."""
    for wrapper in ("params_ema", "params", "state_dict"):
        if isinstance(state.get(wrapper), Mapping):
            return dict(state[wrapper])
    return dict(state)
