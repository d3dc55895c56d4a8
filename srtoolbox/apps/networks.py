"""Networks as applications take them: modules, or files with what these leave open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import nn

from srtoolbox.config import Config
from srtoolbox.engine.device import select_device
from srtoolbox.errors import ConfigError, OptionError
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.plugins import load_plugins
from srtoolbox.weights.interpolate import Interpolator
from srtoolbox.weights.load import WeightsChoice, load_network


@dataclass(frozen=True)
class Checkpoint:
    """A network in a file, and what weights of other projects leave open.

    Args:
        path: a checkpoint of this toolbox, or another project's weights.
        config: for weights that are not recognised, a config file with the network as
            `model.generator`.
        scale: of weights that fit any scale (SRCNN, FSRCNN, VDSR).
        trial: try other projects' weights on a photograph first.
        weights: 'ema' prefers averaged weights where there are some, 'raw' takes the trained ones.
        other: another training of the same network to interpolate with.
        alpha: the share of `other`, from 0 to 1.
    """

    path: str | os.PathLike[str]
    config: str | None = None
    scale: int | None = None
    trial: bool = True
    weights: WeightsChoice = "ema"
    other: str | None = None
    alpha: float = 0.5

    def load(self, device: torch.device | str = "cpu") -> nn.Module:
        """Return the network, ready to upscale; raises CheckpointError as `load_network`."""
        path, generator = os.fspath(self.path), generator_of(self.config)
        weights, scale, trial = self.weights, self.scale, self.trial
        if self.other is None:
            return load_network(path, config=generator, weights=weights, scale=scale, trial=trial, device=device)
        both = Interpolator([path, self.other], config=generator, weights=weights, scale=scale, trial=trial)
        return both.network_at((1 - self.alpha, self.alpha), device)


NetworkSource = nn.Module | Checkpoint | str | os.PathLike[str]
"""A network, or where it is read from."""


def load(source: NetworkSource, device: str | torch.device | None = None) -> tuple[nn.Module, torch.device]:
    """Return the network of a source and its device: the named one, or a GPU where there is one; a
    module stays where it is unless a device is named.
    """
    if isinstance(source, nn.Module):
        if device is not None:
            return source.to(device), torch.device(device)
        return source, next(source.parameters(), torch.empty(0)).device
    device = select_device(None if device is None else str(device))
    checkpoint = source if isinstance(source, Checkpoint) else Checkpoint(source)
    return checkpoint.load(device), device


class UpscalerSettings(TypedDict, total=False):
    """The arguments of `Upscaler` beside its network and device."""

    tile: int | str | None
    ensemble: bool
    dtype: str
    outscale: float | None
    overlap: int | None
    batch: int
    patches: str | None
    wrap: str | None


def make_upscaler(network: NetworkSource | Upscaler, device: str | None, settings: UpscalerSettings) -> Upscaler:
    """Return the upscaler of a network with these settings, or the one that is given.

    Raises:
        OptionError: settings for one that has its own.
    """
    if isinstance(network, nn.Module | Checkpoint | str | os.PathLike):
        module, place = load(network, device)
        return Upscaler(module, device=place, **settings)
    if settings:
        name = next(iter(settings))
        raise OptionError(f"{name} goes with a network: an Upscaler has its settings")
    return network


def generator_of(config: str | None) -> Mapping[str, Any] | None:
    """Return `model.generator` of a config file, the network of weights; None without a file.

    Raises:
        ConfigError: there is none in it.
    """
    if config is None:
        return None
    loaded = Config.fromfile(config)
    load_plugins(loaded)  # which may register the network
    generator = generator_in(loaded)
    if generator is None:
        raise ConfigError(f"{config}: has no model.generator, the network that the weights are for")
    return generator


def generator_in(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return `model.generator` of a config, None where it has none."""
    model = config.get("model")
    generator = model.get("generator") if isinstance(model, Mapping) else None
    return generator if isinstance(generator, Mapping) else None
