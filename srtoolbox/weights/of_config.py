"""Configs whose networks are named by files of weights: `model = dict(generator='IMDN_x4.pth')`."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srtoolbox.config import Config, ConfigDict
from srtoolbox.errors import CheckpointError, ConfigError, Fault, SrtoolboxError
from srtoolbox.weights.finetune import network_to_tune

ROLES = ("generator", "discriminator")
SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".onnx")


def with_network_of_file(config: Config, *, earlier: Path | None = None) -> Config:
    """Return a config that holds the networks of the files that `model` names.

    The weights in them are those that a training begins with, unless `load_from` names others: one
    file for the generator, or one by network. A config that names no file is returned as it is.

    Args:
        config: stays as it is.
        earlier: the config that a run has saved: its network is taken where the file is gone.

    Raises:
        ConfigError: no such file, or nothing in it is recognised.
    """
    model = config.get("model")
    named = {role: _file_name(model.get(role)) for role in ROLES} if isinstance(model, Mapping) else {}
    sources = {role: source for role, source in named.items() if source is not None}
    if not sources:
        return config
    networks = {role: _network_of(role, source, config, earlier) for role, source in sources.items()}
    origins = {role: config.origin(f"model.{role}") for role in sources}
    config = copy.deepcopy(config)
    for role, network in networks.items():
        config["model"].put(role, ConfigDict(network), origins[role])
    config["load_from"] = _start_of(config.get("load_from"), sources)
    return config


def _start_of(load_from: object, sources: Mapping[str, str]) -> object:
    """Return `load_from` with the files of `model`, by network, where it names none for that."""
    if isinstance(load_from, Mapping):
        return {**sources, **load_from}
    if "discriminator" not in sources:
        return sources["generator"] if load_from is None else load_from
    return {**sources} if load_from is None else {**sources, "generator": load_from}


def _file_name(value: object) -> str | None:
    """Return the value as the name of a file of weights, or None if it is none."""
    if not isinstance(value, str | os.PathLike):
        return None
    text = os.fspath(value)
    return text if text.lower().endswith(SUFFIXES) or Path(text).is_file() else None


def _network_of(role: str, source: str, config: Config, earlier: Path | None) -> dict[str, Any]:
    """Return `type` and arguments of a file's network, of the run's scale if it is open."""
    if earlier is not None and not Path(source).exists():
        with contextlib.suppress(SrtoolboxError, KeyError, TypeError):
            return dict(Config.fromfile(earlier).to_dict()["model"][role])
    try:
        return network_to_tune(source, config.get("scale"), role)
    except CheckpointError as error:
        path = f"model.{role}"
        place = str(config.origin(path) or config.filename or "")
        raise ConfigError(
            [Fault(None, f"{source!r}: {str(error).removeprefix(f'{source}: ')}", path, place)]
        ) from error
