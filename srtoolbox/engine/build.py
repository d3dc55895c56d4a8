"""Networks of a run: the weights they start from, compilation, gradients over processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox import dist
from srtoolbox.errors import CheckpointError
from srtoolbox.logger import LOGGER
from srtoolbox.weights.finetune import load_matching, starting_weights
from srtoolbox.weights.load import weights_in


def load_initial_weights(
    networks: Mapping[str, nn.Module], config: Mapping[str, Any], weights: Mapping[str, Any], source: str
) -> None:
    """Start from weights of another run (`load_from`): only the generator's must be there and fit.

    Args:
        networks: the run's, fresh.
        config: of the run.
        weights: a loaded checkpoint, of ours or of another project.
        source: its file, for messages.

    Raises:
        CheckpointError: no generator in it, or none that fits.
    """
    for name, network in networks.items():
        if name == "generator":
            own = config["model"][name]
            start = starting_weights(weights, source, own, network.state_dict())
            load_matching(network, start, source)
            continue
        try:
            load_matching(network, weights_in(weights, source, name, weights="ema"), source)
        except CheckpointError as error:
            LOGGER.warning("no weights for the %s, which starts from its initialisation: %s", name, error)


def wrap_networks(
    model: nn.Module, networks: Mapping[str, nn.Module], names: Iterable[str], device: torch.device, *, compiles: bool
) -> None:
    """Compile networks in place, so the keys stay, and let processes average their gradients.

    Args:
        model: its attributes are the networks; with several processes they become DDP modules.
        networks: the networks by name, which stay as they are.
        names: those that learn.
        device: of this process.
        compiles: True to compile.
    """
    for name in names:
        network = networks[name]
        if compiles:
            network.compile()
        if dist.world_size() > 1:
            devices = [device.index] if device.type == "cuda" else None
            with warnings.catch_warnings():  # torch announces another name of broadcast_buffers
                warnings.simplefilter("ignore", FutureWarning)
                ddp = DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)
            setattr(model, name, ddp)
