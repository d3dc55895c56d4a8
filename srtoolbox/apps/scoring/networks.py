"""Sets and metrics of a config, and networks of checkpoints: the parts of a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srtoolbox.config import Config
from srtoolbox.engine.evaluate import build_eval_datasets, build_metrics
from srtoolbox.errors import ConfigError, MissingDataError
from srtoolbox.registry import NETWORKS
from srtoolbox.text import did_you_mean
from srtoolbox.weights.load import load_network

PART = 8
"""Images per process that are scored by all networks before the next are read."""


def sets_and_metrics(config: Config, names: str | Sequence[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sets, all or those named, and metrics of `data.test`, else of `data.val`."""
    if isinstance(names, str) and names:
        names = names.split(",")
    data = config.get("data") or {}
    part = {**(data.get("val") or {}), **(data.get("test") or {})}
    sets = dict(part.get("datasets") or {})
    if not sets:
        raise ConfigError(f"{config.filename}: data.test.datasets names no set to test on")
    for name in names or ():
        if name not in sets:
            hint = did_you_mean(name, sets, else_list=True)
            raise ConfigError(f"--datasets: the config has no set {name!r}.{hint}")
    datasets = build_eval_datasets({name: sets[name] for name in names or sets})
    if not datasets:
        raise MissingDataError("none of the test sets is there (see above for what is missing)")
    return datasets, build_metrics(part.get("metrics") or {})


def load_all(
    config: Config, checkpoints: Sequence[str], device: torch.device, *, baseline: bool, trial: bool = True
) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and network of each checkpoint, or the config's network if it has no weights.

    With `baseline`, bicubic comes first. Other projects' weights are tried first, unless `trial` is
    False.

    Raises:
        ConfigError: no checkpoint for a network with weights, or one that bears the baseline's
            name.
    """

    generator = config["model"]["generator"]
    if baseline and (checkpoints or generator["type"] != "Bicubic"):
        yield "Bicubic", NETWORKS.build({"type": "Bicubic", "scale": generator["scale"]}).to(device)
    if not checkpoints:
        network = NETWORKS.build(generator)
        if next(network.parameters(), None) is not None:
            command = f"srtoolbox test {config.filename} CHECKPOINT"
            raise ConfigError(f"{generator['type']} has weights to load: {command}")
        yield generator["type"], network.to(device)
        return
    for name, path in distinct_names(checkpoints).items():
        if baseline and name == "Bicubic":
            raise ConfigError(f"{path}: bears the name of the baseline; rename the checkpoint")
        yield name, load_network(path, config=generator, trial=trial, device=device)


def check_scales(networks: Mapping[str, nn.Module], datasets: Mapping[str, Any]) -> None:
    """Refuse networks of several scales, or of another than a set's, before any is scored.

    Raises:
        ConfigError: names the network and the set.
    """
    (first, scale), *others = ((name, network.scale) for name, network in networks.items())
    for set_name, dataset in datasets.items():
        for name, own in ((first, scale), *others):
            if dataset.scale not in (None, own):  # None: images without truth fit any scale
                raise ConfigError(f"{name} upscales x{own}, set {set_name} is x{dataset.scale}")
    for name, own in others:
        if own != scale:
            raise ConfigError(f"{name} upscales x{own}, {first} x{scale}: one test is of one scale")


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
