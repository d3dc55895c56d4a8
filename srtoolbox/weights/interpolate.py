"""Blends of networks in files: `(1 - alpha) A + alpha B`, or any weighted mean of several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from srtoolbox.errors import CheckpointError
from srtoolbox.weights.blend import blend_states
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.formats import differences
from srtoolbox.weights.formats.containers import Which
from srtoolbox.weights.load import NetworkFile, arguments_of, build_network, read_network
from srtoolbox.weights.trial import describe, innermost


class Blend(NamedTuple):
    """One blend: how it is called in tables and file names, and the share of each network."""

    name: str
    shares: tuple[float, ...]


class Blender:
    """Several trainings of one network, read once and blended as often as wanted.

    Args:
        paths: two or more checkpoints, of this toolbox or of other projects.
        config, weights, scale, trial: as in `read_network`.

    Raises:
        CheckpointError: a file that cannot be read, or files of different networks.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        config: Mapping[str, Any] | None = None,
        weights: Which = "ema",
        scale: int | None = None,
        trial: bool = True,
    ) -> None:
        how = {"config": config, "weights": weights, "scale": scale, "trial": trial}
        self.files = [read_network(path, **how) for path in paths]
        self.network = build_network(self.files[0])
        for other in self.files[1:]:
            _check_alike(self.files[0], other)

    def blended(self, shares: Sequence[float], device: str | torch.device = "cpu") -> nn.Module:
        """The network with the weighted mean of all files' weights; the next call changes it.

        Raises:
            SrtoolboxError: shares that are not in [0, 1] or whose sum is not 1.
        """
        self.network.load_state_dict(self._state(shares))
        return self.network.to(device)

    def save(self, path: str | Path, shares: Sequence[float]) -> None:
        """Write the blend as a checkpoint of ours, with the config of the first file and what it was made of."""
        parts = zip(self.files, shares, strict=True)
        state = {
            "iter": 0,
            "config": json.dumps(self.files[0].run_config),
            "networks": {"generator": self._state(shares)},
            "blend": [{"file": Path(file.source).name, "share": share} for file, share in parts],
        }
        save_checkpoint(Path(path), state)

    def _state(self, shares: Sequence[float]) -> dict[str, torch.Tensor]:
        return blend_states([file.tensors for file in self.files], shares)


def _check_alike(first: NetworkFile, other: NetworkFile) -> None:
    """Blending needs one graph: equal tensors, and equal arguments even where those leave no trace in the tensors."""
    names = f"{first.source} ({first.config['type']}) and {other.source} ({other.config['type']})"
    kinds = {innermost(file.config)["type"] for file in (first, other)}
    if len(kinds) == 1 and first.config["type"] != other.config["type"]:  # one is fed otherwise
        fed = [", ".join(describe(file.config)) or "as usual" for file in (first, other)]
        raise CheckpointError(f"{names} cannot be blended, they compute different things: {fed[0]}; and {fed[1]}")
    fault = differences(first.tensors, other.tensors)
    if fault:
        raise CheckpointError(f"{names} are not of one network and cannot be blended; the second has {fault}")
    ours, theirs = _computing(first.config), _computing(other.config)
    unlike = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    if unlike:
        shown = ", ".join(f"{key}={ours.get(key)!r} and {theirs.get(key)!r}" for key in unlike)
        raise CheckpointError(f"{names} cannot be blended, they compute different things: {shown}")


def _computing(config: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a network but those that only say how training begins."""
    return {key: value for key, value in arguments_of(config).items() if not key.startswith("init")}
