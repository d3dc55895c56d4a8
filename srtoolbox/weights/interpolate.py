"""Network interpolation: the weighted mean of several trainings of one network.

Wang et al.: "ESRGAN: enhanced super-resolution generative adversarial networks" (ECCVW 2018,
arXiv:1809.00219), section 3.4: between the weights of a PSNR-oriented network and of a GAN
fine-tuned from it lie networks between the two, `(1 - alpha) A + alpha B`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.weights.checkpoint import save_checkpoint
from srtoolbox.weights.load import NetworkFile, arguments_of, build_network, read_network
from srtoolbox.weights.recognise import WeightsChoice
from srtoolbox.weights.state_dicts import differences
from srtoolbox.weights.trial import describe, innermost

State = Mapping[str, Tensor]
_DIFFERENT = "cannot be interpolated, they compute different things"


class Interpolation(NamedTuple):
    """The share of each network, and a name for tables and file names."""

    name: str
    shares: tuple[float, ...]


class Interpolator:
    """Several trainings of one network, read once and interpolated as often as needed.

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
        weights: WeightsChoice = "ema",
        scale: int | None = None,
        trial: bool = True,
    ) -> None:
        self.files = [read_network(path, config=config, weights=weights, scale=scale, trial=trial) for path in paths]
        self.states = [file.tensors for file in self.files]
        self.network = build_network(self.files[0])
        for other in self.files[1:]:
            _check_alike(self.files[0], other)

    def network_at(self, shares: Sequence[float], device: str | torch.device = "cpu") -> nn.Module:
        """Return the network with the weighted mean of all weights; the next call changes it.

        Raises:
            SrtoolboxError: shares that are not in [0, 1] or whose sum is not 1.
        """
        self.network.load_state_dict(interpolate_states(self.states, shares))
        return self.network.to(device)

    def save(self, path: str | Path, shares: Sequence[float]) -> None:
        """Write a checkpoint of ours with the first file's config and the shares of all files."""
        parts = zip(self.files, shares, strict=True)
        state = {
            "iter": 0,
            "config": json.dumps(self.files[0].run_config),
            "networks": {"generator": interpolate_states(self.states, shares)},
            "blend": [{"file": Path(file.source).name, "share": share} for file, share in parts],
        }
        save_checkpoint(Path(path), state)


def _check_alike(first: NetworkFile, other: NetworkFile) -> None:
    """Raise a CheckpointError unless both files hold one network.

    It has equal tensors, and equal arguments even where those leave no trace in the tensors.
    """
    kinds = [file.config["type"] for file in (first, other)]
    names = f"{first.source} ({kinds[0]}) and {other.source} ({kinds[1]})"
    inner = [innermost(file.config)["type"] for file in (first, other)]
    if kinds[0] != kinds[1] and inner[0] == inner[1]:  # one of them is fed in another way
        ways = [", ".join(describe(file.config)) or "as usual" for file in (first, other)]
        raise CheckpointError(f"{names} {_DIFFERENT}: {ways[0]}; and {ways[1]}")
    fault = differences(first.tensors, other.tensors)
    if fault:
        raise CheckpointError(f"{names} are not of one network and cannot be interpolated; the second has {fault}")
    ours, theirs = arguments_of(first.config), arguments_of(other.config)
    keys = (key for key in {**ours, **theirs} if not key.startswith("init"))  # how training begins
    unlike = [key for key in keys if ours.get(key) != theirs.get(key)]
    if unlike:
        shown = ", ".join(f"{key}={ours.get(key)!r} and {theirs.get(key)!r}" for key in unlike)
        raise CheckpointError(f"{names} {_DIFFERENT}: {shown}")


def interpolate_states(states: Sequence[State], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return the sum of shares[i] * states[i], tensor by tensor: parameters and buffers alike.

    Floating tensors are summed in float64 and rounded once, to the widest dtype among them; a
    state of share 0 is left out, so that shares (1, 0) give the first one bit for bit. Whole
    numbers and booleans must agree in all states, except BatchNorm's count of batches, which is
    that of the (first) state with the largest share.

    Args:
        states: state_dicts with equal keys and shapes.
        shares: one for each, in [0, 1], with sum 1: else a running variance could become negative.

    Raises:
        SrtoolboxError: other shares.
        CheckpointError: keys, shapes or whole-numbered buffers that differ.
    """
    if len(shares) != len(states) or not states:
        raise SrtoolboxError(f"{len(states)} networks need as many weights, got {len(shares)}")
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        shown = ", ".join(f"{share:g}" for share in shares)
        raise SrtoolboxError(f"the weights of an interpolation lie in [0, 1] and sum to 1, got {shown}")
    first = states[0]
    for number, state in enumerate(states[1:], start=2):
        fault = differences(first, state)
        if fault:
            raise CheckpointError(f"weights {number} are not those of the same network as weights 1: {fault}")
    parts = [(state, share) for state, share in zip(states, shares, strict=True) if share]
    heaviest = max(parts, key=lambda part: part[1])[0]
    result = {}
    for key, tensor in first.items():
        if tensor.is_floating_point() or tensor.is_complex():
            result[key] = _weighted_sum([(state[key], share) for state, share in parts])
            continue
        are_equal = all(torch.equal(tensor, state[key]) for state in states)
        if not are_equal and not key.endswith("num_batches_tracked"):
            raise CheckpointError(f"{key} holds whole numbers that differ, and cannot be interpolated")
        result[key] = heaviest[key].clone()
    return result


def _weighted_sum(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    if len(parts) == 1:
        return parts[0][0].clone()
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor, _ in parts))
    wide = torch.promote_types(dtype, torch.float64)
    total = parts[0][0].to(wide) * parts[0][1]
    for tensor, share in parts[1:]:
        total += tensor.to(wide) * share
    return total.to(dtype)
