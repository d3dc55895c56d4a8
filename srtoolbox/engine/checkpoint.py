"""Checkpoints: one `.pth` of tensors and plain values, committed by a `.json` sidecar with its digest, written last.

format, iter, config (JSON data), scores, rng        networks: {generator, discriminator, generator_ema}
optims: {generator: {optimizer, scheduler, scaler}}  hooks: {name: state}        draws, terms
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox import __version__, dist
from srtoolbox.errors import CheckpointError
from srtoolbox.files import load_tensors, read_json, save_tensors, sha256, write_json
from srtoolbox.logger import LOGGER
from srtoolbox.models.interop import network_state
from srtoolbox.registry import NETWORKS

FORMAT = 1


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint and then the sidecar that makes it valid.

    Raises:
        SrtoolboxError: the disk is full or the folder not writable; earlier checkpoints are intact.
    """
    size, digest = save_tensors(path, {"format": FORMAT, **state})
    sidecar = {
        "format": FORMAT,
        "iter": state["iter"],
        "bytes": size,
        "sha256": digest,
        "world_size": dist.world_size(),
        "srtoolbox": __version__,
        "torch": torch.__version__,
    }
    write_json(sidecar_path(path), sidecar)


def sidecar_path(path: Path) -> Path:
    """`iter_005000.json` for `iter_005000.pth`."""
    return path.with_suffix(".json")


def verify_checkpoint(path: Path) -> str | None:
    """None where a checkpoint is whole, else what is wrong with it."""
    try:
        sidecar = read_json(sidecar_path(path))
        expected_size, expected_digest = sidecar["bytes"], sidecar["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its .json is missing or damaged: the save was not finished"
    if sidecar.get("format", FORMAT) > FORMAT:
        return f"written by a newer srtoolbox (format {sidecar['format']}, this one reads {FORMAT})"
    if not path.is_file():
        return "the file is missing"
    if path.stat().st_size != expected_size:
        return f"has {path.stat().st_size} bytes, {expected_size} were written"
    if sha256(path) != expected_digest:
        return "its contents changed since it was written (sha256 differs)"
    return None


def iteration_of(path: Path) -> int:
    """The iteration in a checkpoint's file name."""
    return int(path.stem.removeprefix("iter_"))


def list_checkpoints(folder: Path) -> list[Path]:
    """The `iter_*.pth` of a folder, oldest first, verified or not."""
    found = [path for path in folder.glob("iter_*.pth") if path.stem.removeprefix("iter_").isdigit()]
    return sorted(found, key=iteration_of)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest verified checkpoint of a folder, None where there is none at all.

    Raises:
        CheckpointError: there are checkpoints, but every one is damaged; lists them with the reasons.
    """
    skipped: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        fault = verify_checkpoint(path)
        if fault is None:
            for line in skipped:
                LOGGER.warning("skipped a damaged checkpoint: %s", line)
            return path
        skipped.append(f"{path}: {fault}")
    if skipped:
        raise CheckpointError("no usable checkpoint to resume from:\n  " + "\n  ".join(skipped))
    return None


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read one of our own checkpoints, verified against its sidecar where there is one.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint of this toolbox.
    """
    path = Path(path)
    if sidecar_path(path).is_file() and path.is_file():
        fault = verify_checkpoint(path)
        if fault is not None:
            raise CheckpointError(f"{path}: {fault}")
    state = load_tensors(path)
    if "networks" not in state or "config" not in state:
        raise CheckpointError(f"{path}: holds weights only, not a run of srtoolbox; --load-from takes such files")
    return state


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


def generator_config(state: Mapping[str, Any], source: str) -> Mapping[str, Any] | None:
    """The config of the network in one of our checkpoints; None in another project's file.

    Raises:
        CheckpointError: a config that is damaged.
    """
    if not isinstance(state.get("networks"), Mapping):
        return None
    try:
        return dict(json.loads(state["config"])["model"]["generator"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{source}: its config is damaged ({type(error).__name__})") from error


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
    state = load_tensors(path)
    config = generator_config(state, str(path)) or config
    if config is None:
        raise CheckpointError(
            f"{path}: holds weights but not which network they are for; name a config of that network "
            f"(load_network(..., config=...), upscale.py --config, test.py CONFIG)"
        )
    tensors = weights_in(state, str(path), weights=weights)
    network = NETWORKS.build(config)
    fault = fit_report(network, tensors)
    if fault:
        raise CheckpointError(f"{path}: does not fit {config['type']}: {fault}")
    network.load_state_dict(tensors)
    return network.requires_grad_(False).eval().to(device)


def fit_report(network: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """'' where the tensors fit a network exactly, else what is missing, unexpected or of another shape."""
    own = network.state_dict()
    groups = {
        "missing": [key for key in own if key not in tensors],
        "unexpected": [key for key in tensors if key not in own],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in tensors and own[key].shape != tensors[key].shape
        ],
    }
    return "; ".join(
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in groups.items()
        if keys
    )


def load_matching(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fine-tuning: load what fits by name and shape, and say what did and what did not.

    Raises:
        CheckpointError: nothing fits.
    """
    own = network.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise CheckpointError(f"{source}: nothing in it fits {type(network).__name__}: {fit_report(network, tensors)}")
    network.load_state_dict(fitting, strict=False)
    rest = fit_report(network, tensors)
    LOGGER.info("loaded %d of %d tensors from %s%s", len(fitting), len(own), source, f"; {rest}" if rest else "")
