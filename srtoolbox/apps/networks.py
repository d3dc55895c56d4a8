"""Networks as applications take them: modules, or files with what these leave open."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

from srtoolbox.config import Config
from srtoolbox.engine.device import select_device
from srtoolbox.errors import ConfigError, OptionError
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import fuse_branches
from srtoolbox.plugins import load_config
from srtoolbox.registry import NETWORKS
from srtoolbox.text import did_you_mean
from srtoolbox.weights.interpolate import Interpolator
from srtoolbox.weights.load import WeightsChoice, load_network
from srtoolbox.weights.of_config import with_network_of_file
from srtoolbox.weights.onnx_file import is_onnx


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
    checkpoint = source if isinstance(source, Checkpoint) else Checkpoint(source)
    if is_onnx(checkpoint.path):  # which takes images from the CPU, wherever it runs
        return checkpoint.load("auto" if device is None else device), torch.device("cpu")
    device = select_device(None if device is None else str(device))
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
    keep_colour: bool


def check_settings(function: Callable[..., object], settings: Mapping[str, object]) -> None:
    """Raise a TypeError, with the nearest name, at a keyword of neither function nor `Upscaler`."""
    known = UpscalerSettings.__annotations__
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, [*inspect.signature(function).parameters, *known])
            raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}.{hint}")


def make_upscaler(network: NetworkSource | Upscaler, device: str | None, settings: UpscalerSettings) -> Upscaler:
    """Return the upscaler of a network with these settings, or the one that is given.

    Raises:
        OptionError: settings for one that has its own.
    """
    if isinstance(network, nn.Module | Checkpoint | str | os.PathLike):
        module, place = load(network, device)
        if module is not network:  # it is ours alone
            fuse_branches(module)
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
    generator = generator_in(with_network_of_file(load_config(config)))  # a plugin may register the network
    if generator is None:
        raise ConfigError(f"{config}: has no model.generator, the network that the weights are for")
    return generator


def generator_in(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return `model.generator` of a config, None where it has none."""
    model = config.get("model")
    generator = model.get("generator") if isinstance(model, Mapping) else None
    return generator if isinstance(generator, Mapping) else None


def torch_device(name: str | None) -> torch.device:
    """Return the named device, for None and 'auto' a GPU where there is one; the CPU beside those
    that only ONNX Runtime knows.
    """
    return torch.device("cpu") if name in ("directml", "coreml") else select_device(name)


def load_all(
    config: Config,
    checkpoints: Sequence[str],
    device: torch.device,
    *,
    baseline: bool,
    trial: bool = True,
    named: str | None = None,
) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and network of each checkpoint, or the config's network if it has no weights.

    With `baseline`, bicubic comes first, see `baseline_of`. Other projects' weights are tried
    first, unless `trial` is False. ONNX files run on the device that is `named`, or on the best
    that their runtime has.

    Raises:
        ConfigError: no checkpoint for a network with weights, or one that bears the baseline's
            name.
    """
    generator = config["model"]["generator"]
    reference = baseline_of(generator["scale"])
    if baseline and (checkpoints or generator["type"] != "Bicubic"):
        yield reference, NETWORKS.build({"type": "Bicubic", "scale": generator["scale"]}).to(device)
    if not checkpoints:
        network = NETWORKS.build(generator)
        if next(network.parameters(), None) is not None:
            command = f"srtoolbox test {config.filename} CHECKPOINT"
            raise ConfigError(f"{generator['type']} has weights to load: {command}")
        yield generator["type"], network.to(device)
        return
    for name, path in distinct_names(checkpoints).items():
        if baseline and name == reference:
            raise ConfigError(f"{path}: bears the name of the baseline; rename the checkpoint")
        place = named or "auto" if is_onnx(path) else device
        yield name, load_network(path, config=generator, trial=trial, device=place)


def baseline_of(scale: int) -> str:
    """Return the name of bicubic interpolation in scores and pages: at x1 it is the input."""
    return "Input" if scale == 1 else "Bicubic"


def distinct_names(paths: Sequence[str]) -> dict[str, str]:
    """Return `{name: path}`: the stem, behind as many folders as make the names differ.

    Raises:
        ConfigError: one file given twice.
    """
    full = [Path(path).resolve() for path in paths]
    for number, path in enumerate(full):
        if path in full[:number]:
            raise ConfigError(f"{paths[number]}: given twice")
    stems = [path.with_suffix("").parts[1:] for path in full]
    parts = [[part for part in stem if part != "checkpoints"] for stem in stems]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["_".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    raise ConfigError("checkpoints of one name: rename one of them")
