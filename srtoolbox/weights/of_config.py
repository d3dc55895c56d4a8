"""Configs whose generator is named by a file of weights: `model = dict(generator='IMDN_x4.pth')`."""

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

PATH = "model.generator"
SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".onnx")


def with_network_of_file(config: Config, *, earlier: Path | None = None) -> Config:
    """Return a config that says the network of the file that it names as `model.generator`.

    The weights in it are those that a training begins with, unless the config has a `load_from`. A
    config that names no file is returned as it is.

    Args:
        config: stays as it is.
        earlier: the config that a run has saved: its network is taken where the file is gone.

    Raises:
        ConfigError: no such file, or nothing in it is recognised.
    """
    model = config.get("model")
    source = model.get("generator") if isinstance(model, Mapping) else None
    if not isinstance(source, str | os.PathLike) or not _is_file_name(os.fspath(source)):
        return config
    source = os.fspath(source)
    origin = config.origin(PATH)
    try:
        network = _network_in(source, config.get("scale"), earlier)
    except CheckpointError as error:
        message = str(error).removeprefix(f"{source}: ")
        place = str(origin or config.filename or "")
        raise ConfigError([Fault(None, f"{source!r}: {message}", PATH, place)]) from error
    config = copy.deepcopy(config)
    config["model"].put("generator", ConfigDict(network), origin)
    if config.get("load_from") is None:
        config["load_from"] = source
    return config


def _is_file_name(text: str) -> bool:
    return text.lower().endswith(SUFFIXES) or Path(text).is_file()


def _network_in(source: str, scale: Any, earlier: Path | None) -> dict[str, Any]:  # noqa: ANN401 - of a config
    """Return `type` and arguments of a file's network, of the run's scale where the tensors leave it open."""
    if earlier is not None and not Path(source).exists():
        with contextlib.suppress(SrtoolboxError, KeyError, TypeError):
            return dict(Config.fromfile(earlier).to_dict()["model"]["generator"])
    return network_to_tune(source, scale)
