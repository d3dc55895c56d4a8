"""Opening an option file and telling which project and version wrote it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from srtoolbox.config import Config, ConfigDict
from srtoolbox.errors import ConfigError

SUFFIXES = (".yml", ".yaml", ".toml", ".py")
REDUX_NAMES = ("high_order_degradation", "use_channels_last", "amp_bf16", "fast_matmul", "use_compile")
REDUX_LOSSES = ("contextual_opt", "color_opt", "hsluv_opt", "luma_opt", "avg_opt", "mssim_opt", "dists_opt")
KNOWN = "BasicSR, Real-ESRGAN, traiNNer-redux, neosr, MMEditing and MMagic"

START = (
    "write its values with the names from 2020 on (network_g, datasets, train.optim_g), "
    "or into one of the configs of this toolbox"
)


class OtherFileError(ConfigError):
    """A file that can be read and is none of these projects'."""


class Origin(NamedTuple):
    """The project that a file is for.

    Args:
        project: 'basicsr', 'realesrgan', 'redux', 'neosr', 'mmediting' or 'mmagic'.
        version: of the project, in words.
        why: what in the file says so.
    """

    project: str
    version: str
    why: str


def open_source(path: str | os.PathLike[str]) -> tuple[ConfigDict, frozenset[str]]:
    """Return what an option file holds, its `_base_` files merged in, and the names that it reads itself.

    It is evaluated as data.

    Raises:
        ConfigError: it is none of YAML, TOML or a Python config, cannot be read, or is refused.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        raise ConfigError(f"{path}: JSON (of KAIR, or BasicSR before 2020) is not imported: {START}")
    if suffix not in SUFFIXES:
        raise ConfigError(f"{path}: an option file is a .yml, .yaml or .toml, or a .py of {KNOWN.rpartition(', ')[2]}")
    if not Path(path).is_file():
        raise ConfigError(f"{path}: there is no such file")
    values = ConfigDict()
    try:
        config = Config.fromfile(path)
    except ConfigError:
        if suffix == ".py" and "with read_base()" in Path(path).read_text(encoding="utf-8", errors="replace"):
            advice = "name those files in `_base_ = [...]`, and classes in quotes"
            raise ConfigError(f"{path}: `with read_base()` imports code: {advice}") from None
        raise
    for key in config:
        values.put(key, config[key], config.origin(key))
    return values, config.used


def recognise(values: Mapping[str, Any], path: str | os.PathLike[str]) -> Origin:
    """Tell which project's options these are.

    Raises:
        OtherFileError: they are none of these projects'.
        ConfigError: they are older than what is imported.
    """
    model = values.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("generator"), Mapping):
        return _mm(values)
    if isinstance(model, Mapping) and "type" in model:
        raise OtherFileError(f"{path}: the model {model['type']!r} has no generator: it is for another task")
    if "network_g" in values or ("datasets" in values and "model" not in values):
        return _family(values, Path(path).suffix.lower())
    if "network_G" in values or "which_model_G" in values:
        raise ConfigError(f"{path}: names of BasicSR before 2020 (network_G, which_model_G) are not imported: {START}")
    raise OtherFileError(
        f"{path}: these are no options of {KNOWN}: neither `network_g` nor `model` with a generator is there"
    )


def _family(values: Mapping[str, Any], suffix: str) -> Origin:
    model = str(values.get("model_type", ""))
    datasets = values.get("datasets")
    entries = datasets.values() if isinstance(datasets, Mapping) else ()
    kinds = [str(entry.get("type")) for entry in entries if isinstance(entry, Mapping)]
    if suffix == ".toml" or model.lower() in ("image", "otf", "default") or {"paired", "otf", "single"} & {*kinds}:
        version = "0.9 or later (TOML)" if suffix == ".toml" else "of 2023 (YAML)"
        why = f"model_type is {model}" if model else "its datasets are paired, otf or single"
        return Origin("neosr", version, why)
    marks = [name for name in REDUX_NAMES if name in values]
    if not model and marks:
        train = values.get("train")
        listed = isinstance(train, Mapping) and isinstance(train.get("losses"), list)
        return Origin("redux", "with `losses`" if listed else "before `losses`", f"no model_type, but {marks[0]}")
    train = values.get("train")
    own = [name for name in REDUX_LOSSES if isinstance(train, Mapping) and name in train]
    if model and own:
        return Origin("redux", "of 2023 (with model_type)", f"train.{own[0]} is there")
    if model.lower() in ("realesrganmodel", "realesrnetmodel", "realesrganartifactsdismodel"):
        return Origin("realesrgan", "0.2 to 0.3", f"model_type is {model}")
    if isinstance(train, Mapping) and ("niter" in train or "net_d_steps" in train):
        return Origin("basicsr", "of 2020 (1.0)", "the run's length is train.niter")
    why = "network_g and datasets are there"
    return Origin("basicsr", "1.x", f"{why}, model_type is {model}" if model else why)


def _mm(values: Mapping[str, Any]) -> Origin:
    if any(name in values for name in ("total_iters", "lr_config", "optimizers", "data")):
        return Origin("mmediting", "0.x", "total_iters, lr_config or optimizers are there")
    return Origin("mmagic", "1.x (MMEditing 1.x)", "optim_wrapper, dataloaders and evaluators are there")
