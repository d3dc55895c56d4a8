"""Networks out of checkpoints: ours, which carry their config, and other projects', recognised by their tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.errors import CheckpointError
from srtoolbox.files import load_tensors
from srtoolbox.logger import LOGGER
from srtoolbox.models.interop import differences, network_state
from srtoolbox.registry import NETWORKS


class NetworkFile(NamedTuple):
    """One network as a file holds it."""

    config: dict[str, Any]
    """The network's own: `type` and its arguments."""
    tensors: dict[str, Tensor]
    """Its state_dict."""
    run_config: dict[str, Any]
    """The config of the run it comes from; of another project's file, one with `model.generator` alone."""
    source: str
    """The file's path."""


def read_network(path: str | Path, *, config: Mapping[str, Any] | None = None, weights: str = "ema") -> NetworkFile:
    """The generator in a checkpoint of this toolbox or of another project, not built yet.

    Args:
        path: the file.
        config: the network's config, for files that neither hold their own nor are recognised.
        weights: 'ema' prefers averaged weights where there are some, 'raw' takes the trained ones.

    Raises:
        CheckpointError: unreadable, or nothing says which network it is.
    """
    state = load_tensors(path)
    run_config = run_config_in(state, str(path))
    if run_config is not None:
        found = run_config["model"]["generator"]
    elif config is None:
        raise CheckpointError(
            f"{path}: holds weights but not which network they are for; name a config of that network "
            f"(load_network(..., config=...), upscale.py --config, test.py CONFIG)"
        )
    else:
        found = dict(config)
    tensors = weights_in(state, str(path), weights=weights)
    return NetworkFile(found, tensors, run_config or {"model": {"generator": found}}, str(path))


def build_network(file: NetworkFile, device: str | torch.device = "cpu") -> nn.Module:
    """The network of a file in eval mode, without gradients.

    Raises:
        CheckpointError: weights and network do not fit.
    """
    network = NETWORKS.build(file.config)
    fault = differences(network.state_dict(), file.tensors)
    if fault:
        raise CheckpointError(f"{file.source}: does not fit {file.config['type']}: {fault}")
    network.load_state_dict(file.tensors)
    return network.requires_grad_(False).eval().to(device)


def load_network(
    path: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    weights: str = "ema",
    device: str | torch.device = "cpu",
) -> nn.Module:
    """A trained network, ready to upscale, from a checkpoint alone.

    Args:
        path: a checkpoint of this toolbox, or another project's weights together with `config`.
        config: the network's config, e.g. `dict(type='ESPCN', scale=3)`, for files that do not hold their own.
        weights: 'ema' prefers averaged weights where there are some, 'raw' takes the trained ones.
        device: where to put it.

    Returns:
        The network in eval mode, without gradients.

    Raises:
        CheckpointError: unreadable, or weights and network do not fit.
    """
    return build_network(read_network(path, config=config, weights=weights), device)


def load_weights(path: str | Path, network: str = "generator", *, weights: str = "ema") -> dict[str, Tensor]:
    """The weights of one network in a checkpoint of ours or of another project.

    Raises:
        CheckpointError: unreadable, or no such network in it.
    """
    return weights_in(load_tensors(path), str(path), network, weights=weights)


def weights_in(state: Mapping[str, Any], source: str, network: str = "generator", *, weights: str) -> dict[str, Tensor]:
    """The weights of one network in a loaded checkpoint: with 'ema' the averaged ones where there are some."""
    networks = state.get("networks")
    if not isinstance(networks, Mapping):
        return network_state(state, source)
    for name in (f"{network}_ema", network) if weights == "ema" else (network,):
        if name in networks:
            return networks[name]
    raise CheckpointError(f"{source}: holds no {network!r}, only {', '.join(map(str, networks))}")


def run_config_in(state: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    """The config in one of our checkpoints, with at least `model.generator`; None in another project's file.

    Raises:
        CheckpointError: a config that is damaged.
    """
    if not isinstance(state.get("networks"), Mapping):
        return None
    try:
        config = json.loads(state["config"])
        config["model"]["generator"] = dict(config["model"]["generator"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{source}: its config is damaged ({type(error).__name__})") from error
    return config


def load_matching(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fine-tuning: load what fits by name and shape, and say what did and what did not.

    Raises:
        CheckpointError: nothing fits.
    """
    own = network.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise CheckpointError(f"{source}: nothing in it fits {type(network).__name__}: {differences(own, tensors)}")
    network.load_state_dict(fitting, strict=False)
    rest = differences(own, tensors)
    LOGGER.info("loaded %d of %d tensors from %s%s", len(fitting), len(own), source, f"; {rest}" if rest else "")
