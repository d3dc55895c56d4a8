"""Checkpoints: one `.pth` of tensors and plain values, committed by a `.json` sidecar with its digest, written last.

format, iter, config (JSON data), scores, rng        networks: {generator, discriminator, generator_ema}
optims: {generator: {optimizer, scheduler, scaler}}  hooks: {name: state}        draws, terms
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from srtoolbox import __version__, dist
from srtoolbox.engine.weights import load_matching, load_network, load_weights
from srtoolbox.errors import CheckpointError
from srtoolbox.files import load_tensors, read_json, save_tensors, sha256, write_json
from srtoolbox.logger import LOGGER

__all__ = ["load_matching", "load_network", "load_weights"]  # of weights.py, for whom a checkpoint is its weights
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
